"""Carrying out a plan: each act is one compare-and-set, and a refusal means to look again."""

import asyncio
from dataclasses import replace

import pytest

from bacalhau_nats.domain.execution import Desired, ExecutionState, Wish
from bacalhau_nats.domain.facts import conclusion_key, desired_key
from bacalhau_nats.domain.ids import NodeID
from bacalhau_nats.domain.job import Conclusion, JobState
from bacalhau_nats.domain.node import Heartbeat, Scheduling
from bacalhau_nats.domain.resources import Resources
from bacalhau_nats.domain.retry import RetryPolicy
from bacalhau_nats.domain.roster import Roster
from bacalhau_nats.domain.scheduling.plan import Policy
from bacalhau_nats.domain.spec import StopRequest, Timeouts
from bacalhau_nats.errors import BusTimeout, Unavailable
from bacalhau_nats.requester.auction import Auction
from bacalhau_nats.requester.evaluate import Evaluator
from tests.support.builders import NOW, Story, a_job, a_task, an_execution, node_now
from tests.support.roles import LoopClock, RequesterEar, TroubledRecords, bids, declines, virtually

N0 = NodeID("n0")


class Scene:
    """An evaluator, its job and one node that bids."""

    def __init__(self, spec=None, *, node=True):
        self.spec = spec or a_job()
        self.story = Story()
        self.clock = LoopClock()
        self.story.tell(self.spec)
        self.records = TroubledRecords(self.story.stream)
        self.bus = RequesterEar()
        self.roster = Roster(window=15)
        auction = Auction(NodeID("me"), self.roster, self.bus, self.clock)
        self.bus.to = auction.on_answer
        self.withdrawn = []
        auction.withdraw = lambda node_id, execution: self.withdrawn.append((node_id, execution))
        self.auction = auction
        self.scheduling = Scheduling.OPEN
        self.evaluator = Evaluator(
            NodeID("me"), "me#1", self.records, auction, self.clock, lambda _: self.scheduling
        )
        self.nodes = {N0: node_now("n0")} if node else {}
        beat = Heartbeat(node_id=N0, tick=1, free=Resources(milli_cpu=9000, memory=10**9))
        self.roster.hear(beat, self.clock.monotonic())
        self.bus.answers[N0] = (0.01, bids)

    @property
    def job(self):
        return self.story.job()

    async def look(self):
        return await self.evaluator.look(self.job, self.nodes, Policy(RetryPolicy(max_attempts=3)))


@virtually
async def test_a_new_job_is_assigned_with_its_whole_spec():
    scene = Scene()
    look = await scene.look()
    (execution,) = scene.job.executions.values()
    stored = scene.story.stream.last[desired_key(execution.id, "n0")]
    assert isinstance(stored.record, Desired)
    assert stored.record.job == scene.spec
    assert (stored.record.bid_id, stored.record.requester) == ("bid of n0", "me")
    assert (look.seq, look.missing, look.again) == (stored.seq, [], None)


@virtually
async def test_a_node_that_is_cordoned_while_it_bids_gets_nothing():
    scene = Scene()

    def cordon_then_bid(offer):
        scene.scheduling = Scheduling.CORDONED
        return bids(offer)

    scene.bus.answers[N0] = (0.01, cordon_then_bid)
    look = await scene.look()
    assert not scene.job.executions
    assert [node for node, _ in scene.withdrawn] == [N0]
    assert look.again == scene.clock.now()


@virtually
async def test_every_partition_is_placed():
    scene = Scene(a_job(count=40, cpu="0.1"))
    look = await scene.look()
    assert len(scene.job.executions) == 40
    assert look.missing == []
    nonces = {f.record.nonce for f in scene.story.facts if isinstance(f.record, Desired)}
    assert len(nonces) == 40


@virtually
async def test_what_finds_no_node_is_told_with_the_reasons():
    scene = Scene()
    scene.bus.answers[N0] = (0.01, declines("is busy now"))
    look = await scene.look()
    assert [p.partition for p in look.missing] == [0]
    assert look.reasons == {"n0": "is busy now"}
    assert not look.waits_for_node


@virtually
async def test_a_refusal_for_good_makes_another_plan_at_once():
    scene = Scene()
    scene.bus.answers[N0] = (0.01, declines("has a policy", never=True))
    look = await scene.look()
    assert look.again == scene.clock.now()
    scene.nodes[N0] = replace(scene.nodes[N0], refused=scene.auction.refused(scene.spec.id, 1)[N0])
    look = await scene.look()
    assert scene.job.conclusion.state is JobState.FAILED
    assert look.again is None


@virtually
async def test_a_job_that_no_node_could_run_waits_for_one_that_can():
    spec = a_job(task=a_task(timeouts=Timeouts(queue_timeout=60)))
    scene = Scene(spec, node=False)
    scene.nodes = {N0: node_now("n0", engines=("wasm",))}
    look = await scene.look()
    assert look.waits_for_node
    assert look.again == NOW + 60
    assert look.reasons == {"n0": "does not support engine noop; it has wasm"}
    assert scene.bus.offers == []


@virtually
async def test_a_job_waits_for_the_first_node_of_all():
    spec = a_job(task=a_task(timeouts=Timeouts(queue_timeout=60)))
    scene = Scene(spec, node=False)
    scene.nodes = {}
    look = await scene.look()
    assert look.waits_for_node
    assert look.again == NOW + 60


@virtually
async def test_only_nodes_that_could_run_it_are_asked():
    scene = Scene()
    scene.nodes[NodeID("n1")] = node_now("n1", draining=True)
    scene.roster.hear(Heartbeat(node_id=NodeID("n1"), free=Resources(milli_cpu=9000, memory=10**9)), 1000)
    scene.bus.answers[N0] = (0.01, declines())
    await scene.look()
    assert scene.bus.asked() == ["n0"]


@virtually
async def test_when_another_requester_places_first_its_room_is_given_back_and_the_job_looked_at_again():
    scene = Scene()
    rival = an_execution(scene.spec, "n9")
    scene.records.before_write = lambda _key: scene.story.job().executions or scene.story.tell(rival)
    look = await scene.look()
    assert scene.withdrawn == [("n0", rival.execution_id)]
    assert look.again == pytest.approx(scene.clock.now())
    assert look.seq == scene.story.stream.seq, "the view must have seen what the other did"
    assert [e.node_id for e in scene.job.executions.values()] == ["n9"]


@virtually
async def test_when_an_answer_was_lost_the_job_is_looked_at_again_in_a_second():
    scene = Scene()
    scene.records.trouble = [(BusTimeout("no answer"), True)]
    look = await scene.look()
    assert look.again == pytest.approx(scene.clock.now() + 1)
    assert len(scene.job.executions) == 1


@virtually
async def test_without_a_bus_the_job_is_looked_at_again_in_a_second():
    scene = Scene()
    scene.records.trouble = [(Unavailable("not connected"), False)]
    assert (await scene.look()).again == pytest.approx(scene.clock.now() + 1)
    assert scene.withdrawn == [(N0, scene.bus.offers[0].execution_id)]


@virtually
async def test_a_job_that_was_updated_during_the_auction_is_not_placed():
    scene = Scene()
    asyncio.get_running_loop().call_later(0.005, scene.story.tell, scene.spec.but(version=2))
    await scene.look()
    assert scene.job.executions == {}
    assert len(scene.withdrawn) == 1


@virtually
async def test_a_job_that_was_stopped_during_the_auction_is_not_placed():
    scene = Scene()
    stop = scene.spec.but(stop=StopRequest(reason="enough"))
    asyncio.get_running_loop().call_later(0.005, scene.story.tell, stop)
    await scene.look()
    assert scene.job.executions == {}
    assert len(scene.withdrawn) == 1


@virtually
async def test_a_stop_is_wished_for_and_then_nothing_more():
    scene = Scene()
    await scene.look()
    scene.story.tell(scene.spec.but(stop=StopRequest(reason="enough")))
    look = await scene.look()
    execution = scene.story.only()
    assert execution.wish is Wish.STOP
    assert execution.desired.requester == "me"
    assert scene.job.conclusion.message == "enough"
    assert look.seq == scene.story.stream.seq
    before = scene.story.stream.seq
    await scene.look()
    assert scene.story.stream.seq == before


@virtually
async def test_a_lost_node_is_abandoned():
    scene = Scene()
    await scene.look()
    scene.nodes[N0] = node_now("n0", live=False)
    await scene.look()
    assert scene.story.only().state is ExecutionState.LOST


@virtually
async def test_a_job_is_concluded_once_and_what_nodes_refused_forgotten():
    scene = Scene()
    scene.bus.answers[N0] = (0.01, declines("never liked it", never=True))
    await scene.look()
    scene.nodes[N0] = node_now("n0")
    assert scene.auction.refused(scene.spec.id, 1) == {"n0": "never liked it"}
    scene.nodes = {}
    await scene.look()
    stored = scene.story.stream.last[conclusion_key("j-1", 1)].record
    assert (stored.state, stored.requester, stored.nonce != "") == (JobState.FAILED, "me", True)
    assert scene.auction.refused(scene.spec.id, 1) == {}


@virtually
async def test_when_another_requester_concludes_first_its_word_stands():
    scene = Scene(node=False)
    theirs = Conclusion(job_id=scene.spec.id, state=JobState.FAILED, requester="you")
    scene.records.before_write = lambda _key: scene.job.conclusion or scene.story.tell(theirs)
    look = await scene.look()
    assert look.again is not None
    assert scene.job.conclusion.requester == "you"


@virtually
async def test_no_two_writes_have_the_same_nonce():
    scene = Scene()
    assert len({scene.evaluator.nonce() for _ in range(100)}) == 100
