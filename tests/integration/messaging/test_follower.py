"""Followers: every accepted fact, once, in order, whatever happens in between."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest

from bacalhau_nats.domain.execution import Desired, Wish
from bacalhau_nats.domain.facts import Fact, desired_key, report_key, spec_key
from bacalhau_nats.domain.node import NodeReport
from bacalhau_nats.domain.spec import JobSpec
from bacalhau_nats.errors import Conflict
from bacalhau_nats.messaging import follower as module
from bacalhau_nats.messaging import jsapi, topology
from bacalhau_nats.messaging.bus import Bus
from bacalhau_nats.messaging.follower import Follower, follow_desired
from bacalhau_nats.messaging.records import JetRecords
from bacalhau_nats.messaging.subjects import Cell
from bacalhau_nats.messaging.topology import STATE
from bacalhau_nats.testing.server import NatsServer
from tests.support.waiting import eventually


@asynccontextmanager
async def following(bus: Bus, **options) -> AsyncIterator[tuple[Follower, list[Fact]]]:
    """Follow while the context is open; give the follower and what it applied."""
    facts: list[Fact] = []
    follower = Follower(bus, facts.append, **options)
    task = asyncio.create_task(follower.run())
    try:
        async with asyncio.timeout(5):
            await follower.ready.wait()
        yield follower, facts
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def write(records: JetRecords, first: int, count: int) -> int:
    seqs = await asyncio.gather(
        *(records.create(spec_key(f"j{n}"), JobSpec(nonce=f"n{n}")) for n in range(first, first + count))
    )
    return max(seqs)


def seqs(facts: list[Fact]) -> list[int]:
    return [fact.seq for fact in facts]


async def test_history_comes_first_and_then_what_happens(bus: Bus, other_bus: Bus):
    records = JetRecords(other_bus)
    last = await write(records, 0, 1200)  # more than two batches
    async with following(bus) as (follower, facts):
        assert follower.applied == last == 1200
        last = await write(records, 1200, 100)
        assert await follower.reached(last, 5)
        assert seqs(facts) == list(range(1, 1301))
        fact = await records.get(spec_key("j1250"))
        assert fact in facts, "heard, replayed and read are the same fact"
        assert abs(fact.time / 1e9 - time.time()) < 60
        assert (await records.get(spec_key("j3"))) in facts


async def test_writing_while_the_history_is_read_loses_nothing(bus: Bus, other_bus: Bus):
    records = JetRecords(other_bus)
    await write(records, 0, 1500)
    facts: list[Fact] = []
    follower = Follower(bus, facts.append)
    running = asyncio.create_task(follower.run())
    last = await write(records, 1500, 1500)
    assert await follower.reached(last, 5)
    running.cancel()
    assert seqs(facts) == list(range(1, 3001))


async def test_a_refused_write_is_not_heard(bus: Bus, other_bus: Bus, cell: Cell):
    """Of three racing placements a plain subscriber hears three, a follower the one that is true."""
    heard_writes = []
    records = JetRecords(other_bus)
    async with following(bus) as (follower, facts):
        await bus.listen(cell.fence_of("e"), heard_writes.append)
        await bus.flush()
        answers = await asyncio.gather(
            *(
                records.create(desired_key("e", node), Desired(wish="run", node_id=node, nonce=node))
                for node in "abc"
            ),
            return_exceptions=True,
        )
        await eventually(lambda: len(heard_writes) == 3)
        assert sum(isinstance(answer, Conflict) for answer in answers) == 2
        assert await follower.reached(await write(records, 0, 1), 5)
        assert [fact.key.kind for fact in facts] == ["desired", "spec"]


async def test_resumes_within_a_second_of_a_restart(own_bus: Bus, own_server: NatsServer):
    records = JetRecords(own_bus)
    async with following(own_bus) as (follower, facts):
        await follower.reached(await write(records, 0, 50), 5)
        await own_server.restart(kill=True)
        started = time.monotonic()
        last = await write(records, 50, 50)
        assert await follower.reached(last, 5)
        assert time.monotonic() - started < 1
        assert seqs(facts) == list(range(1, 101))


async def test_what_was_missed_is_read_from_the_stream(bus: Bus, other_bus: Bus):
    records = JetRecords(other_bus)
    async with following(bus) as (follower, facts):
        hear, missed = follower._hear, []
        subscription = next(sub for sub in bus.client._subs.values() if sub.subject.endswith(".fact.>"))

        hearing = bus.client.direct[subscription._id]
        bus.client.direct[subscription._id] = missed.append
        await write(records, 0, 10)
        await eventually(lambda: len(missed) == 10)
        bus.client.direct[subscription._id] = hearing
        assert facts == []
        last = await write(records, 10, 1)
        assert await follower.reached(last, 1), "the hole must be noticed with the next fact"
        assert seqs(facts) == list(range(1, 12))
        assert hear == follower._hear


async def test_the_watchdog_finds_what_nothing_else_tells(bus: Bus, other_bus: Bus, monkeypatch):
    monkeypatch.setattr(module, "WATCH_SECONDS", 0.05)
    monkeypatch.setattr(module, "_GRACE_SECONDS", 0.01)
    async with following(bus) as (follower, facts):
        subscription = next(sub for sub in bus.client._subs.values() if sub.subject.endswith(".fact.>"))
        await subscription.unsubscribe()
        last = await write(JetRecords(other_bus), 0, 10)
        assert await follower.reached(last, 5)
        assert seqs(facts) == list(range(1, 11))


async def test_two_followers_agree(bus: Bus, other_bus: Bus):
    records = JetRecords(bus)
    await write(records, 0, 300)
    async with following(bus) as (one, ones), following(other_bus, start_seq=101) as (two, twos):
        last = await write(records, 300, 300)
        assert await one.reached(last, 5)
        assert await two.reached(last, 5)
        assert ones[100:] == twos


async def test_waiting_for_a_fact_ends_with_it_or_with_the_time(bus: Bus):
    async with following(bus) as (follower, _facts):
        waiting = [asyncio.create_task(follower.reached(seq, 5)) for seq in (2, 1, 3)]
        assert not await follower.reached(1, 0.01)
        await write(JetRecords(bus), 0, 3)
        assert await asyncio.gather(*waiting) == [True] * 3
        assert await follower.reached(1, 0)
        assert follower._waiters == []


async def test_a_purge_is_a_fact_without_a_record(bus: Bus):
    records = JetRecords(bus)
    async with following(bus) as (follower, facts):
        seq = await records.create(spec_key("j"), JobSpec(nonce="n"))
        seq = await records.purge(spec_key("j"), seq, remember=60)
        assert await follower.reached(seq, 5)
        assert [(fact.key, fact.record is None) for fact in facts] == [
            (spec_key("j"), False),
            (spec_key("j"), True),
        ]
    async with following(bus) as (_, facts):
        assert [(fact.seq, fact.record) for fact in facts] == [(2, None)]


async def test_an_end_of_the_stream_that_was_purged_is_no_hole(bus: Bus):
    await write(JetRecords(bus), 0, 5)
    await jsapi.call(bus, f"STREAM.PURGE.{bus.cell.stream(STATE)}")
    async with following(bus) as (follower, facts):
        assert (follower.applied, facts) == (5, [])
        last = await write(JetRecords(bus), 5, 1)
        assert await follower.reached(last, 5)


async def test_a_stream_made_anew_starts_over(bus: Bus, monkeypatch):
    monkeypatch.setattr(module, "WATCH_SECONDS", 0.05)
    resets = []
    async with following(bus, on_reset=lambda: resets.append(1)) as (follower, facts):
        await follower.reached(await write(JetRecords(bus), 0, 10), 5)
        await jsapi.call(bus, f"STREAM.DELETE.{bus.cell.stream(STATE)}")
        await topology.ensure(bus)
        facts.clear()
        await write(JetRecords(bus), 10, 3)
        await eventually(lambda: seqs(facts) == [1, 2, 3])
        assert resets == [1]


async def test_what_cannot_be_read_is_logged_and_passed_over(bus: Bus, cell: Cell, caplog):
    async with following(bus) as (follower, facts):
        await bus.client.request(cell.of_key(spec_key("j")), b"garbage", timeout=5)  # on the stream
        await bus.client.publish(cell.republished(cell.of_key(spec_key("k"))), b"{}")  # no sequence
        forged = {"Nats-Sequence": "999", "Bacalhau-Type": "JobSpec"}
        await bus.client.publish(cell.republished(cell.of_key(spec_key("k"))), b"{}", headers=forged)
        last = await write(JetRecords(bus), 0, 1)
        assert await follower.reached(last, 5)
        assert seqs(facts) == [2]
        await eventually(lambda: follower._following)
        assert follower._heard == {}
    messages = " ".join(record.getMessage() for record in caplog.records)
    assert "job.j.spec" in messages
    assert "no sequence" in messages


async def test_an_apply_that_fails_ends_the_follower(bus: Bus):
    def broken(_fact: Fact) -> None:
        raise ZeroDivisionError

    running = asyncio.create_task(Follower(bus, broken).run())
    await write(JetRecords(bus), 0, 1)
    with pytest.raises(ZeroDivisionError):
        async with asyncio.timeout(5):
            await running


async def test_a_node_hears_what_is_wanted_of_it_and_nothing_else(
    bus: Bus, other_bus: Bus, cell: Cell, caplog
):
    heard: list[Fact] = []
    await follow_desired(bus, "host.example.com", heard.append)
    await bus.flush()
    records = JetRecords(other_bus)
    mine, other = desired_key("e1", "host.example.com"), desired_key("e2", "b")
    seq = await records.create(mine, Desired(wish="run", nonce="1"))
    await records.create(other, Desired(wish="run", nonce="2"))
    await records.put(report_key("b"), NodeReport())
    await bus.client.publish(cell.republished(cell.of_key(mine)), b"garbage")
    stop = Desired(nonce="3", wish=Wish.STOP)
    last = await records.update(mine, stop, seq)
    await eventually(lambda: len(heard) == 2)
    assert [(fact.key, fact.seq) for fact in heard] == [(mine, seq), (mine, last)]
    assert heard[1].record == stop
    assert any("malformed" in record.getMessage() for record in caplog.records)
