"""Finished jobs leave after a while with all that was theirs; nothing else ever does."""

import asyncio

import pytest

from bacalhau_nats.domain.execution import ExecutionState
from bacalhau_nats.domain.ids import JobID
from bacalhau_nats.domain.job import Conclusion, JobState
from bacalhau_nats.domain.spec import InputSource, SpecConfig
from bacalhau_nats.errors import Conflict, InternalError, Unavailable
from bacalhau_nats.requester.retention import Retention, digests
from tests.support.builders import NOW, Story, a_job, a_task, an_execution, seen
from tests.support.roles import LoopClock, virtually

HOUR = 3600.0


class Objects:
    """Named bytes by age in seconds."""

    def __init__(self, **ages):
        self.held, self.away = dict(ages), False

    async def ages(self):
        if self.away:
            raise Unavailable("no bus")
        return dict(self.held)

    async def delete(self, name):
        self.held.pop(name, None)


class House:
    """A cell whose facts are `Story`'s; what is purged is gone from its view."""

    def __init__(self, keep=HOUR, now=NOW - 2 * HOUR):
        self.story = Story(now)
        self.rest, self.refuse = [], False
        self.blobs, self.results = Objects(), Objects()
        self.retention = Retention(self.story.view, self, self.blobs, self.results, LoopClock(), keep)

    async def purge(self, key, revision, *, remember):
        if self.refuse or self.story.stream.last[key].seq != revision:
            raise Conflict("moved on")
        assert remember > 0
        return self.story.purge(key.owner)

    async def purge_rest(self, job, executions):
        self.rest.append((job, sorted(executions)))
        self.story.stream.purge_rest(job, executions)

    async def get(self, key):
        return self.story.stream.last.get(key)

    def finished(self, job_id="j-1", **changes):
        spec = a_job(job_id, **changes).but(created=int(self.story.now * 1e9))
        desired = an_execution(spec)
        result = SpecConfig(type="nats", params={"Key": f"{job_id}.tar.gz"})
        self.story.tell(
            spec,
            desired,
            seen(desired, ExecutionState.COMPLETED, result=result),
            Conclusion(job_id=spec.id, state=JobState.COMPLETED),
        )
        self.results.held[f"{job_id}.tar.gz"] = 9
        return desired

    def jobs(self):
        return [row.id for row in self.story.view.rows()]


@virtually
async def test_a_finished_job_leaves_with_its_records_and_results():
    house = House()
    desired = house.finished()
    assert await house.retention.once() == 1
    assert house.jobs() == []
    assert house.rest == [("j-1", [desired.execution_id])]
    assert house.results.held == {}
    assert await house.retention.once() == 0


@virtually
async def test_all_that_is_overdue_leaves_in_one_pass(monkeypatch):
    monkeypatch.setattr("bacalhau_nats.requester.retention._AT_ONCE", 3)
    house = House()
    for number in range(10):
        house.finished(f"j-{number}")
    assert await house.retention.once() == 10
    assert house.jobs() == []


@virtually
async def test_an_archived_job_leaves_too():
    house = House()
    house.finished()
    house.story.view.tidy()
    assert await house.retention.once() == 1


@virtually
async def test_what_is_young_or_unfinished_stays():
    house = House()
    house.story.tell(a_job("j-unfinished", created=1))
    house.story.now = NOW - HOUR / 2
    house.finished("j-young")
    assert await house.retention.once() == 0
    assert sorted(house.jobs()) == ["j-unfinished", "j-young"]


@virtually
async def test_a_job_stays_while_one_of_its_executions_runs():
    house = House()
    spec = a_job(created=1)
    house.story.tell(spec, an_execution(spec), Conclusion(job_id=spec.id, state=JobState.FAILED))
    assert await house.retention.once() == 0


@virtually
async def test_a_job_that_was_updated_meanwhile_stays_whole():
    house = House()
    house.finished()
    house.refuse = True
    assert await house.retention.once() == 0
    assert (house.rest, house.jobs()) == ([], ["j-1"])
    assert house.results.held == {"j-1.tar.gz": 9}


@virtually
async def test_jobs_are_kept_for_ever_where_that_is_set():
    house = House(keep=0)
    house.finished()
    assert await house.retention.once() == 0


@virtually
async def test_what_a_dead_requester_left_of_a_purge_is_removed_by_one_that_saw_its_tombstone():
    house = House()
    desired = house.finished()
    house.story.now = NOW
    house.story.purge("j-1")  # and its writer dies
    await house.retention.once()
    assert house.rest == [], "it may still be at it"
    await asyncio.sleep(120)
    await house.retention.once()
    assert house.rest == [("j-1", [desired.execution_id])]
    assert house.results.held == {}
    await house.retention.once()
    assert len(house.rest) == 1


@virtually
async def test_a_purge_that_another_finished_is_left_alone():
    house = House()
    desired = house.finished()
    house.story.now = NOW
    house.story.purge("j-1")
    house.story.stream.purge_rest(JobID("j-1"), [desired.execution_id])
    await asyncio.sleep(120)
    await house.retention.once()
    assert (house.rest, house.story.view.purged) == ([], {})


@virtually
async def test_a_requester_that_slept_touches_no_records_of_an_id_that_may_be_used_again():
    house = House()
    house.finished()
    house.story.now = NOW
    house.story.purge("j-1")
    await asyncio.sleep(HOUR / 2)
    await house.retention.once()
    assert (house.rest, house.story.view.purged) == ([], {})


@pytest.mark.parametrize(
    ("told", "removed"), [(NOW - 2 * HOUR, True), (NOW - HOUR / 2, True), (NOW - 60, False)]
)
@virtually
async def test_records_whose_job_is_gone_are_removed_when_they_are_old(told, removed):
    house = House(now=told)
    desired = an_execution(a_job())
    house.story.tell(desired)
    await house.retention.once()
    assert house.rest == ([("j-1", [desired.execution_id])] if removed else [])
    assert (JobID("j-1") in house.story.view.unfinished) is not removed


@virtually
async def test_content_that_no_job_names_is_removed_once_it_is_old():
    house = House(keep=0)
    named = InputSource(source=SpecConfig(type="inline", params={"Digest": "sha256:aa"}), target="/in")
    house.finished("j-1", task=a_task(input_sources=(named,)))
    house.blobs.held = {"aa": 9e9, "bb": 2 * HOUR, "cc": 60.0}
    await house.retention.once()
    assert house.blobs.held == {"aa": 9e9, "cc": 60.0}


@virtually
async def test_it_goes_on_by_itself_and_over_a_bus_that_is_away():
    house = House()
    task = asyncio.create_task(house.retention.run())
    house.blobs.away = True
    house.finished()
    await asyncio.sleep(601)
    assert house.jobs() == []
    house.blobs.away = False
    house.blobs.held = {"bb": 2 * HOUR}
    await asyncio.sleep(601)
    assert house.blobs.held == {}
    task.cancel()


@virtually
async def test_a_bug_while_cleaning_up_ends_no_requester(caplog):
    house = House()
    task = asyncio.create_task(house.retention.run())

    async def ages():
        raise InternalError("cannot be")

    house.blobs.ages = ages
    await asyncio.sleep(1300)
    assert not task.done()
    assert caplog.text.count("cannot be") == 2
    task.cancel()


def test_only_content_in_the_store_is_named():
    task = a_task(
        input_sources=(
            InputSource(source=SpecConfig(type="inline", params={"digest": "sha256:aa"})),
            InputSource(source=SpecConfig(type="inline", params={"URL": "data:,x"})),
        )
    )
    assert digests(a_job(task=task)) == {"aa"}
