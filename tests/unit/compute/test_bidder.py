"""Answers to offers: a bid with its room held, or a decline that says why."""

import pytest

from bacalhau_nats.compute.bidder import Bidder
from bacalhau_nats.compute.capacity import Ledger
from bacalhau_nats.domain.ids import ExecutionID, NodeID
from bacalhau_nats.domain.resources import Resources
from bacalhau_nats.domain.spec import SpecConfig
from bacalhau_nats.messages import Bid, Decline, Offer
from tests.support.builders import a_job, a_node, a_task

ROOM = Resources(milli_cpu=2000, memory=10**9)


def an_offer(execution="e-1", job=None):
    return Offer(execution_id=ExecutionID(execution), requester="r1", job=job or a_job())


def a_bidder(rules=(), **report):
    return Bidder(NodeID("n1"), Ledger(ROOM), lambda: a_node(**report), rules)


def test_a_bid_says_what_is_left_and_how_long_it_is_held():
    bidder = a_bidder()
    bid = bidder.consider(an_offer(), now=100, tick=7)
    assert isinstance(bid, Bid)
    assert (bid.bid_id, bid.execution_id, bid.node_id) == ("e-1@7", "e-1", "n1")
    assert (bid.free.milli_cpu, bid.tick, bid.hold_seconds) == (1000, 7, 3.0)
    assert bidder.ledger.next_expiry() == 103


def test_asked_again_it_bids_again_and_holds_once():
    bidder = a_bidder()
    for now in (100, 101):
        assert isinstance(bidder.consider(an_offer(), now, tick=now), Bid)
    assert bidder.ledger.free.milli_cpu == 1000
    assert bidder.ledger.next_expiry() == 104


def test_a_full_node_is_busy_now_and_not_for_ever():
    bidder = a_bidder()
    bidder.consider(an_offer("e-1"), 100, 1)
    bidder.consider(an_offer("e-2"), 100, 2)
    decline = bidder.consider(an_offer("e-3"), 100, 3)
    assert isinstance(decline, Decline)
    assert (decline.reason, decline.never, decline.free.milli_cpu) == ("is busy: CPU 1 of 0 free", False, 0)


def test_a_node_that_drains_takes_nothing_for_now():
    decline = a_bidder(draining=True).consider(an_offer(), 100, 1)
    assert (decline.reason, decline.never) == ("is draining and takes no new work", False)


def test_a_node_without_disk_to_spare_declines_for_now_and_holds_nothing():
    bidder = a_bidder(busy="has no disk to spare")
    decline = bidder.consider(an_offer(), 100, 1)
    assert (decline.reason, decline.never) == ("has no disk to spare", False)
    assert bidder.ledger.next_expiry() is None


@pytest.mark.parametrize(
    ("job", "reason"),
    [
        (a_job(task=a_task(engine=SpecConfig(type="docker"))), "does not support engine docker; it has noop"),
        (a_job(cpu="9"), "is too small for the job: CPU 9 of 2"),
        (a_job().but(tasks=()), "cannot read the job it was offered"),
    ],
)
def test_what_it_could_never_run_it_declines_for_good(job, reason):
    bidder = a_bidder()
    decline = bidder.consider(an_offer(job=job), 100, 1)
    assert (decline.reason, decline.never) == (reason, True)
    assert bidder.ledger.free == ROOM


def test_an_offer_without_a_job_cannot_be_read():
    assert a_bidder().consider(an_offer().but(job=None), 100, 1).never


def test_the_nodes_own_rules_are_for_good_and_all_are_told():
    rules = (lambda _: "", lambda _: "does not take such jobs", lambda job: f"dislikes {job.name}")
    decline = a_bidder(rules).consider(an_offer(), 100, 1)
    assert (decline.reason, decline.never) == ("does not take such jobs; dislikes j-1", True)
