"""Finding a node: whom to ask, how long to wait, and what becomes of the others."""

import asyncio

import pytest

from bacalhau_nats.domain.ids import NodeID, execution_id
from bacalhau_nats.domain.locality import input_key
from bacalhau_nats.domain.node import Heartbeat
from bacalhau_nats.domain.resources import Resources
from bacalhau_nats.domain.roster import Roster
from bacalhau_nats.domain.scheduling.plan import Placement
from bacalhau_nats.domain.spec import InputSource, SpecConfig
from bacalhau_nats.requester.auction import Auction
from tests.support.builders import Story, a_job, node_now
from tests.support.roles import LoopClock, RequesterEar, bids, breathe, declines, virtually

SPEC = a_job(cpu="0.5")
E0 = execution_id(SPEC.id, SPEC.nonce, 1, "0", 0)
PLACE = Placement(E0, 0, 0)


class Sale:
    """An auction among nodes n0, n1, … that have ever less room, so that they are asked in this order."""

    def __init__(self, nodes=3):
        self.story = Story()
        self.story.tell(SPEC)
        self.clock = LoopClock()
        self.roster = Roster(window=15)
        self.bus = RequesterEar()
        self.auction = Auction(NodeID("me"), self.roster, self.bus, self.clock)
        self.withdrawn = []
        self.auction.withdraw = lambda node, execution: self.withdrawn.append((node, execution))
        self.bus.to = self.auction.on_answer
        self.nodes = {NodeID(f"n{i}"): node_now(f"n{i}") for i in range(nodes)}
        for index, node in enumerate(self.nodes):
            self.beat(node, tick=1, cpu=2000 - 200 * index)

    def beat(self, node, tick, cpu):
        beat = Heartbeat(
            node_id=NodeID(node), instance="a", tick=tick, free=Resources(milli_cpu=cpu, memory=10**9)
        )
        self.roster.hear(beat, self.clock.monotonic())

    def node(self, name, answer, after=0.01):
        self.bus.answers[NodeID(name)] = (after, answer)

    async def hold(self, placement=PLACE):
        return await self.auction.hold(self.story.job(), SPEC, placement, self.nodes)

    def reserved(self):
        return {n: list(a.offered) for n, a in self.roster.nodes.items() if a.offered}


@virtually
async def test_the_best_node_is_asked_first_and_alone():
    sale = Sale()
    sale.node("n0", bids)
    result = await sale.hold()
    assert result.bid.node_id == "n0"
    (offer,) = sale.bus.offers
    assert (offer.execution_id, offer.requester, offer.job) == (E0, "me", SPEC)
    assert sale.withdrawn == []
    assert sale.reserved() == {}


@virtually
async def test_a_decline_is_followed_by_the_next_at_once():
    sale = Sale()
    sale.node("n0", declines())
    sale.node("n1", bids)
    began = sale.clock.monotonic()
    assert (await sale.hold()).bid.node_id == "n1"
    assert sale.clock.monotonic() - began == pytest.approx(0.02)


@virtually
async def test_a_silent_node_is_waited_for_half_a_second_and_its_room_given_back():
    sale = Sale()
    sale.node("n1", bids)
    began = sale.clock.monotonic()
    assert (await sale.hold()).bid.node_id == "n1"
    assert sale.clock.monotonic() - began == pytest.approx(0.51)
    assert sale.withdrawn == [("n0", E0)], "it may hold room all the same"
    assert sale.reserved() == {}


@virtually
async def test_what_is_offered_is_not_offered_again_meanwhile():
    sale = Sale(1)
    holding = asyncio.create_task(sale.hold())
    await breathe()
    assert sale.reserved() == {"n0": [E0]}
    assert sale.roster.free(NodeID("n0")).milli_cpu == 1500
    holding.cancel()
    await asyncio.gather(holding, return_exceptions=True)
    assert sale.reserved() == {}
    assert sale.withdrawn == [("n0", E0)]


@virtually
async def test_waves_grow():
    sale = Sale(8)
    await sale.hold()
    moments = sale.bus.asked()
    assert moments == [f"n{i}" for i in range(8)]
    sale = Sale(8)
    holding = asyncio.create_task(sale.hold())
    sizes = []
    for _ in range(5):
        await breathe()
        sizes.append(len(sale.bus.offers))
        await asyncio.sleep(0.5)
    await holding
    assert sizes == [1, 2, 4, 8, 8]


@virtually
async def test_the_first_bid_wins_and_the_loser_is_withdrawn():
    sale = Sale(4)
    sale.node("n2", bids, after=0.2)
    sale.node("n3", bids, after=0.1)
    result = await sale.hold()
    assert result.bid.node_id == "n3"
    assert sorted(sale.withdrawn) == [("n0", E0), ("n1", E0), ("n2", E0)]
    sale.withdrawn.clear()
    await asyncio.sleep(1)
    assert sale.withdrawn == [("n2", E0)], "its bid came after all"


@virtually
async def test_a_second_bid_in_the_same_instant_is_withdrawn():
    sale = Sale(4)
    sale.node("n2", bids)
    sale.node("n3", bids)
    assert (await sale.hold()).bid.node_id == "n2"
    await asyncio.sleep(1)
    assert ("n3", E0) in sale.withdrawn
    assert ("n2", E0) not in sale.withdrawn


@virtually
async def test_a_bid_that_nobody_asked_for_is_withdrawn():
    sale = Sale()
    sale.node("n0", bids, after=9)
    assert (await sale.hold()).bid is None
    sale.withdrawn.clear()
    await asyncio.sleep(10)
    assert sale.withdrawn == [("n0", E0)]


@virtually
async def test_nobody_bids_and_each_node_has_its_reason():
    sale = Sale(5)
    sale.node("n0", declines("is busy: CPU 0.5 of 0.1 free"))
    sale.beat("n2", tick=2, cpu=100)
    del sale.roster.nodes[NodeID("n3")]
    sale.node("n4", declines("has a policy", never=True))
    result = await sale.hold()
    assert result.bid is None
    assert result.reasons == {
        "n0": "is busy: CPU 0.5 of 0.1 free",
        "n1": "did not answer the offer in time",
        "n2": "is busy: CPU 0.5 of 0.1 free",
        "n3": "has not been heard yet",
        "n4": "has a policy",
    }
    assert "n2" not in sale.bus.asked()
    assert "n3" not in sale.bus.asked()


@virtually
async def test_a_node_that_will_never_run_it_is_not_asked_again_until_it_reports_anew():
    sale = Sale(1)
    sale.node("n0", declines("has a policy", never=True))
    for _ in range(2):
        await sale.hold()
    assert sale.bus.asked() == ["n0"]
    assert sale.auction.refused(SPEC.id, 1) == {"n0": "has a policy"}
    assert sale.auction.refused(SPEC.id, 2) == {}
    sale.auction.forget_node(NodeID("n0"))
    sale.node("n0", bids)
    assert (await sale.hold()).bid.node_id == "n0"


@virtually
async def test_what_is_known_of_a_job_goes_with_it():
    sale = Sale(1)
    sale.node("n0", declines("no", never=True))
    await sale.hold()
    sale.auction.forget(SPEC.id, 1)
    assert sale.auction.refused(SPEC.id, 1) == {}
    sale.auction.forget(SPEC.id, 1)


@virtually
async def test_what_is_known_of_jobs_that_others_ended_goes_too():
    sale = Sale(1)
    sale.node("n0", declines("no", never=True))
    await sale.hold()
    sale.auction.forget_others({SPEC.id})
    assert sale.auction.refused(SPEC.id, 1) == {"n0": "no"}
    sale.auction.forget_others(set())
    assert sale.auction.refused(SPEC.id, 1) == {}


@virtually
async def test_a_busy_node_that_tells_of_other_room_meanwhile_is_asked_again():
    sale = Sale(2)
    sale.node("n0", declines())
    asyncio.get_running_loop().call_later(0.3, sale.beat, "n0", 2, 2000)
    await sale.hold()
    assert sale.bus.asked() == ["n0", "n1", "n0"]


@virtually
async def test_a_node_that_reports_why_it_takes_nothing_is_not_asked_and_its_reason_told():
    sale = Sale(nodes=1)
    sale.nodes = {NodeID("n0"): node_now("n0", busy="has no disk to spare")}
    result = await sale.hold()
    assert (result.bid, result.reasons) == (None, {"n0": "has no disk to spare"})
    assert sale.bus.offers == []
    assert sale.auction.refused(SPEC.id, 1) == {}  # it may take the job later


@virtually
async def test_the_node_that_holds_the_inputs_is_asked_first():
    sale = Sale()
    source = SpecConfig(type="urlDownload", params={"URL": "http://x/data"})
    task = SPEC.task.but(input_sources=(InputSource(source=source, target="/in"),))
    holds = {input_key(source): 10**9}
    sale.nodes = {n: node_now(n, holds=holds if n == "n2" else {}) for n in sale.nodes}
    sale.node("n2", bids)
    result = await sale.auction.hold(sale.story.job(), SPEC.but(tasks=(task,)), PLACE, sale.nodes)
    assert result.bid.node_id == "n2"
    assert len(sale.bus.offers) == 1


@virtually
async def test_a_placement_for_one_node_asks_only_that():
    sale = Sale()
    sale.node("n1", declines())
    result = await sale.hold(Placement(E0, 0, 0, node=NodeID("n1")))
    assert result.bid is None
    assert sale.bus.asked() == ["n1"]


@virtually
async def test_a_node_where_it_failed_is_asked_last():
    sale = Sale()
    for name in ("n0", "n1", "n2"):
        sale.node(name, declines())
    await sale.hold(Placement(E0, 0, 1, avoid={NodeID("n0"): 1}))
    assert sale.bus.asked() == ["n1", "n2", "n0"]


@virtually
async def test_one_execution_is_up_for_sale_once():
    sale = Sale()
    sale.node("n0", bids, after=0.2)
    first = asyncio.create_task(sale.hold())
    await breathe()
    assert (await sale.hold()).bid is None
    assert (await first).bid.node_id == "n0"
    assert sale.bus.asked() == ["n0"]


@virtually
async def test_free_room_that_comes_with_an_answer_is_taken_over():
    sale = Sale(1)
    sale.node("n0", lambda offer: bids(offer).but(free=Resources(milli_cpu=700), tick=2))
    await sale.hold()
    assert sale.roster.free(NodeID("n0")) == Resources(milli_cpu=700)
