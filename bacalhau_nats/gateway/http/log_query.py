"""What a caller of the log stream asks for, and where he takes up again what broke off."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from bacalhau_nats.domain.times import duration_of
from bacalhau_nats.gateway import refusals
from bacalhau_nats.gateway.http.wire import Query

_SECOND = 1_000_000_000
_LONGEST = 40  # characters of a time
_SECONDS_DIGITS = 12  # a longer number is nanoseconds


@dataclass(frozen=True, slots=True)
class Asked:
    """A request for output. All but the first five are ours; the public server ignores them.

    ``every`` means all executions, not one. ``details`` adds to each frame where it comes from and how far it
    reaches, which is what a reader needs to go on after a break: then he says ``resume`` and sends his
    positions as his first message.
    """

    namespace: str = ""
    execution_id: str = ""
    version: int = 0
    follow: bool = False
    tail: bool = False
    every: bool = False
    details: bool = False
    resume: bool = False
    since: int = 0
    seq: int = 0


def asked(query: Query, now: int) -> Asked:
    """Read a query; ``now`` is unix nanoseconds. Raises Refusal."""
    query.boolean("all_job_versions")  # all are candidates anyway, but it must be one
    return Asked(
        namespace=query.text("namespace"),
        execution_id=query.text("execution_id"),
        version=query.uint64("job_version"),
        follow=query.boolean("follow"),
        tail=query.boolean("tail"),
        every=query.boolean("all_executions"),
        details=query.boolean("details"),
        resume=query.boolean("resume"),
        since=moment(query.text("from_time"), now),
        seq=query.uint64("from_seq"),
    )


def moment(text: str, now: int) -> int:
    """Read a time: ``5m`` ago, unix seconds or nanoseconds, or RFC 3339; give unix nanoseconds. Raises Refusal."""
    if not text:
        return 0
    if text.isascii() and text.isdecimal() and len(text) < _LONGEST:
        return int(text) * (_SECOND if len(text) <= _SECONDS_DIGITS else 1)
    ago = duration_of(text) if len(text) < _LONGEST else None
    if ago is not None:
        return max(0, now - int(ago))
    try:
        found = datetime.fromisoformat(text)
        whole = found if found.tzinfo else found.replace(tzinfo=UTC)
        return max(0, int(whole.timestamp() * 1e6) * 1000)
    except (ValueError, OverflowError):
        raise refusals.bad_request(
            f"from_time={text!r} is not a time",
            hint="write it as 5m, as unix seconds, or as 2026-01-31T10:20:30Z",
        ) from None


def positions(message: str) -> dict[tuple[str, str], int]:
    """Read how far a reader got: ``{"e-…": {"stdout": 1024}}``. Raises Refusal."""
    try:
        found: Any = json.loads(message)
        return {
            (str(execution), str(stream)): int(reached)
            for execution, streams in found.items()
            for stream, reached in streams.items()
        }
    except (ValueError, TypeError, AttributeError, RecursionError):
        raise refusals.bad_request("the positions to resume from cannot be read") from None
