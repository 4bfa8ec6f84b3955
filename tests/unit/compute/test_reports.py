"""Observed records: stored by compare-and-set, and what became of one whose answer was lost is found out."""

import pytest

from bacalhau_nats.compute.reports import Reporter
from bacalhau_nats.domain.execution import ExecutionState, Reason, Wish
from bacalhau_nats.domain.facts import observed_key
from bacalhau_nats.domain.ids import NodeID
from bacalhau_nats.errors import BusTimeout, Conflict, Unavailable
from tests.support.builders import Story, a_job, an_execution, seen
from tests.support.roles import LoopClock, TroubledRecords, virtually

E0 = an_execution(a_job())
KEY = observed_key(E0.execution_id, "n1")
_S = ExecutionState
LOST, SILENT = (BusTimeout("answer lost"), True), (BusTimeout("not stored"), False)
REFUSED = (Conflict("sent twice, and the second is refused"), True)


class Desk:
    def __init__(self):
        self.story = Story()
        self.records = TroubledRecords(self.story.stream)
        self.reporter = Reporter(NodeID("n1"), "n1#1", self.records, LoopClock())

    def state(self):
        return self.story.stream.last[KEY].record.state

    async def begin(self):
        return await self.reporter.begin(self.reporter.seen(E0, _S.RUNNING))


@virtually
async def test_the_first_record_is_created():
    desk = Desk()
    assert await desk.begin() == 1
    record = desk.story.stream.last[KEY].record
    assert (record.instance, record.node_id, record.job_id) == ("n1#1", "n1", "j-1")


@virtually
async def test_an_earlier_life_began_it():
    desk = Desk()
    desk.story.tell(seen(E0))
    assert await desk.begin() == 0


@virtually
async def test_without_certainty_nothing_begins():
    desk = Desk()
    for trouble in (LOST, SILENT):
        desk.records.trouble = [trouble]
        with pytest.raises(Unavailable):
            await desk.begin()


@pytest.mark.parametrize("stored", [False, True])
@virtually
async def test_a_first_record_that_is_the_last_is_told_until_it_is_stored(stored):
    desk = Desk()
    desk.records.trouble = [SILENT, SILENT, LOST if stored else SILENT]
    await desk.reporter.begin(desk.reporter.declined(E0, Reason.NO_ROOM, "full"))
    assert desk.state() is _S.DECLINED
    assert desk.story.stream.seq == 1


@pytest.mark.parametrize(
    "trouble", [[], [SILENT] * 3, [LOST], [SILENT, LOST], [REFUSED], [(Unavailable("no bus"), False)]]
)
@virtually
async def test_a_report_is_stored_once_whatever_becomes_of_the_answers(trouble):
    desk = Desk()
    revision = await desk.begin()
    desk.records.trouble = list(trouble)
    assert await desk.reporter.store(desk.reporter.seen(E0, _S.COMPLETED), revision) == 2
    assert desk.state() is _S.COMPLETED
    assert desk.story.stream.seq == 2


@virtually
async def test_when_reading_back_fails_it_is_tried_again():
    desk = Desk()
    revision = await desk.begin()
    desk.records.trouble, desk.records.reads_fail = [REFUSED, REFUSED], 1
    assert await desk.reporter.store(desk.reporter.seen(E0, _S.PUBLISHING), revision) == 2
    assert desk.records.reads_fail == 0


@virtually
async def test_a_step_whose_answer_nobody_waited_for_is_built_upon():
    desk = Desk()
    revision = await desk.begin()
    await desk.reporter.store(desk.reporter.seen(E0, _S.PUBLISHING), revision)
    assert await desk.reporter.store(desk.reporter.seen(E0, _S.COMPLETED), revision) == 3
    assert desk.state() is _S.COMPLETED


@pytest.mark.parametrize(
    ("theirs", "state"),
    [
        ({"instance": "n1#2"}, _S.RUNNING),
        ({"instance": "n1#2"}, _S.FAILED),
        ({"instance": "n1#1"}, _S.FAILED),
    ],
)
@virtually
async def test_what_another_life_or_an_end_wrote_stands(theirs, state):
    desk = Desk()
    revision = await desk.begin()
    desk.story.tell(seen(E0, state, **theirs))
    assert await desk.reporter.store(desk.reporter.seen(E0, _S.COMPLETED), revision) == 0
    assert desk.state() is state


@virtually
async def test_a_record_that_was_purged_is_not_written_again():
    desk = Desk()
    assert await desk.reporter.store(desk.reporter.seen(E0, _S.COMPLETED), 7) == 0
    assert KEY not in desk.story.stream.last


@virtually
async def test_records_say_what_happened_in_words():
    reporter = Desk().reporter
    declined = reporter.declined(E0, Reason.NO_ROOM, "full")
    assert (declined.state, declined.reason, declined.message) == (_S.DECLINED, Reason.NO_ROOM, "full")
    stopped = reporter.cancelled(E0.but(wish=Wish.STOP, message="enough"))
    assert (stopped.state, stopped.reason, stopped.message) == (_S.CANCELLED, Reason.STOPPED, "enough")
    assert reporter.cancelled(E0.but(message="placed")).message == "stopped on request"
    lost = reporter.lost_at_restart(E0, "gone")
    assert (lost.state, lost.reason, lost.retryable) == (_S.FAILED, Reason.LOST_AT_RESTART, True)
    assert len({r.nonce for r in (declined, stopped, lost)}) == 3
