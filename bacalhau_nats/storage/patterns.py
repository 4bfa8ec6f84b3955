"""Regular expressions that jobs bring along.

They are those of Go, which Bacalhau's users write, and run in time linear in the text: with Python's own engine
a job could bring a pattern that keeps the whole node busy for ever.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

_LONGEST = 4096
_MEMORY = 8 * 1024 * 1024


@lru_cache(maxsize=64)
def compiled(pattern: str) -> Any:
    """Compile ``pattern``; the result has ``search``. Raises ValueError saying what is wrong with it."""
    import re2  # noqa: PLC0415 - wanted by few jobs

    if len(pattern) > _LONGEST:
        raise ValueError(f"the pattern has {len(pattern)} characters; at most {_LONGEST} are allowed")
    options = re2.Options()
    options.log_errors = False
    options.max_mem = _MEMORY
    try:
        return re2.compile(pattern, options)
    except re2.error as error:
        said = error.args[0] if error.args else "it cannot be read"
        raise ValueError(
            f"{pattern!r} is no regular expression: {said.decode() if isinstance(said, bytes) else said}"
        ) from None
