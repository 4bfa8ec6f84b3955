"""Writes when things go wrong: races, refusals, answers that never come."""

from __future__ import annotations

import asyncio
import itertools
import json

import pytest

from bacalhau_nats.domain.execution import Desired, Wish
from bacalhau_nats.domain.facts import conclusion_key, desired_key, report_key, spec_key
from bacalhau_nats.domain.ids import ExecutionID, JobID
from bacalhau_nats.domain.job import Conclusion, JobState
from bacalhau_nats.domain.node import NodeReport
from bacalhau_nats.domain.spec import JobSpec
from bacalhau_nats.errors import BusTimeout, Conflict, InvalidSpec, NoResponders, StorageFull, Unavailable
from bacalhau_nats.messaging import jsapi, topology
from bacalhau_nats.messaging.bus import Bus, connect
from bacalhau_nats.messaging.records import JetRecords, stream_state
from bacalhau_nats.messaging.subjects import Cell
from bacalhau_nats.messaging.topology import STATE, Topology
from bacalhau_nats.testing.server import NatsServer
from tests.support.waiting import eventually


class LostAnswers:
    """A bus whose server stores the next writes but whose answers are lost."""

    def __init__(self, bus: Bus, monkeypatch, lose: int) -> None:
        self.asked = 0
        request = bus.request

        async def losing(subject, payload, headers=None, *, within):
            answer = await request(subject, payload, headers, within=within)
            if headers is None:  # an API call, not a write
                return answer
            self.asked += 1
            if self.asked <= lose:
                raise BusTimeout("lost")
            return answer

        monkeypatch.setattr(bus, "request", losing)


def a_spec(nonce: str = "n1", **fields) -> JobSpec:
    return JobSpec(nonce=nonce, **fields)


async def test_a_write_whose_answer_was_lost_is_known_to_be_ours(bus: Bus, monkeypatch):
    records = JetRecords(bus)
    losing = LostAnswers(bus, monkeypatch, lose=1)
    seq = await records.create(spec_key("j"), a_spec())
    assert (seq, await records.last_seq(), losing.asked) == (1, 1, 2)
    losing.asked = 0
    assert await records.update(spec_key("j"), a_spec(priority=1), seq) == 2
    assert await records.last_seq() == 2


async def test_a_placement_whose_answer_was_lost_is_known_to_be_ours(bus: Bus, monkeypatch):
    LostAnswers(bus, monkeypatch, lose=2)
    records = JetRecords(bus)
    assert await records.create(desired_key("e", "a"), Desired(wish="run", nonce="mine")) == 1
    with pytest.raises(Conflict):
        await records.create(desired_key("e", "b"), Desired(wish="run", nonce="mine"))


async def test_the_same_content_of_another_writer_is_a_conflict(bus: Bus):
    records = JetRecords(bus)
    await records.create(spec_key("j"), a_spec("theirs"))
    with pytest.raises(Conflict, match="spec of j has moved on"):
        await records.create(spec_key("j"), a_spec("ours"))


async def test_a_server_that_restarts_in_the_middle_costs_time_and_no_write(
    own_bus: Bus, own_server: NatsServer
):
    """Killed with writes in flight; each is accepted once, and every answer is the truth."""
    records = JetRecords(own_bus, patience=20)
    answers: dict[int, int] = {}
    numbers = itertools.count()
    enough = asyncio.Event()

    async def write() -> None:
        while not enough.is_set():
            number = next(numbers)
            answers[number] = await records.create(spec_key(f"j{number}"), a_spec(f"n{number}"))

    async with asyncio.timeout(30), asyncio.TaskGroup() as group:
        for _ in range(32):
            group.create_task(write())
        await eventually(lambda: len(answers) > 500)
        await own_server.restart(kill=True)
        back = len(answers)
        await eventually(lambda: len(answers) > back + 500)
        enough.set()
    assert await records.last_seq() == len(answers) == len(set(answers.values()))
    for number, seq in itertools.islice(answers.items(), 450, back + 50):
        fact = await records.get(spec_key(f"j{number}"))
        assert (fact.seq, fact.record) == (seq, a_spec(f"n{number}"))


async def test_a_server_that_stays_away_is_a_timeout_or_unavailable(own_bus: Bus, own_server: NatsServer):
    records = JetRecords(own_bus, patience=0.2)
    await own_server.kill()
    with pytest.raises(Unavailable):
        await records.create(spec_key("j"), a_spec())
    with pytest.raises(Unavailable):
        await records.get(spec_key("j"))
    with pytest.raises(Unavailable):
        await records.last_seq()


async def test_an_unsettled_write_says_it_may_have_happened(bus: Bus, monkeypatch):
    LostAnswers(bus, monkeypatch, lose=1_000)
    with pytest.raises(BusTimeout):
        await JetRecords(bus, patience=0.2).put(report_key("n"), NodeReport())


async def test_without_streams_nobody_takes_a_write(server: NatsServer, cell: Cell):
    async with connect(server.url, cell=cell, name="t") as bus:
        with pytest.raises(NoResponders):
            await JetRecords(bus, patience=0.1).create(spec_key("j"), a_spec())


async def test_a_full_stream_refuses_and_says_so(server: NatsServer, cell: Cell):
    async with connect(server.url, cell=cell, name="t") as bus:
        await topology.ensure(bus, Topology(state_max_bytes=4096))
        records = JetRecords(bus)

        async def fill() -> None:
            for number in range(10):
                await records.create(spec_key(f"j{number}"), a_spec(name="x" * 500))

        with pytest.raises(StorageFull) as full:
            await fill()
        assert full.value.hint
        assert await records.get(spec_key("j0")) is not None, "a full stream must not forget"


async def test_a_record_too_large_for_a_message_is_refused_before_it_is_sent(bus: Bus):
    with pytest.raises(InvalidSpec, match="at most 1048576"):
        await JetRecords(bus).create(spec_key("j"), a_spec(name="x" * (1 << 20)))


async def test_a_purged_record_is_gone_with_its_history_and_its_name_is_free_later(bus: Bus):
    records = JetRecords(bus)
    first = await records.create(spec_key("j"), a_spec())
    second = await records.update(spec_key("j"), a_spec(priority=1), first)
    with pytest.raises(Conflict):
        await records.purge(spec_key("j"), first, remember=60)
    assert await records.purge(spec_key("j"), second, remember=60) == 3
    tombstone = await records.get(spec_key("j"))
    assert (tombstone.seq, tombstone.record) == (3, None)
    info = await jsapi.call(bus, f"STREAM.INFO.{bus.cell.stream(STATE)}")
    assert info["state"]["messages"] == 1  # the tombstone
    with pytest.raises(Conflict):
        await records.create(spec_key("j"), a_spec("again"))
    assert await records.update(spec_key("j"), a_spec("over the tombstone"), 3) == 4


async def test_purging_the_rest_leaves_the_last_of_the_spec_and_other_jobs(bus: Bus):
    records = JetRecords(bus)
    for job in ("j", "other"):
        first = await records.create(spec_key(job), a_spec(job))
        await records.update(spec_key(job), a_spec(job, priority=1), first)
        await records.create(desired_key(f"e-{job}", "n"), Desired(wish=Wish.RUN, job_id=job))
        await records.create(conclusion_key(job, 1), Conclusion(job_id=job, state=JobState.COMPLETED))
    await records.purge_rest(JobID("j"), [ExecutionID("e-j")])
    assert (await records.get(spec_key("j"))).record.priority == 1
    assert await records.get(desired_key("e-j", "n")) is None
    assert await records.get(conclusion_key("j", 1)) is None
    info = await jsapi.call(bus, f"STREAM.INFO.{bus.cell.stream(STATE)}")
    assert info["state"]["messages"] == 1 + 4


async def test_a_record_on_the_stream_is_json_a_person_can_read(bus: Bus, cell: Cell):
    await JetRecords(bus).create(spec_key("j.1"), a_spec(name="hello"))
    stored = await bus.jetstream.get_last_msg(cell.stream(STATE), f"bacalhau.{cell.name}.job.j%2E1.spec")
    assert json.loads(stored.data) == {"Name": "hello", "Nonce": "n1"}
    assert stored.headers["Bacalhau-Type"] == "JobSpec"
    assert stored.headers["Bacalhau-Version"] == "1"


async def test_the_stream_says_how_far_it_is_and_when_it_was_made(bus: Bus):
    before = await stream_state(bus)
    await JetRecords(bus).put(report_key("n"), NodeReport())
    after = await stream_state(bus)
    assert (before.last_seq, after.last_seq) == (0, 1)
    assert before.created == after.created


async def test_the_rest_of_a_purge_that_breaks_off_anywhere_keeps_the_conclusion(bus: Bus, monkeypatch):
    """It is the sign that something is left; a purge that is done again removes all."""
    records = JetRecords(bus)
    purge, left = records._purge, 0

    async def breaks(stream, what):
        nonlocal left
        if left == 0:
            raise Unavailable("died")
        left -= 1
        await purge(stream, what)

    monkeypatch.setattr(records, "_purge", breaks)
    key = conclusion_key(JobID("j"), 1)
    await records.create(key, Conclusion(job_id=JobID("j"), state=JobState.COMPLETED))
    for calls in range(5):
        left = calls
        with pytest.raises(Unavailable, match="died"):
            await records.purge_rest(JobID("j"), [ExecutionID("e-j")])
        assert await records.get(key) is not None, calls
    left = 5
    await records.purge_rest(JobID("j"), [ExecutionID("e-j")])
    assert await records.get(key) is None
