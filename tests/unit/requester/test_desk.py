"""What makes a requester look at a job, and what it does when it looks."""

import asyncio

import pytest

from bacalhau_nats.domain.execution import ExecutionState, Wish
from bacalhau_nats.domain.ids import JobID, NodeID
from bacalhau_nats.domain.job import Conclusion, JobState, Waiting
from bacalhau_nats.domain.node import Approval, Heartbeat, Membership, NodeRole, Scheduling
from bacalhau_nats.domain.resources import Resources
from bacalhau_nats.domain.roster import Roster
from bacalhau_nats.domain.spec import JobType, StopRequest, Timeouts
from bacalhau_nats.errors import Unavailable
from bacalhau_nats.messages import Nudge, WhatShouldIDo
from bacalhau_nats.requester.desk import Desk, DeskSettings
from tests.support.builders import Story, a_job, a_node, a_task, an_execution
from tests.support.roles import (
    LoopClock,
    RequesterEar,
    TroubledRecords,
    bids,
    breathe,
    declines,
    virtually,
)

J1 = JobID("j-1")
N1 = NodeID("n1")


class Office:
    """A desk with its view, which follows the stream at once unless it is told to lag."""

    def __init__(self, **settings):
        self.story = Story()
        self.clock = LoopClock()
        self.bus = RequesterEar()
        self.records = TroubledRecords(self.story.stream)
        self.sees = True
        self.desk = Desk(
            NodeID("me"),
            "me#1",
            view=self.story.view,
            sight=self,
            roster=Roster(window=15),
            records=self.records,
            bus=self.bus,
            clock=self.clock,
            settings=DeskSettings(**settings),
        )
        self.bus.to = self.desk.on_answer
        self.story.stream.listeners[:] = [self._follow]
        self.pump = asyncio.get_running_loop().create_task(self.desk.pump())
        self.ticks = {}

    def _follow(self, fact):
        self.desk.on_fact(fact, self.story.view.apply(fact))

    async def reached(self, seq, within):
        if not self.sees:
            await asyncio.sleep(within)
        return self.sees

    def node(self, name="n1", cpu=2000, *, answer=bids, after=0.01, **changes):
        """A node reports and beats, and will answer offers."""
        self.story.tell(a_node(name, **changes))
        self.beat(name, cpu)
        self.bus.answers[NodeID(name)] = (after, answer)

    def beat(self, name="n1", cpu=2000, role=NodeRole.COMPUTE):
        self.ticks[name] = self.ticks.get(name, 0) + 1
        free = Resources(milli_cpu=cpu, memory=10**9)
        beat = Heartbeat(node_id=NodeID(name), instance="a", tick=self.ticks[name], free=free, role=role)
        self.desk.on_beat(beat)

    async def look(self, job="j-1", seq=0):
        return await self.desk.on_nudge(Nudge(job_id=JobID(job), seq=seq))

    async def nudged(self):
        """Give the jobs nudged since the last time, with the cause."""
        await breathe()
        found, self.bus.nudges[:] = [(j, cause) for j, _, cause in self.bus.nudges], []
        return sorted(found)

    async def ticking(self, seconds, *, beats=()):
        """Live for some seconds, ticking; ``beats`` are nodes that go on beating."""
        for _ in range(round(seconds)):
            await asyncio.sleep(1)
            for name in beats:
                self.beat(name)
            await self.desk.tick()


# --- looking -------------------------------------------------------------------------------------------


@virtually
async def test_a_nudge_places_the_job():
    office = Office()
    office.node()
    office.story.tell(a_job())
    assert await office.look() is None
    assert office.story.only().state is ExecutionState.ASSIGNED


@virtually
async def test_what_is_due_later_is_told_in_seconds_from_now():
    office = Office()
    office.node(engines=("wasm",))
    office.story.tell(a_job(task=a_task(timeouts=Timeouts(queue_timeout=60))))
    assert await office.look() == pytest.approx(60, abs=0.1)
    assert J1 in office.desk.line


@virtually
async def test_nudges_for_unknown_or_settled_jobs_come_to_nothing():
    office = Office()
    assert await office.look("j-9") is None
    office.story.tell(a_job(), Conclusion(job_id=J1, state=JobState.COMPLETED))
    assert await office.look() is None
    assert office.bus.offers == []


@virtually
async def test_a_nudge_newer_than_the_view_is_left_for_later():
    office = Office()
    office.node()
    office.story.tell(a_job())
    office.sees = False
    assert await office.look(seq=99) == 1.0
    assert office.bus.offers == []


@virtually
async def test_a_nudge_while_looking_makes_it_look_again():
    office = Office()
    office.node(after=0.2)
    office.story.tell(a_job())
    first = asyncio.create_task(office.look())
    await breathe()
    assert await office.look() is None, "taken note of, not waited for"
    office.story.tell(a_job(stop=StopRequest(reason="enough")))
    await first
    assert office.story.job().conclusion.state is JobState.STOPPED


@virtually
async def test_an_error_in_a_look_does_not_block_the_next_one():
    office = Office()
    office.node()
    office.story.tell(a_job())
    office.records.trouble = [(ValueError("a bug"), False)]
    with pytest.raises(ValueError, match="a bug"):
        await office.look()
    await office.look()
    assert len(office.story.job().executions) == 1


@virtually
async def test_whoever_brings_a_job_up_a_bug_in_its_look_is_logged_and_it_comes_up_again(caplog):
    office = Office()
    office.node()
    office.story.tell(a_job())
    await office.nudged()
    office.records.trouble = [(ValueError("a bug"), False)] * 2
    assert await office.desk.attend(Nudge(job_id=J1)) == 10
    office.desk._start_look(J1, 0)
    await asyncio.sleep(0.1)
    assert await office.nudged() == [("j-1", "again")]
    assert caplog.text.count("looking at j-1 failed") == 2
    assert await office.desk.attend(Nudge(job_id=J1)) is None
    assert len(office.story.job().executions) == 1


# --- waiting -------------------------------------------------------------------------------------------


@virtually
async def test_a_job_that_found_no_room_waits_and_is_woken_by_room():
    office = Office()
    office.node(cpu=100)
    office.story.tell(a_job())
    await office.look()
    assert J1 in office.desk.line
    await office.nudged()
    office.beat(cpu=200)
    assert await office.nudged() == []
    await asyncio.sleep(1)
    office.beat(cpu=2000)
    assert await office.nudged() == [], "it is looked at here, without the queue"
    await asyncio.sleep(0.1)
    assert J1 not in office.desk.line
    assert office.story.only().node_id == "n1"


@virtually
async def test_waiting_is_noted_once_and_only_after_a_second():
    office = Office()
    office.node(answer=declines("is busy now"))
    office.story.tell(a_job())
    await office.look()
    await office.desk.tick()
    assert office.story.job().state is JobState.PENDING
    await office.ticking(3, beats=["n1"])
    assert office.story.job().state is JobState.QUEUED
    notes = [f.record for f in office.story.facts if isinstance(f.record, Waiting)]
    head = "Job queued. not enough nodes to run job. requested: 1, available: 1, suitable: 0."
    assert [n.message for n in notes] == [f"{head}\n• Node n1: is busy now"]
    assert (notes[0].reasons, notes[0].requester) == ({"n1": "is busy now"}, "me")


@virtually
async def test_a_daemon_that_runs_where_it_can_does_not_queue_for_nodes_that_do_not_suit_it():
    office = Office()
    office.node()
    office.node("n2", engines=())
    office.story.tell(a_job(type=JobType.DAEMON))
    await office.look()
    await office.ticking(3, beats=["n1", "n2"])
    assert office.story.job().state is JobState.RUNNING
    assert not [f for f in office.story.facts if isinstance(f.record, Waiting)]


@virtually
async def test_a_daemon_that_gave_up_on_every_node_notes_why_nothing_runs():
    office = Office()
    office.node()
    office.story.tell(a_job(type=JobType.DAEMON, count=0))
    await office.look()
    office.story.observe(
        office.story.only().id, ExecutionState.FAILED, retryable=False, message="no such image"
    )
    await office.look()
    await office.ticking(3, beats=["n1"])
    job = office.story.job()
    assert job.state is JobState.RUNNING
    assert "no such image" in job.waitings[1].reasons["n1"]


@virtually
async def test_a_job_that_is_placed_within_a_second_is_never_noted():
    office = Office()
    office.node(cpu=100)
    office.story.tell(a_job())
    await office.look()
    office.beat(cpu=2000)
    await office.look()
    await office.ticking(3, beats=["n1"])
    assert not any(isinstance(f.record, Waiting) for f in office.story.facts)


@virtually
async def test_when_a_note_cannot_be_stored_it_is_tried_again():
    office = Office()
    office.node(cpu=100)
    office.story.tell(a_job())
    await office.look()
    office.records.trouble = [(Unavailable("no bus"), False)]
    await office.ticking(1)
    assert office.story.job().state is JobState.PENDING
    await office.ticking(1)
    assert office.story.job().state is JobState.QUEUED


@virtually
async def test_a_note_of_another_requester_is_as_good():
    office = Office()
    office.node(cpu=100)
    office.story.tell(a_job())
    await office.look()
    theirs = Waiting(job_id=J1, requester="you", nonce="theirs")
    office.records.before_write = lambda key: office.story.stream.last.get(key) or office.story.tell(theirs)
    await office.ticking(2)
    assert office.story.job().waitings[1].requester == "you"


@virtually
async def test_who_waits_at_another_requester_waits_here_too():
    office = Office()
    office.node(cpu=100)
    office.story.tell(a_job(), Waiting(job_id=J1, requester="you"))
    assert J1 in office.desk.line
    office.story.tell(a_job(stop=StopRequest()))
    assert J1 not in office.desk.line


# --- facts ---------------------------------------------------------------------------------------------


@virtually
async def test_an_end_that_i_asked_for_is_looked_at_at_once():
    office = Office()
    office.node()
    office.story.tell(a_job())
    await office.look()
    await office.nudged()
    office.story.observe(office.story.only().id, ExecutionState.COMPLETED)
    await asyncio.sleep(0.1)
    assert office.story.job("j-1").state is JobState.COMPLETED
    assert await office.nudged() == [], "no detour through the queue"


@virtually
async def test_a_fact_that_nobody_acted_on_is_brought_up_again():
    office = Office()
    office.story.tell(a_job())
    assert await office.nudged() == [], "the gateway nudges"
    await office.ticking(1)
    assert await office.nudged() == [("j-1", "overdue")]
    await office.ticking(5)
    assert await office.nudged() == []


@virtually
async def test_a_fact_that_was_acted_on_is_not():
    office = Office()
    office.node()
    office.story.tell(a_job())
    await office.look()
    await office.nudged()
    await office.ticking(3, beats=["n1"])
    assert await office.nudged() == []


@virtually
async def test_a_job_that_another_requester_settled_is_not_brought_up():
    office = Office()
    office.story.tell(a_job(), Conclusion(job_id=J1, state=JobState.COMPLETED, requester="you"))
    await office.ticking(3)
    assert await office.nudged() == []


# --- nodes ---------------------------------------------------------------------------------------------


@virtually
async def test_the_jobs_of_a_lost_node_are_looked_at():
    office = Office()
    office.node()
    office.story.tell(a_job())
    await office.look()
    await office.ticking(10, beats=["n1"])
    await office.nudged()
    await office.ticking(15)
    assert await office.nudged() == []
    await office.ticking(1)
    assert await office.nudged() == [("j-1", "node")]
    await office.look()
    assert office.story.only().state is ExecutionState.LOST


@virtually
@pytest.mark.parametrize("goes", ["lost", "left", "draining", "rejected"])
async def test_a_job_that_waits_for_room_is_looked_at_when_the_last_node_that_could_run_it_goes(goes):
    office = Office()
    office.node("n1", cpu=100)
    office.node("n2", engines=("wasm",))
    office.story.tell(a_job())
    await office.look()
    assert J1 in office.desk.line
    await office.nudged()
    match goes:
        case "lost":
            await office.ticking(16, beats=["n2"])
        case "rejected":
            office.story.tell(Membership(node_id=N1, approval=Approval.REJECTED))
        case _:
            office.story.tell(a_node("n1", **{goes: True}))
    assert ("j-1", "node") in await office.nudged()
    await office.look()
    assert office.story.job().state is JobState.FAILED


@virtually
async def test_a_job_that_waits_for_room_is_left_alone_while_another_node_could_run_it():
    office = Office()
    office.node("n1", cpu=100)
    office.node("n2", cpu=100)
    office.story.tell(a_job())
    await office.look()
    await office.nudged()
    office.story.tell(a_node("n1", left=True))
    assert await office.nudged() == []


@virtually
async def test_a_node_that_joins_is_news_for_ops_jobs_and_those_that_wait_for_a_node():
    office = Office()
    waits = a_task(timeouts=Timeouts(queue_timeout=600))
    office.story.tell(
        a_job("j-1", task=waits), a_job("j-2", type=JobType.DAEMON, count=0), a_job("j-3", type=JobType.BATCH)
    )
    await office.look("j-1")
    await office.nudged()
    office.node()
    found = await office.nudged()
    assert ("j-2", "node") in found
    assert not [job for job, _ in found if job == "j-3"]


@virtually
async def test_a_job_that_waits_for_a_node_is_looked_at_when_one_comes():
    office = Office()
    office.node("n0", engines=("wasm",))
    office.story.tell(a_job(task=a_task(timeouts=Timeouts(queue_timeout=600))))
    await office.look()
    await office.nudged()
    office.node("n1")
    await office.nudged()
    await asyncio.sleep(0.1)
    await office.look()
    assert office.story.only().node_id == "n1"


@virtually
async def test_a_node_that_reports_anew_may_be_asked_again():
    office = Office()
    office.node(answer=declines("has a policy", never=True))
    office.story.tell(a_job(task=a_task(timeouts=Timeouts(queue_timeout=600))))
    await office.look()
    assert office.desk.nodes_now(office.story.job())[N1].refused == "has a policy"
    office.node(labels={"new": "yes"})
    assert office.desk.nodes_now(office.story.job())[N1].refused == ""


@virtually
async def test_beats_of_requesters_are_no_room():
    office = Office()
    office.beat("r1", role=NodeRole.REQUESTER)
    assert await office.nudged() == []


@virtually
async def test_a_node_that_is_drained_is_left_and_one_that_is_opened_again_is_used():
    office = Office()
    office.node("n1")
    office.story.tell(a_job())
    await office.look()
    office.story.tell(Membership(node_id=N1, scheduling=Scheduling.DRAINING))
    assert await office.nudged() == [("j-1", "node")]
    await office.look()
    execution = office.story.only()
    assert execution.wish is Wish.STOP
    office.story.observe(execution.id, ExecutionState.CANCELLED)
    await office.look()
    assert J1 in office.desk.line, "it waits for the node, as there is no other"
    await office.nudged()

    office.story.tell(Membership(node_id=N1))
    assert ("j-1", "node") in await office.nudged()
    await office.ticking(1)
    assert [e.wanted for e in office.story.job().executions.values()] == [False, True]


@virtually
@pytest.mark.parametrize("manual", [False, True])
async def test_nodes_as_they_are_now(manual):
    office = Office(manual_approval=manual)
    office.node("fine")
    office.node("approved")
    office.node("rejected")
    office.node("left", left=True)
    office.node("deleted")
    office.node("other", role=NodeRole.REQUESTER)
    for name, approval in (("approved", Approval.APPROVED), ("rejected", Approval.REJECTED)):
        office.story.tell(Membership(node_id=NodeID(name), approval=approval))
    office.story.tell(Membership(node_id=NodeID("deleted"), deleted=True))
    office.story.tell(Membership(node_id=NodeID("never reported")))
    nodes = office.desk.nodes_now()
    assert {n: (now.live, now.approved) for n, now in nodes.items()} == {
        "fine": (True, not manual),
        "approved": (True, True),
        "rejected": (True, False),
        "left": (False, not manual),
    }


@virtually
async def test_a_stored_node_that_is_silent_counts_for_one_window_after_a_start():
    office = Office()
    office.story.tell(a_node())
    assert office.desk.nodes_now()[N1].live
    await office.ticking(16)
    assert not office.desk.nodes_now()[N1].live


# --- time ----------------------------------------------------------------------------------------------


@virtually
async def test_a_stall_makes_nobody_lost():
    office = Office()
    office.node()
    office.story.tell(a_job())
    await office.look()
    await office.ticking(2, beats=["n1"])
    await office.nudged()
    await asyncio.sleep(60)  # we slept; beats that came meanwhile were not heard
    await office.desk.tick()
    assert office.desk.nodes_now()[N1].live
    assert office.bus.roll_calls == 1
    assert await office.nudged() == [("j-1", "sweep")]
    await office.ticking(16)
    assert ("j-1", "node") in await office.nudged(), "silent for a whole window since"


@virtually
async def test_the_sweep_brings_up_all_that_is_unfinished_now_and_then():
    office = Office(sweep_every=5)
    office.story.tell(a_job("j-1"), a_job("j-2"), Conclusion(job_id=JobID("j-2"), state=JobState.STOPPED))
    office.story.tell(an_execution(a_job("j-unknown")))
    await office.ticking(2)
    await office.nudged()
    await office.ticking(3)
    assert await office.nudged() == [("j-1", "sweep")]


@virtually
async def test_nodes_known_from_the_stream_are_noticed_when_they_stay_silent():
    office = Office()
    spec = a_job()
    office.story.tell(a_node(), spec, an_execution(spec, requester="dead"))
    await office.desk.awake()
    await office.nudged()
    await office.ticking(16)
    assert ("j-1", "node") in await office.nudged()


# --- what nodes ask ------------------------------------------------------------------------------------


@virtually
async def test_a_node_is_told_what_is_wanted_of_it_with_the_spec_of_that_version():
    office = Office()
    spec, newer = a_job(), a_job(version=2)
    old, new, elsewhere = an_execution(spec), an_execution(newer), an_execution(spec, "n2", partition=1)
    office.story.tell(spec, old, newer, new, elsewhere)
    office.story.observe(old.execution_id, ExecutionState.RUNNING)
    answer = office.desk.wanted(WhatShouldIDo(node_id=N1))
    assert answer.seq == office.story.stream.seq
    found = {w.desired.execution_id: w for w in answer.executions}
    assert set(found) == {old.execution_id, new.execution_id}
    assert found[old.execution_id].desired.job == spec
    assert found[new.execution_id].desired.job == newer
    assert found[old.execution_id].observed.state is ExecutionState.RUNNING
    assert found[old.execution_id].observed_seq == office.story.stream.seq
    assert found[new.execution_id].observed is None


@virtually
async def test_what_has_ended_is_not_wanted_but_what_shall_stop_is_named():
    office = Office()
    spec = a_job(count=2)
    ended, stopping = an_execution(spec), an_execution(spec, partition=1)
    office.story.tell(spec, ended, stopping)
    office.story.observe(ended.execution_id, ExecutionState.FAILED)
    office.story.wish(stopping.execution_id, Wish.STOP)
    (only,) = office.desk.wanted(WhatShouldIDo(node_id=N1)).executions
    assert (only.desired.execution_id, only.desired.wish) == (stopping.execution_id, Wish.STOP)


@virtually
async def test_a_hold_that_is_not_needed_is_taken_back():
    office = Office()
    office.node(after=3)
    office.story.tell(a_job())
    await office.look()
    await breathe()
    assert [node for node, _ in office.bus.withdrawn] == ["n1"]
    office.bus.withdrawn.clear()
    await asyncio.sleep(4)
    assert [node for node, _ in office.bus.withdrawn] == ["n1"], "its late bid, too"


@virtually
async def test_no_look_outlives_the_desk():
    office = Office()
    office.node(after=60)
    spec = a_job(count=2)
    office.story.tell(spec, an_execution(spec, requester="me"))
    execution = office.story.only().id
    office.story.observe(
        execution, ExecutionState.COMPLETED
    )  # due here, and the other partition finds no bid
    await breathe()
    assert office.bus.offers
    await office.desk.close()
    assert asyncio.all_tasks() == {asyncio.current_task(), office.pump}
