"""What nodes answered to offers is kept for a while, at no cost to who answers, and read back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from bacalhau_nats.domain.explain import Answer
from bacalhau_nats.domain.ids import ExecutionID, NodeID
from bacalhau_nats.domain.resources import Resources
from bacalhau_nats.messages import Bid, Decline
from bacalhau_nats.messaging import jsapi
from bacalhau_nats.messaging.bids import keep_answers, read_answers
from bacalhau_nats.messaging.bus import Bus, connect
from bacalhau_nats.messaging.subjects import BID, Cell
from bacalhau_nats.messaging.topology import BIDS, ensure_bids
from bacalhau_nats.testing.server import NatsServer
from tests.support.waiting import eventually

FREE = Resources(milli_cpu=500)


@pytest.fixture
async def bus(bus: Bus) -> Bus:
    await ensure_bids(bus)
    return bus


async def say(bus: Bus, answer: Bid | Decline, requester: str = "r-1") -> None:
    subject = BID(cell=bus.cell.name, requester=requester, execution=answer.execution_id, node=answer.node_id)
    await bus.publish(subject, answer)


async def kept(bus: Bus, *executions: str, count: int) -> list[Answer]:
    found: list[Answer] = []

    async def enough() -> bool:
        found[:] = await read_answers(bus, [ExecutionID(one) for one in executions])
        return len(found) == count

    await eventually(enough)
    return found


async def test_the_last_answer_of_each_node_about_an_execution_is_kept(bus: Bus) -> None:
    busy = Decline(execution_id=ExecutionID("e-1"), node_id=NodeID("n.1"), reason="is busy", free=FREE)
    await say(bus, busy)
    await say(bus, Bid(bid_id="b", execution_id=ExecutionID("e-1"), node_id=NodeID("n.1"), free=FREE))
    await say(bus, busy.but(node_id=NodeID("n2"), never=True), requester="r-2")
    await say(bus, busy.but(execution_id=ExecutionID("e-2")))

    one, two = sorted(await kept(bus, "e-1", count=2), key=lambda answer: answer.node_id)

    assert (one.node_id, one.bid, one.free) == ("n.1", True, FREE)
    assert (two.node_id, two.bid, two.reason, two.never) == ("n2", False, "is busy", True)
    assert one.time > 1_700_000_000 * 10**9
    assert len(await kept(bus, "e-2", "e-1", "e-3", count=3)) == 3


async def test_answers_of_more_nodes_than_one_request_gives_are_all_read(bus: Bus) -> None:
    executions = [f"e-{number}" for number in range(4)]
    for execution in executions:
        for node in range(400):
            await say(
                bus, Decline(execution_id=ExecutionID(execution), node_id=NodeID(f"n{node}"), reason="no")
            )
    assert {answer.reason for answer in await kept(bus, *executions, count=1600)} == {"no"}


async def test_a_bid_is_not_acknowledged_and_lies_in_memory(bus: Bus) -> None:
    config = (await jsapi.call(bus, f"STREAM.INFO.{bus.cell.stream(BIDS)}"))["config"]
    assert config["no_ack"]
    assert config["storage"] == "memory"
    assert config["max_age"] == 24 * 3600 * 10**9
    assert config["max_bytes"] == 32 << 20


async def test_without_the_stream_nothing_is_known_and_nothing_fails(bus: Bus) -> None:
    await jsapi.call(bus, f"STREAM.DELETE.{bus.cell.stream(BIDS)}")
    assert await read_answers(bus, [ExecutionID("e-1")]) == []


async def test_a_server_that_restarts_has_the_stream_again(own_server: NatsServer, own_bus: Bus) -> None:
    gone = asyncio.Event()
    own_bus.on_reconnect(gone.set)
    answer = Decline(execution_id=ExecutionID("e-1"), node_id=NodeID("n"), reason="is busy")

    async def heard() -> bool:
        await say(own_bus, answer)
        return bool(await read_answers(own_bus, [ExecutionID("e-1")]))

    async with _beside(keep_answers(own_bus, gone)):
        await eventually(heard)
        await own_server.restart(kill=True)
        await eventually(heard, within=15)


async def test_a_server_without_room_for_it_is_told_once_and_works_without(
    tmp_path: Path, cell: Cell, caplog: pytest.LogCaptureFixture
) -> None:
    conf = tmp_path / "small.conf"
    conf.write_text("jetstream { max_memory_store: 1MB }\n")
    async with NatsServer(conf=conf) as server, connect(server.url, cell=cell, name="t") as bus:
        async with _beside(keep_answers(bus, asyncio.Event())):
            await eventually(lambda: "answers to offers are not kept" in caplog.text)
        assert await read_answers(bus, [ExecutionID("e-1")]) == []


@asynccontextmanager
async def _beside(work: Coroutine[None, None, None]) -> AsyncIterator[None]:
    task = asyncio.create_task(work)
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
