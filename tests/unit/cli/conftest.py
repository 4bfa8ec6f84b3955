from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from bacalhau_cli import main
from bacalhau_cli.context import Caller

from tests.unit.client.fake_api import FakeApi, serving


class Ran(NamedTuple):
    """What a command did."""

    code: int
    out: str
    err: str


Run = Callable[..., Ran]


@pytest.fixture
def api() -> Iterator[FakeApi]:
    with serving() as running:
        yield running


@pytest.fixture
def run(
    api: FakeApi, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Run:
    """Run a command line against the fake server, in an empty folder that is home too."""
    monkeypatch.chdir(tmp_path)

    def call(*args: str, **environ: str) -> Ran:
        caller = Caller({"HOME": str(tmp_path), "BACALHAU_API_HOST": api.url, **environ})
        code = main.run(list(args), caller)
        out, err = capsys.readouterr()
        return Ran(code, out, err)

    return call


@pytest.fixture(scope="session")
def recorded() -> dict[str, Any]:
    """Exchanges of the public CLI and server, placeholders filled in."""
    return json.loads((Path(__file__).parent / "exchanges.json").read_text())
