"""What nodes answered to offers, read back from the stream that hears their answers.

Requesters hear them live and need no store. The stream is there to explain: it lives in memory, keeps the last
answer of each node about each execution, forgets the oldest, and nobody waits for it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence

from bacalhau_nats.domain.explain import Answer
from bacalhau_nats.domain.ids import ExecutionID
from bacalhau_nats.errors import InvalidSettings, StorageFull, Unavailable
from bacalhau_nats.messages import Bid, Decline
from bacalhau_nats.messaging import codec, stored
from bacalhau_nats.messaging.bus import Bus, Msg
from bacalhau_nats.messaging.subjects import BID
from bacalhau_nats.messaging.topology import BIDS, ensure_bids

log = logging.getLogger(__name__)
_FIRST_PAUSE, _LAST_PAUSE = 0.5, 60.0  # seconds between two tries
_AT_ONCE = 64  # executions asked about in one request
_TOO_MANY = "413"
_TYPES: dict[str, type[Bid | Decline]] = {"Bid": Bid, "Decline": Decline}


async def keep_answers(bus: Bus, gone: asyncio.Event) -> None:
    """See to it that the stream is there: at first, and whenever ``gone`` is set.

    A lone server's memory is lost with it. A server that has no room is told of in the log; all else works without.
    """
    while True:
        gone.clear()
        await _make_stream(bus)
        await gone.wait()


async def _make_stream(bus: Bus) -> None:
    pause = _FIRST_PAUSE
    while True:
        try:
            await ensure_bids(bus)
        except (StorageFull, InvalidSettings) as error:
            log.warning("answers to offers are not kept: %s", error, extra={"action": "bids_not_kept"})
            return
        except Unavailable as error:
            log.debug("answers to offers are not kept yet: %s", error)
        else:
            return
        await asyncio.sleep(pause)
        pause = min(_LAST_PAUSE, pause * 2)


async def read_answers(bus: Bus, executions: Sequence[ExecutionID]) -> list[Answer]:
    """Give the last answer of each node about each of these executions; none where the stream is not there."""
    found: list[Answer] = []
    for begin in range(0, len(executions), _AT_ONCE):
        try:
            found += await _read(bus, executions[begin : begin + _AT_ONCE])
        except Unavailable:
            # A requester makes it anew when it can: what is known without it is still worth telling.
            return found
    return found


async def _read(bus: Bus, executions: Sequence[ExecutionID]) -> list[Answer]:
    filters = [BID.any(cell=bus.cell.name, execution=execution) for execution in executions]
    messages, status = await stored.direct_get(bus, bus.cell.stream(BIDS), {"multi_last": filters})
    if status == _TOO_MANY and len(executions) > 1:
        half = len(executions) // 2
        return await _read(bus, executions[:half]) + await _read(bus, executions[half:])
    return [answer for message in messages if (answer := _answer(message)) is not None]


def _answer(message: Msg) -> Answer | None:
    headers = message.headers or {}
    said = codec.read(headers.get(codec.SUBJECT, message.subject), message.data, headers, _TYPES)
    if said is None:
        return None
    return Answer(
        execution_id=said.execution_id,
        node_id=said.node_id,
        time=codec.nanoseconds(headers[codec.TIME]),
        bid=isinstance(said, Bid),
        reason=said.reason if isinstance(said, Decline) else "",
        never=isinstance(said, Decline) and said.never,
        free=said.free,
    )
