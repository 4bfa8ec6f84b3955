"""Who runs the tests: in CI a part that the machine lacks is a failure, elsewhere it is left out."""

from __future__ import annotations

import os

IN_CI = bool(os.environ.get("CI"))  # noqa: TID251 - about the tests, not the product
