"""Times and durations as Go writes them: RFC 3339 with up to nine digits of a second, in UTC; ``1m30s``."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from decimal import Decimal

ZERO_TIME = "0001-01-01T00:00:00Z"
_SECOND = 1_000_000_000
NANOSECONDS = {
    "ns": 1,
    "us": 1_000,
    "µs": 1_000,
    "μs": 1_000,
    "ms": 1_000_000,
    "s": _SECOND,
    "m": 60 * _SECOND,
    "h": 3600 * _SECOND,
}
"""The units of a duration; the two micros are the micro sign and the Greek letter."""
_PART = re.compile(r"([0-9]+(?:\.[0-9]*)?|\.[0-9]+)(ns|us|µs|μs|ms|s|m|h)")
_LONGEST = 100  # characters of a duration


def go_time(nanoseconds: int) -> str:
    """Write unix nanoseconds; 0 is the zero time."""
    if not nanoseconds:
        return ZERO_TIME
    seconds, rest = divmod(nanoseconds, _SECOND)
    whole = datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    fraction = f".{rest:09d}".rstrip("0") if rest else ""
    return f"{whole}{fraction}Z"


def header_time(text: str) -> str:
    """Write an RFC 3339 time as Go prints a time: ``2006-01-02 15:04:05 +0000 UTC``."""
    try:
        moment = datetime.fromisoformat(text or ZERO_TIME)
    except ValueError:
        moment = datetime(1, 1, 1, tzinfo=UTC)
    utc = moment.astimezone(UTC) if moment.year > 1 else moment
    return f"{utc.replace(microsecond=0, tzinfo=None).isoformat(' ')} +0000 UTC"


def duration_of(text: str) -> Decimal | None:
    """Read a duration without a sign, such as ``5m0s`` (Go's ``time.ParseDuration``), as nanoseconds."""
    parts = list(_PART.finditer(text)) if len(text) <= _LONGEST else []
    if not parts or "".join(part.group() for part in parts) != text:
        return None
    return sum((Decimal(part.group(1)) * NANOSECONDS[part.group(2)] for part in parts), Decimal())
