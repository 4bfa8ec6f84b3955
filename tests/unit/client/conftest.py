from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.unit.client.fake_api import FakeApi, serving


@pytest.fixture
def api() -> Iterator[FakeApi]:
    with serving() as running:
        yield running
