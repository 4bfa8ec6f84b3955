"""Nudges: one pending per job, timers, overtaking, and what happens when the queue is gone."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from bacalhau_nats.messaging import jsapi, nudges, topology
from bacalhau_nats.messaging.bus import Bus
from bacalhau_nats.messaging.nudges import Nudges, Task
from bacalhau_nats.messaging.subjects import EVALUATE, Cell
from bacalhau_nats.messaging.topology import NUDGES, REQUESTERS
from bacalhau_nats.testing.server import NatsServer
from tests.support.waiting import eventually

Taken = asyncio.Queue[Task]


@asynccontextmanager
async def taking(bus: Bus, *, at_most: int = 16, **options) -> AsyncIterator[Taken]:
    taken: Taken = asyncio.Queue()

    async def take() -> None:
        async for task in Nudges(bus, **options).take(at_most):
            taken.put_nowait(task)

    running = asyncio.create_task(take())
    try:
        yield taken
    finally:
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running


async def get(taken: Taken, within: float = 5.0) -> Task:
    async with asyncio.timeout(within):
        return await taken.get()


async def pending(bus: Bus) -> tuple[int, int, int]:
    """Give how many nudges are stored, how many wait to be delivered, how many for an answer."""
    stream = bus.cell.stream(NUDGES)
    info = await jsapi.call(bus, f"STREAM.INFO.{stream}")
    consumer = await jsapi.call(bus, f"CONSUMER.INFO.{stream}.{REQUESTERS}")
    return info["state"]["messages"], consumer["num_pending"], consumer["num_ack_pending"]


async def test_a_nudge_is_taken_once_and_gone_when_acknowledged(bus: Bus, other_bus: Bus):
    async with taking(bus) as one, taking(other_bus) as two:
        await Nudges(bus).nudge("j.1", 7, "created")
        await eventually(lambda: one.qsize() + two.qsize() == 1)
        task = await get(one if one.qsize() else two)
        assert (task.nudge.job_id, task.nudge.seq, task.nudge.cause, task.delivered) == (
            "j.1",
            7,
            "created",
            1,
        )
        await task.working()
        await task.ack()
        await task.ack()  # harmless
        await eventually(lambda: _is_empty(bus))


async def _is_empty(bus: Bus) -> bool:
    return await pending(bus) == (0, 0, 0)


async def test_nudges_of_one_job_coalesce(bus: Bus):
    queue = Nudges(bus)
    for seq in range(1, 50):
        await queue.nudge("j", seq, "again")
    await queue.nudge("k", 50, "other")
    await bus.flush()
    async with taking(bus) as taken:
        first, second = await get(taken), await get(taken)
        assert {(task.nudge.job_id, task.nudge.seq) for task in (first, second)} == {("j", 49), ("k", 50)}


async def test_a_nudge_during_the_work_is_delivered_too(bus: Bus):
    queue = Nudges(bus)
    async with taking(bus) as taken:
        await queue.nudge("j", 1, "first")
        working = await get(taken)
        await queue.nudge("j", 2, "second")
        assert (await get(taken)).nudge.seq == 2
        await working.ack()


async def test_later_is_a_timer(bus: Bus):
    async with taking(bus) as taken:
        await Nudges(bus).nudge("j", 1, "x")
        task = await get(taken)
        started = asyncio.get_running_loop().time()
        await task.later(0.3)
        again = await get(taken)
        assert 0.25 < asyncio.get_running_loop().time() - started < 1.5
        assert (again.nudge.seq, again.delivered) == (1, 2)
        await again.ack()
        await eventually(lambda: _is_empty(bus))


async def test_a_fresh_nudge_overtakes_a_timer_and_cancels_it(bus: Bus):
    queue = Nudges(bus)
    async with taking(bus) as taken:
        await queue.nudge("j", 1, "x")
        await (await get(taken)).later(0.3)
        await queue.nudge("j", 2, "fresh")
        fresh = await get(taken, within=0.25)
        assert fresh.nudge.seq == 2
        await fresh.ack()
        await eventually(lambda: _is_empty(bus))
        await asyncio.sleep(0.4)  # past the timer: the point is that nothing comes
        assert taken.empty()


async def test_a_thousand_timers_do_not_hold_up_a_fresh_nudge(bus: Bus):
    queue = Nudges(bus)
    async with taking(bus, at_most=64) as taken:
        for number in range(1200):
            await queue.nudge(f"j{number}", number, "x")
        for _ in range(1200):
            await (await get(taken)).later(60)
        await queue.nudge("fresh", 1, "x")
        assert (await get(taken, within=1)).nudge.job_id == "fresh"


async def test_no_more_are_taken_than_asked_for(bus: Bus):
    queue = Nudges(bus)
    for number in range(20):
        await queue.nudge(f"j{number}", number, "x")
    await bus.flush()
    async with taking(bus, at_most=4) as taken:
        await eventually(lambda: taken.qsize() == 4)
        assert (await pending(bus))[2] == 4
        for left in range(20, 0, -1):
            task = await get(taken)
            assert (await pending(bus))[2] <= 4
            await task.ack()
            await eventually(lambda left=left: _left(bus, left - 1))


async def _left(bus: Bus, count: int) -> bool:
    return (await pending(bus))[0] == count


async def test_open_questions_are_asked_anew_when_they_expire(bus: Bus, monkeypatch):
    monkeypatch.setattr(nudges, "PULL_SECONDS", 0.1)
    async with taking(bus) as taken:
        await asyncio.sleep(0.35)  # three of them expire
        await Nudges(bus).nudge("j", 1, "x")
        await (await get(taken, within=0.5)).ack()


async def test_the_queue_is_made_again_after_a_restart_and_somebody_is_told(
    own_bus: Bus, own_server: NatsServer
):
    lost = asyncio.Event()
    queue = Nudges(own_bus)
    async with taking(own_bus, on_lost=lost.set) as taken:
        await queue.nudge("j", 1, "x")
        old = await get(taken)
        await queue.nudge("k", 2, "waits")
        await (await get(taken)).later(60)
        assert not lost.is_set()
        await own_server.restart(kill=True)
        async with asyncio.timeout(2):
            await lost.wait()
        await queue.nudge("new", 3, "x")
        fresh = await get(taken)
        assert fresh.nudge.job_id == "new"
        await old.ack()  # sequence 1 of the old queue must not settle sequence 1 of the new one
        assert await pending(own_bus) == (1, 0, 1)
        await fresh.ack()
        await eventually(lambda: _is_empty(own_bus))


async def test_the_queue_is_made_again_when_it_is_deleted(bus: Bus):
    lost = asyncio.Event()
    async with taking(bus, on_lost=lost.set) as taken:
        await Nudges(bus).nudge("j", 1, "x")
        await (await get(taken)).ack()
        await jsapi.call(bus, f"STREAM.DELETE.{bus.cell.stream(NUDGES)}")
        async with asyncio.timeout(2):
            await lost.wait()
        await Nudges(bus).nudge("j", 2, "x")
        assert (await get(taken)).nudge.seq == 2


async def test_a_malformed_nudge_is_logged_and_thrown_away(bus: Bus, cell: Cell, caplog):
    async with taking(bus) as taken:
        await bus.client.publish(EVALUATE(cell=cell.name, job="bad"), b"garbage")
        await Nudges(bus).nudge("good", 1, "x")
        task = await get(taken)
        assert task.nudge.job_id == "good"
        await task.ack()
        await eventually(lambda: _is_empty(bus))
    assert any("evaluate.bad" in record.getMessage() for record in caplog.records)


async def test_who_leaves_gives_back_what_it_has_not_started(bus: Bus, other_bus: Bus):
    queue = Nudges(bus)
    tasks = queue.take(10)
    await queue.nudge("a", 1, "x")
    await queue.nudge("b", 2, "x")
    first = await anext(tasks)
    await eventually(lambda: len(queue._taken) == 1)
    await tasks.aclose()
    await first.ack()
    async with taking(other_bus) as taken:
        assert (await get(taken, within=2)).nudge.job_id == "b"


async def test_a_fresh_start_is_no_loss(bus: Bus):
    lost = asyncio.Event()
    await topology.ensure(bus)
    async with taking(bus, on_lost=lost.set) as taken:
        await Nudges(bus).nudge("j", 1, "x")
        await get(taken)
    assert not lost.is_set()
