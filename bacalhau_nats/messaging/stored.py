"""Reading a stream without a consumer: nothing to create, nothing to leave behind.

A direct get may be answered by a replica that lags; where the end matters, `last_seq` asks the leader.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from bacalhau_nats.errors import BusTimeout, NoResponders, Unavailable
from bacalhau_nats.messaging import codec, jsapi
from bacalhau_nats.messaging.bus import Bus, Msg

T = TypeVar("T")

_READ_WAIT = 10.0  # seconds for a batch
_RETRY = 0.1  # seconds


async def last_message(bus: Bus, stream: str, subject: str) -> dict[str, Any] | None:
    """Give the newest message of a subject (wildcards allowed) as the leader has it; None when there is none."""
    try:
        answer = await jsapi.call(bus, f"STREAM.MSG.GET.{stream}", {"last_by_subj": subject})
    except jsapi.JetStreamRefused as refused:
        if refused.code in jsapi.NOT_FOUND:
            return None
        raise Unavailable(f"The stream {stream} cannot be read: {refused}") from refused
    return dict(answer["message"])


async def last_seq(bus: Bus, stream: str, subject: str) -> int:
    """Give the sequence of that message; 0 when there is none."""
    message = await last_message(bus, stream, subject)
    return int(message["seq"]) if message else 0


async def direct_get(bus: Bus, stream: str, body: dict[str, Any]) -> tuple[list[Msg], str]:
    """Read a batch; give it and the status it ended with: 204 end of batch, 404 nothing found, 413 too much."""
    subject = f"{jsapi.API}.DIRECT.GET.{stream}"
    messages = await bus.request_batch(subject, json.dumps(body).encode(), within=_READ_WAIT)
    status = (messages.pop().headers or {}).get("Status", "")
    if status == "503":
        raise NoResponders(f"There is no stream {stream}, or it cannot be read right now.")
    if status not in {"204", "404", "413"}:
        raise BusTimeout(f"The stream {stream} cannot be read (status {status}).")
    return messages, status


def sequence(msg: Msg) -> int:
    """Give the stream sequence of a message from `direct_get`."""
    return int((msg.headers or {})[codec.SEQUENCE])


async def patiently(ask: Callable[[], Awaitable[T]], patience: float) -> T:
    """Ask until the bus answers. Raises Unavailable when it does not within ``patience`` seconds."""
    clock = asyncio.get_running_loop().time
    deadline = clock() + patience
    while True:
        try:
            return await ask()
        except Unavailable:
            if clock() > deadline:
                raise
        await asyncio.sleep(_RETRY)
