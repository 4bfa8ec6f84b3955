"""Times as Go's encoder writes them: RFC 3339 with up to nine digits of a second, in UTC."""

from __future__ import annotations

from datetime import UTC, datetime

ZERO_TIME = "0001-01-01T00:00:00Z"
_SECOND = 1_000_000_000


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
