"""Which bytes of a file a request wants (RFC 9110, 13 and 14), so that a broken download can go on."""

from __future__ import annotations

import re

_RANGE = re.compile(r"bytes=([0-9]{0,18})-([0-9]{0,18})")


class NotSatisfiable(Exception):
    """The range begins behind the end of the file."""


def wanted_bytes(wanted: str, size: int, *, if_range: str = "", tag: str = "") -> tuple[int, int]:
    """Give the first byte and the byte after the last one.

    ``wanted`` and ``if_range`` are the headers ``Range`` and ``If-Range``, ``tag`` is the file's strong entity
    tag. All of the file is wanted when the range is not one range, or is of another file. Raises NotSatisfiable.
    """
    match = _RANGE.fullmatch(wanted.strip())
    if match is None or match.groups() == ("", "") or (if_range and if_range.strip() != tag):
        return 0, size
    first, last = match.groups()
    if first:
        start, end = int(first), min(int(last) + 1, size) if last else size
        if last and int(last) < start:
            return 0, size
    else:
        start, end = max(0, size - int(last)), size
    if start >= end:
        raise NotSatisfiable
    return start, end
