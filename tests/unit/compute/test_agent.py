"""One compute node: what it does with offers, assignments, stops, and what an earlier life left."""

import asyncio

import pytest

from bacalhau_nats.compute.agent import Agent
from bacalhau_nats.compute.bidder import Bidder
from bacalhau_nats.compute.capacity import Ledger
from bacalhau_nats.compute.pulse import Pulse
from bacalhau_nats.compute.reports import Reporter
from bacalhau_nats.domain.execution import ExecutionState, Reason, Wish
from bacalhau_nats.domain.facts import Kind, observed_key
from bacalhau_nats.domain.ids import ExecutionID, NodeID
from bacalhau_nats.domain.resources import NOTHING, Resources
from bacalhau_nats.errors import BusTimeout, Unavailable
from bacalhau_nats.messages import Bid, Offer, Wanted, WantedExecution
from tests.support.builders import Story, a_job, a_node, an_execution, seen
from tests.support.roles import ComputeEar, LoopClock, TroubledRecords, breathe, virtually

SPEC = a_job()
E0 = an_execution(SPEC)
ROOM = Resources(milli_cpu=2000, memory=10**9)
N1 = NodeID("n1")
_S = ExecutionState


class Worker:
    """A runner whose work lasts until it is told to end; what it began outlives it in ``containers``."""

    def __init__(self, reporter, containers):
        self.reporter, self.containers = reporter, containers
        self.started, self.attached, self.kept = [], [], []
        self.ends = {}
        self.step = None
        self.slow_to_stop = 0.0

    def end(self, desired, state=_S.COMPLETED):
        self.ends[desired.execution_id].set_result(state)

    async def _work(self, desired, step):
        self.step = step
        self.containers.add(desired.execution_id)
        self.ends[desired.execution_id] = asyncio.get_running_loop().create_future()
        try:
            state = await self.ends[desired.execution_id]
        except asyncio.CancelledError:
            await asyncio.sleep(self.slow_to_stop)
            raise
        finally:
            self.containers.discard(desired.execution_id)
        return self.reporter.seen(desired, state)

    async def run(self, desired, step):
        self.started.append(desired.execution_id)
        return await self._work(desired, step)

    async def attach(self, desired, step):
        self.attached.append(desired.execution_id)
        return await self._work(desired, step) if desired.execution_id in self.containers else None

    async def sweep(self, keep):
        self.kept.append(keep)
        self.containers &= set(keep)


class Life:
    """One life of the node n1; `again` kills it where it is and begins the next."""

    def __init__(self, story=None, containers=None, number=1):
        self.story = story or Story()
        self.number = number
        self.records = TroubledRecords(self.story.stream)
        self.bus = ComputeEar()
        self.clock = LoopClock()
        self.ledger = Ledger(ROOM)
        instance = f"n1#{number}"
        self.reporter = Reporter(N1, instance, self.records, self.clock)
        self.worker = Worker(self.reporter, set() if containers is None else containers)
        self.agent = Agent(
            bus=self.bus,
            reporter=self.reporter,
            pulse=Pulse(N1, instance, self.ledger, self.bus, self.clock),
            runner=self.worker,
            ledger=self.ledger,
            bidder=Bidder(N1, self.ledger, a_node),
        )
        if not self.story.facts:
            self.story.tell(SPEC)

    async def hear(self, desired):
        """A desired record is accepted and heard."""
        seq = self.story.tell(desired)
        self.agent.on_desired(desired, seq)
        await breathe()
        return seq

    async def catch_up(self):
        """Ask a requester that knows everything."""
        stream = self.story.stream
        executions = []
        for key, fact in stream.last.items():
            if key.kind is not Kind.DESIRED or fact.record.wish is Wish.ABANDONED:
                continue
            seen_fact = stream.last.get(observed_key(key.owner, "n1"))
            if seen_fact is not None and seen_fact.record.state in {_S.COMPLETED, _S.FAILED, _S.CANCELLED}:
                continue
            executions.append(
                WantedExecution(
                    seq=fact.seq,
                    desired=fact.record,
                    observed_seq=seen_fact.seq if seen_fact else 0,
                    observed=seen_fact.record if seen_fact else None,
                )
            )
        self.bus.wanted = Wanted(seq=stream.seq, executions=tuple(executions))
        await self.agent.settle_in()
        await breathe()

    async def again(self):
        """Die as by kill -9: what runs outside goes on, and nobody tidies up."""
        outside = set(self.worker.containers)
        for running in list(self.agent.executions.values()):
            running.task.cancel()
        await breathe()
        return Life(self.story, outside, self.number + 1)

    def observed(self, desired=E0):
        """Give all that this node reported of an execution."""
        key = observed_key(desired.execution_id, "n1")
        return [f.record for f in self.story.facts if f.key == key]

    def states(self, desired=E0):
        return [record.state for record in self.observed(desired)]


def offer(desired=E0, **changes):
    made = Offer(execution_id=desired.execution_id, node_id=N1, requester="r1", job=SPEC)
    return made.but(**changes)


# --- offers ------------------------------------------------------------------------------------------


@virtually
async def test_a_bid_holds_room_until_it_is_withdrawn():
    life = Life()
    await life.agent.on_offer(offer())
    ((requester, bid),) = life.bus.answers
    assert (requester, isinstance(bid, Bid), bid.free.milli_cpu) == ("r1", True, 1000)
    await life.agent.on_offer(offer(withdrawn=True))
    assert life.ledger.free == ROOM


@virtually
async def test_what_runs_is_not_withdrawn():
    life = Life()
    await life.hear(E0)
    await life.agent.on_offer(offer(withdrawn=True))
    assert life.ledger.claimed == 1


# --- the good way ----------------------------------------------------------------------------------------


@virtually
async def test_an_assignment_is_begun_reported_run_and_reported():
    life = Life()
    await life.agent.on_offer(offer())
    await life.hear(E0)
    assert life.states() == [_S.RUNNING]
    assert (life.ledger.claimed, life.worker.started) == (1, [E0.execution_id])
    life.worker.end(E0)
    await breathe()
    assert life.states() == [_S.RUNNING, _S.COMPLETED]
    assert (life.ledger.free, life.agent.executions) == (ROOM, {})


@virtually
async def test_it_is_stored_that_work_begins_before_it_begins():
    life = Life()
    stored_before = []
    life.records.before_write = lambda _key: stored_before.append(list(life.worker.started))
    await life.hear(E0)
    assert stored_before == [[]]


@virtually
async def test_room_is_free_before_the_end_is_told():
    life = Life()
    await life.hear(E0)
    free = []
    life.records.before_write = lambda _key: free.append(life.ledger.free)
    life.worker.end(E0)
    await breathe()
    assert free == [ROOM]


@virtually
async def test_steps_on_the_way_are_reported():
    life = Life()
    await life.hear(E0)
    await life.worker.step(_S.PUBLISHING)
    life.worker.end(E0)
    await breathe()
    assert life.states() == [_S.RUNNING, _S.PUBLISHING, _S.COMPLETED]


@virtually
async def test_the_same_assignment_heard_again_changes_nothing():
    life = Life()
    seq = await life.hear(E0)
    life.agent.on_desired(E0, seq)
    life.worker.end(E0)
    await breathe()
    life.agent.on_desired(E0, seq)
    await breathe()
    assert life.worker.started == [E0.execution_id]
    assert life.states() == [_S.RUNNING, _S.COMPLETED]


@virtually
async def test_an_assignment_without_its_job_is_not_run():
    life = Life()
    await life.hear(E0.but(job=None))
    assert (life.worker.started, life.observed(), life.agent.executions) == ([], [], {})


# --- beginning goes wrong ----------------------------------------------------------------------------------


@virtually
async def test_what_an_earlier_life_began_is_not_begun_again():
    life = Life()
    life.story.tell(seen(E0, instance="n1#0"))
    await life.hear(E0)
    assert life.worker.started == []
    assert life.ledger.free == ROOM


@pytest.mark.parametrize("stored", [False, True])
@virtually
async def test_when_it_is_not_certain_that_it_began_nothing_starts_until_that_is_known(stored):
    life = Life()
    life.records.trouble = [(BusTimeout("no answer"), stored)]
    await life.hear(E0)
    assert (life.worker.started, life.agent.executions, life.ledger.free) == ([], {}, ROOM)
    await life.catch_up()
    if stored:
        assert life.worker.started == []
        assert life.states() == [_S.RUNNING, _S.FAILED]
        assert life.observed()[-1].reason is Reason.LOST_AT_RESTART
    else:
        assert life.worker.started == [E0.execution_id]


@virtually
async def test_without_room_an_assignment_is_declined_and_tried_by_nobody():
    life = Life()
    life.ledger.hold(ExecutionID("e-other"), Resources(milli_cpu=1500), until=9e9)
    await life.hear(E0)
    (record,) = life.observed()
    assert (record.state, record.reason, record.retryable) == (_S.DECLINED, Reason.NO_ROOM, True)
    assert record.message == "the room that was held is gone: CPU 1 of 0.5 free"
    assert (life.worker.started, life.agent.executions) == ([], {})


@virtually
async def test_a_decline_is_told_however_long_the_bus_is_away():
    life = Life()
    life.ledger.hold(ExecutionID("e-other"), ROOM, until=9e9)
    life.records.trouble = [(Unavailable("no bus"), False)] * 20
    await life.hear(E0)
    await asyncio.sleep(11)
    assert life.states() == [_S.DECLINED]


@virtually
async def test_an_old_version_of_a_job_is_refused():
    life = Life()
    newer = an_execution(SPEC.but(version=2))
    await life.hear(newer)
    await life.hear(E0)
    (record,) = life.observed(E0)
    assert (record.state, record.reason) == (_S.DECLINED, Reason.OLD_VERSION)
    assert record.message == "the job is at version 2 by now"
    assert life.worker.started == [newer.execution_id]


# --- stops -------------------------------------------------------------------------------------------------


@virtually
async def test_a_stop_before_anything_began_is_settled_at_once():
    life = Life()
    await life.hear(E0.but(wish=Wish.STOP, message="not needed"))
    (record,) = life.observed()
    assert (record.state, record.reason, record.message) == (_S.CANCELLED, Reason.STOPPED, "not needed")
    assert life.worker.started == []


@virtually
async def test_a_stop_while_it_begins_ends_it_before_it_starts():
    life = Life()
    life.agent.on_desired(E0, life.story.tell(E0))
    stop = E0.but(wish=Wish.STOP)
    await life.hear(stop)
    assert (life.worker.started, life.states()) == ([], [_S.RUNNING, _S.CANCELLED])
    assert life.observed()[-1].message == "stopped on request"


@virtually
async def test_a_stop_while_running_stops_the_work():
    life = Life()
    await life.hear(E0)
    await life.hear(E0.but(wish=Wish.STOP, message="enough"))
    assert life.worker.containers == set()
    assert life.states() == [_S.RUNNING, _S.CANCELLED]
    assert (life.observed()[-1].message, life.ledger.free) == ("enough", ROOM)


@virtually
async def test_an_execution_that_ends_while_it_is_stopped_keeps_its_own_end():
    life = Life()
    await life.hear(E0)
    life.worker.end(E0)
    stop = E0.but(wish=Wish.STOP)
    life.agent.on_desired(stop, life.story.tell(stop))
    await breathe()
    assert life.states()[-1] in {_S.COMPLETED, _S.CANCELLED}
    assert len(life.states()) == 2


@virtually
async def test_an_abandoned_execution_is_stopped_without_a_word():
    life = Life()
    await life.hear(E0)
    await life.hear(E0.but(wish=Wish.ABANDONED))
    assert life.worker.containers == set()
    assert life.states() == [_S.RUNNING]
    assert life.ledger.free == ROOM


@virtually
async def test_a_stopped_execution_that_is_then_abandoned_says_no_more():
    life = Life()
    life.worker.slow_to_stop = 5.0
    await life.hear(E0)
    await life.hear(E0.but(wish=Wish.STOP))
    await life.hear(E0.but(wish=Wish.ABANDONED))
    await asyncio.sleep(6)
    assert life.states() == [_S.RUNNING]


@virtually
async def test_an_abandoned_execution_that_was_never_heard_of_is_not_run_later():
    """The abandon may overtake the assignment."""
    life = Life()
    first = life.story.tell(E0)
    await life.hear(E0.but(wish=Wish.ABANDONED))
    life.agent.on_desired(E0, first)
    await breathe()
    assert (life.worker.started, life.observed()) == ([], [])


# --- catching up ---------------------------------------------------------------------------------------------


@virtually
async def test_an_assignment_that_was_not_heard_is_found_by_asking():
    life = Life()
    life.story.tell(E0)
    await life.catch_up()
    assert life.worker.started == [E0.execution_id]
    (question,) = life.bus.questions
    assert (question.node_id, question.instance, question.doing) == ("n1", "n1#1", ())


@virtually
async def test_what_is_not_wanted_any_more_is_dropped():
    life = Life()
    seq = await life.hear(E0)
    life.bus.wanted = Wanted(seq=seq - 1)
    await life.agent.catch_up()
    await breathe()
    assert life.worker.containers, "the answer is older than the assignment"
    life.bus.wanted = Wanted(seq=seq)
    await life.agent.catch_up()
    await breathe()
    assert life.worker.containers == set()
    assert life.states() == [_S.RUNNING], "it is given up: no word"


@virtually
async def test_when_nobody_answers_everything_goes_on():
    life = Life()
    await life.hear(E0)
    life.bus.wanted = None
    with pytest.raises(Unavailable):
        await life.agent.catch_up()
    assert life.worker.containers


@virtually
async def test_a_stop_that_was_not_heard_is_found_by_asking():
    life = Life()
    await life.hear(E0)
    life.story.tell(E0.but(wish=Wish.STOP))
    await life.catch_up()
    assert life.states() == [_S.RUNNING, _S.CANCELLED]


@virtually
async def test_an_answer_from_before_the_end_does_not_start_it_again():
    life = Life()
    seq = await life.hear(E0)
    begun = life.observed()[0]
    old = WantedExecution(seq=seq, desired=E0, observed_seq=seq + 1, observed=begun)
    older = WantedExecution(seq=seq, desired=E0)
    life.worker.end(E0)
    await breathe()
    for answer in (old, older):
        life.bus.wanted = Wanted(seq=99, executions=(answer,))
        await life.agent.catch_up()
        await breathe()
    assert (life.worker.started, life.worker.attached) == ([E0.execution_id], [])
    assert life.states() == [_S.RUNNING, _S.COMPLETED]


@virtually
async def test_what_does_not_fit_in_one_answer_is_asked_for_again():
    life = Life()
    first, second = (an_execution(SPEC, partition=p) for p in (0, 1))
    seqs = [life.story.tell(e) for e in (first, second)]

    async def answer(question):
        life.bus.questions.append(question)
        told = [WantedExecution(seq=seqs[0], desired=first.but(job=None))]
        if first.execution_id not in question.doing:
            return Wanted(seq=2, partial=True, executions=(WantedExecution(seq=seqs[0], desired=first),))
        return Wanted(seq=9, executions=(*told, WantedExecution(seq=seqs[1], desired=second)))

    life.bus.ask_wanted = answer
    assert await life.agent.catch_up()
    await breathe()
    assert life.worker.started == [first.execution_id, second.execution_id]
    assert len(life.bus.questions) == 2


@virtually
async def test_nothing_is_swept_or_ended_on_an_answer_that_is_not_whole():
    life = Life(containers={"e-somebody-wants-it"})
    await life.hear(E0)
    life.bus.wanted = Wanted(seq=99, partial=True)
    with pytest.raises(Unavailable):
        await life.agent.settle_in()
    await breathe()
    assert life.worker.containers == {"e-somebody-wants-it", E0.execution_id}


@virtually
async def test_what_ended_while_the_answer_was_on_its_way_can_still_be_begun_later():
    life = Life()
    life.story.tell(E0)
    life.agent.on_desired(E0.but(job=None), 2)
    life.agent.on_desired(E0, 2)
    await breathe()
    assert life.worker.started == [E0.execution_id]


# --- the next life ---------------------------------------------------------------------------------------------


@virtually
async def test_killed_before_it_began_the_next_life_begins_it():
    life = Life()
    life.story.tell(E0)
    life = await life.again()
    await life.catch_up()
    assert life.worker.started == [E0.execution_id]
    life.worker.end(E0)
    await breathe()
    assert life.states() == [_S.RUNNING, _S.COMPLETED]


@virtually
async def test_killed_while_it_ran_the_next_life_goes_on_with_it():
    life = Life()
    await life.hear(E0)
    life = await life.again()
    await life.catch_up()
    assert (life.worker.started, life.worker.attached) == ([], [E0.execution_id])
    assert life.ledger.claimed == 1
    assert life.worker.kept == [[E0.execution_id]]
    life.worker.end(E0)
    await breathe()
    assert life.states() == [_S.RUNNING, _S.COMPLETED]
    assert [r.instance for r in life.observed()] == ["n1#1", "n1#2"]


@virtually
async def test_killed_while_it_ran_and_nothing_is_left_the_next_life_says_so():
    life = Life()
    await life.hear(E0)
    life = await life.again()
    life.worker.containers.clear()
    await life.catch_up()
    last = life.observed()[-1]
    assert (last.state, last.reason, last.retryable) == (_S.FAILED, Reason.LOST_AT_RESTART, True)
    assert last.message == "the node restarted and could not find the execution again"
    assert life.ledger.free == ROOM


@virtually
async def test_killed_between_the_end_and_its_report_the_next_life_says_lost():
    life = Life()
    await life.hear(E0)
    life.records.trouble = [(Unavailable("no bus"), False)] * 1000
    life.worker.end(E0)
    await breathe()
    life = await life.again()
    await life.catch_up()
    assert life.states() == [_S.RUNNING, _S.FAILED]
    assert life.worker.started == []


@virtually
async def test_a_stop_of_what_an_earlier_life_began_removes_it_and_says_so():
    life = Life()
    await life.hear(E0)
    life = await life.again()
    life.story.tell(E0.but(wish=Wish.STOP))
    await life.catch_up()
    assert (life.worker.containers, life.worker.attached) == (set(), [])
    assert life.states() == [_S.RUNNING, _S.CANCELLED]


@virtually
async def test_a_stop_heard_before_catching_up_leaves_what_an_earlier_life_began_to_it():
    life = Life()
    await life.hear(E0)
    life = await life.again()
    await life.hear(E0.but(wish=Wish.STOP))
    assert life.states() == [_S.RUNNING]
    await life.catch_up()
    assert life.states() == [_S.RUNNING, _S.CANCELLED]
    assert life.worker.containers == set()


@virtually
async def test_what_nobody_wants_any_more_is_swept_at_the_start():
    life = Life()
    await life.hear(E0)
    life = await life.again()
    life.story.tell(E0.but(wish=Wish.ABANDONED))
    await life.catch_up()
    assert life.worker.containers == set()
    assert life.states() == [_S.RUNNING]


@virtually
async def test_what_goes_on_does_so_though_the_node_has_less_room_now():
    life = Life()
    await life.hear(E0)
    life = await life.again()
    life.ledger.total = NOTHING
    await life.catch_up()
    assert life.ledger.claimed == 1


# --- shutting down -----------------------------------------------------------------------------------------------


@virtually
async def test_what_ends_within_the_grace_is_reported_as_it_ended():
    life = Life()
    await life.hear(E0)
    asyncio.get_running_loop().call_later(2, life.worker.end, E0)
    began = life.clock.monotonic()
    await life.agent.shut_down(grace=10)
    assert life.states() == [_S.RUNNING, _S.COMPLETED]
    assert life.clock.monotonic() - began == pytest.approx(2)


@virtually
async def test_what_does_not_end_is_stopped_and_can_be_tried_elsewhere_at_once():
    life = Life()
    await life.hear(E0)
    await life.agent.shut_down(grace=1)
    last = life.observed()[-1]
    assert (last.state, last.reason, last.retryable) == (_S.FAILED, Reason.LOST_AT_RESTART, True)
    assert last.message == "the node was shut down"
    assert (life.worker.containers, life.agent.executions) == (set(), {})


@virtually
@pytest.mark.parametrize("slow_to_stop", [0.0, 12.0], ids=["while it reports", "while the work still stops"])
async def test_it_shuts_down_although_nothing_can_be_reported(slow_to_stop):
    life = Life()
    await life.hear(E0)
    life.worker.slow_to_stop = slow_to_stop
    life.records.trouble = [(Unavailable("no server"), False)] * 1000
    began = life.clock.monotonic()
    await life.agent.shut_down(grace=5)
    assert life.agent.executions == {}
    assert life.clock.monotonic() - began == pytest.approx(15)
    assert life.states() == [_S.RUNNING], "the next life finds that it was lost"


@virtually
@pytest.mark.parametrize("grace", [0, 3600])
async def test_after_the_grace_reports_get_a_time_of_their_own(grace):
    life = Life()
    await life.hear(E0)
    life.worker.slow_to_stop = 7200
    began = life.clock.monotonic()
    await life.agent.shut_down(grace=grace)
    assert life.clock.monotonic() - began == pytest.approx(grace + 10)


@virtually
async def test_with_nothing_to_do_it_shuts_down_at_once():
    life = Life()
    began = life.clock.monotonic()
    await life.agent.shut_down(grace=10)
    assert life.clock.monotonic() == began


@virtually
@pytest.mark.parametrize("busy", [True, False])
async def test_an_assignment_that_comes_while_it_shuts_down_is_declined(busy):
    life = Life()
    if busy:
        await life.hear(E0)
    late = an_execution(SPEC, partition=1)
    leaving = asyncio.create_task(life.agent.shut_down(grace=1))
    await breathe()
    await life.hear(late)
    await leaving
    assert life.states(late) == [_S.DECLINED]
    assert life.agent.executions == {}


# --- memory ------------------------------------------------------------------------------------------------------


@virtually
async def test_what_is_remembered_of_the_past_is_bounded(monkeypatch):
    monkeypatch.setattr("bacalhau_nats.compute.agent._REMEMBERED", 4)
    life = Life()
    for number in range(12):
        other = an_execution(SPEC.but(id=f"j-{number}", nonce=f"{number}"))
        seq = await life.hear(other)
        life.worker.end(other)
        await breathe()
        life.agent.on_desired(other, seq)  # the newest are remembered
        await breathe()
    assert len(life.worker.started) == 12
    assert len(life.agent._past) <= 4
    assert len(life.agent._versions) <= 4
