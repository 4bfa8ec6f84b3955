"""One call to the JetStream API: a verb, a JSON body, a JSON answer.

nats-py wraps the same calls, but waits to its own deadline when the connection breaks and hides the error
codes that decide what we do next.
"""

from __future__ import annotations

import json
from typing import Any

from nats.js.api import DEFAULT_PREFIX as API

from bacalhau_nats.errors import BusTimeout, NoResponders, StorageFull, Unavailable
from bacalhau_nats.messaging.bus import Bus

__all__ = ["API", "JetStreamRefused", "call", "failure"]

WITHIN = 5.0
"""Seconds for an API call; a healthy server needs less than a millisecond, an election a second or two."""

NOT_FOUND = frozenset({10014, 10037, 10059})
"""No such consumer, message, stream."""
MOVED_ON = frozenset({10071, 10164})
"""The expected sequence is not the last one: stored already, or (R3) being stored right now."""
FULL = frozenset({10002, 10023, 10028, 10047, 10077, 10122})
"""Out of account, server or stream storage."""
TOO_LARGE = 10054
_NOT_NOW = 503


class JetStreamRefused(Exception):
    """JetStream said no; ``code`` is its error code (10071 and so on)."""

    def __init__(self, what: str, code: int, description: str) -> None:
        super().__init__(f"{what}: {description} (JetStream error {code})")
        self.code = code
        self.description = description


def failure(what: str, error: dict[str, Any]) -> Exception:
    """Turn the error part of an answer into the exception that says what to do."""
    code = int(error.get("err_code", 0))
    refused = JetStreamRefused(what, code, str(error.get("description", "")))
    if code in FULL:
        return StorageFull(
            str(refused), hint="Raise the limit, purge old jobs, or give the server more storage."
        )
    if error.get("code") == _NOT_NOW:
        return Unavailable(str(refused))
    return refused


async def call(bus: Bus, verb: str, body: dict[str, Any] | None = None, *, within: float = WITHIN) -> Any:
    """Call ``$JS.API.<verb>``. Raises JetStreamRefused, StorageFull, Unavailable, BusTimeout."""
    payload = json.dumps(body).encode() if body else b""
    try:
        reply = await bus.request(f"{API}.{verb}", payload, within=within)
    except NoResponders as error:
        raise Unavailable(
            "JetStream does not answer on this NATS server.",
            hint="Start it with JetStream (nats-server -js, or jetstream {} in nats.conf); "
            "check that this user may publish to the JetStream API.",
        ) from error
    try:
        answer = json.loads(reply.data)
    except ValueError as error:
        raise BusTimeout(f"The answer of JetStream to {verb} cannot be read.") from error
    if "error" in answer:
        raise failure(verb, answer["error"])
    return answer
