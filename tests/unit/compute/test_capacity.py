"""The ledger: what is free, held and claimed is always all there is."""

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from bacalhau_nats.compute.capacity import Ledger
from bacalhau_nats.domain.ids import ExecutionID
from bacalhau_nats.domain.resources import NOTHING, Resources

TOTAL = Resources(milli_cpu=1000, memory=1000, disk=10, gpu=2)
E1, E2 = ExecutionID("e-1"), ExecutionID("e-2")

executions = st.sampled_from([ExecutionID(f"e-{n}") for n in range(4)])
amounts = st.builds(
    Resources,
    milli_cpu=st.integers(0, 1100),
    memory=st.integers(0, 600),
    disk=st.integers(0, 5),
    gpu=st.integers(0, 2),
)


def cpu(milli):
    return Resources(milli_cpu=milli)


class Books(RuleBasedStateMachine):
    """The ledger beside a model of it: a dict of holds with their ends, and a dict of claims."""

    def __init__(self):
        super().__init__()
        self.ledger = Ledger(TOTAL)
        self.holds, self.claims = {}, {}
        self.now = 0.0

    def room(self):
        room = TOTAL
        for amount in (*(a for a, _ in self.holds.values()), *self.claims.values()):
            room = room - amount
        return room

    @rule(execution=executions, needs=amounts, seconds=st.integers(1, 5))
    def hold(self, execution, needs, seconds):
        known = execution in self.claims or execution in self.holds
        fits = needs.fits_in(self.room())
        assert self.ledger.hold(execution, needs, self.now + seconds) is (known or fits)
        if execution in self.holds:
            self.holds[execution] = (self.holds[execution][0], self.now + seconds)
        elif not known and fits:
            self.holds[execution] = (needs, self.now + seconds)

    @rule(execution=executions, needs=amounts)
    def claim(self, execution, needs):
        known = execution in self.claims or execution in self.holds
        fits = needs.fits_in(self.room())
        assert self.ledger.claim(execution, needs) is (known or fits)
        if execution in self.holds:
            self.claims[execution] = self.holds.pop(execution)[0]
        elif not known and fits:
            self.claims[execution] = needs

    @rule(execution=executions, needs=amounts)
    def force(self, execution, needs):
        self.ledger.force(execution, needs)
        self.holds.pop(execution, None)
        self.claims.setdefault(execution, needs)

    @rule(execution=executions)
    def release(self, execution):
        known = self.holds.pop(execution, None) or self.claims.pop(execution, None)
        assert self.ledger.release(execution) is (known is not None)

    @rule(seconds=st.integers(0, 3))
    def expire(self, seconds):
        self.now += seconds
        over = [e for e, (_, until) in self.holds.items() if until <= self.now]
        for execution in over:
            del self.holds[execution]
        assert self.ledger.expire(self.now) is bool(over)

    @invariant()
    def all_is_accounted_for(self):
        assert self.ledger.free == self.room()
        assert self.ledger.claimed == len(self.claims)
        assert self.ledger.next_expiry() == min((u for _, u in self.holds.values()), default=None)


TestBooks = Books.TestCase


def test_what_is_held_cannot_be_had_twice():
    ledger = Ledger(cpu(1000))
    assert ledger.hold(E1, cpu(600), until=10)
    assert not ledger.hold(E2, cpu(600), until=10)
    assert not ledger.claim(E2, cpu(600))
    assert ledger.hold(E1, cpu(600), until=20), "asked again"
    assert ledger.free == cpu(400)


def test_a_claim_uses_its_hold_even_when_nothing_else_is_free():
    ledger = Ledger(cpu(1000))
    ledger.hold(E1, cpu(1000), until=10)
    assert ledger.claim(E1, cpu(1000))
    assert not ledger.expire(99)
    assert ledger.free == NOTHING


def test_what_runs_already_is_claimed_though_it_does_not_fit():
    ledger = Ledger(cpu(1000))
    ledger.force(E1, cpu(800))
    ledger.force(E2, cpu(800))
    assert (ledger.free, ledger.claimed) == (NOTHING, 2)
    ledger.release(E1)
    assert ledger.free == cpu(200)


@pytest.mark.parametrize("until", [5, 9.99])
def test_an_expired_hold_is_free_again(until):
    ledger = Ledger(cpu(1000))
    ledger.hold(E1, cpu(1000), until=until)
    assert ledger.next_expiry() == until
    assert ledger.expire(10)
    assert ledger.free == cpu(1000)
    assert not ledger.release(E1)


def test_a_closed_ledger_has_nothing_free_and_keeps_its_promises():
    total = Resources(milli_cpu=2000, memory=100)
    ledger = Ledger(total)
    one = Resources(milli_cpu=500)
    assert ledger.hold(ExecutionID("e-1"), one, until=9)
    ledger.closed = True
    assert ledger.free == NOTHING
    assert not ledger.hold(ExecutionID("e-2"), one, until=9)
    assert not ledger.claim(ExecutionID("e-2"), one)
    assert ledger.claim(ExecutionID("e-1"), one)
    ledger.closed = False
    assert ledger.free == total - one
