"""Nodes are ranked by what speaks for them, whatever order they come in."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from bacalhau_nats.domain.ids import NodeID
from bacalhau_nats.domain.ranking import Candidate, rank
from bacalhau_nats.domain.resources import Resources
from bacalhau_nats.domain.spec import Requirement

NEEDS = Resources(milli_cpu=500, memory=100)
WHOLE = Resources(milli_cpu=2000, memory=1000)


def a_candidate(name, *, cpu=2000, memory=1000, **changes):
    free = Resources(milli_cpu=cpu, memory=memory)
    return Candidate(NodeID(name), free=free, capacity=WHOLE, **changes)


def names(candidates, salt="e-1", favours=()):
    return [c.node_id for c in rank(candidates, NEEDS, salt=salt, favours=favours)]


candidates = st.lists(
    st.builds(
        a_candidate,
        st.text("abc", min_size=1),
        cpu=st.integers(500, 2000),
        memory=st.integers(100, 1000),
        failures=st.integers(0, 2),
        siblings=st.integers(0, 2),
        held=st.integers(0, 2**40),
    ),
    max_size=6,
    unique_by=lambda c: c.node_id,
)


@given(candidates.flatmap(lambda found: st.tuples(st.just(found), st.permutations(found))))
def test_the_order_in_which_nodes_come_does_not_matter(pair):
    one, other = pair
    assert names(one) == names(other)


@given(candidates)
def test_nobody_is_lost_and_failures_come_last(found):
    ranked = rank(found, NEEDS, salt="e-1")
    assert sorted(c.node_id for c in ranked) == sorted(c.node_id for c in found)
    assert [c.failures for c in ranked] == sorted(c.failures for c in found)


def test_a_node_where_it_failed_is_worse_than_a_full_one():
    assert names([a_candidate("failed", failures=1), a_candidate("full", cpu=500)]) == ["full", "failed"]


def test_executions_of_one_job_are_spread():
    assert names([a_candidate("sibling", siblings=1), a_candidate("alone", cpu=900)]) == ["alone", "sibling"]


def test_the_node_with_most_room_left_is_first_by_what_is_scarcest():
    roomy, tight = a_candidate("roomy", cpu=1500), a_candidate("tight", memory=150)
    assert names([tight, roomy]) == ["roomy", "tight"]


def test_favoured_labels_come_before_room():
    favours = (Requirement(key="favour_zone", operator="=", values=("b",)),)
    a, b = a_candidate("a", labels={"zone": "a"}), a_candidate("b", cpu=900, labels={"zone": "b"})
    assert names([a, b]) == ["a", "b"]
    assert names([a, b], favours=favours) == ["b", "a"]


def test_equal_nodes_share_the_load():
    equal = [a_candidate(f"n{i}") for i in range(4)]
    firsts = {names(equal, salt=f"e-{i}")[0] for i in range(50)}
    assert len(firsts) == 4


def test_a_node_without_capacity_ranks_without_an_error():
    nothing = Candidate(NodeID("none"), free=Resources(), capacity=Resources())
    assert names([nothing]) == ["none"]


@given(candidates, st.integers(1, 2**40))
def test_among_nodes_that_are_otherwise_alike_the_one_that_holds_the_data_is_first(found, size):
    """However little room it has left, as long as the execution fits."""
    empty = [replace(one, held=0, failures=0, siblings=0) for one in found]
    holder = a_candidate("holder", cpu=500, memory=100, held=size)
    assert names([*empty, holder])[0] == "holder"


@given(candidates)
def test_data_weighs_less_than_failures_and_siblings(found):
    ranked = rank(found, NEEDS, salt="e-1")
    weights = [(c.failures, c.siblings, -c.held.bit_length()) for c in ranked]
    assert weights == sorted(weights)


def test_nodes_that_hold_as_good_as_the_same_share_the_load():
    full, idle = a_candidate("full", cpu=500, held=1_000_001), a_candidate("idle", held=1_000_000)
    assert names([full, idle]) == ["idle", "full"]
