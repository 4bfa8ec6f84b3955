"""The states of an execution and the wishes for it: what may follow what."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bacalhau_nats.domain.execution import (
    OBSERVABLE,
    TERMINAL,
    TRANSITIONS,
    ExecutionState,
    Wish,
    can_become,
    may_wish,
    state_of,
)

_S = ExecutionState
states = st.sampled_from(list(_S))
wishes = st.sampled_from(list(Wish))


def test_the_table_knows_every_state():
    assert set(TRANSITIONS) == set(_S)


def test_terminal_states_are_these():
    assert {_S.COMPLETED, _S.FAILED, _S.CANCELLED, _S.DECLINED, _S.LOST} == TERMINAL


@given(states, states)
def test_nothing_follows_a_terminal_state(now, then):
    if now in TERMINAL:
        assert not can_become(now, then)


@given(states)
def test_no_state_becomes_itself_and_every_other_ends_somewhere(state):
    assert not can_become(state, state)
    assert state in TERMINAL or any(can_become(state, end) for end in TERMINAL)


@pytest.mark.parametrize(
    ("now", "then", "may"),
    [
        (_S.ASSIGNED, _S.RUNNING, True),
        (_S.ASSIGNED, _S.COMPLETED, True),
        (_S.ASSIGNED, _S.DECLINED, True),
        (_S.RUNNING, _S.PUBLISHING, True),
        (_S.RUNNING, _S.DECLINED, False),
        (_S.RUNNING, _S.ASSIGNED, False),
        (_S.PUBLISHING, _S.RUNNING, False),
        (_S.PUBLISHING, _S.COMPLETED, True),
        (_S.LOST, _S.COMPLETED, False),
    ],
)
def test_steps_of_an_execution(now, then, may):
    assert can_become(now, then) is may


def test_a_node_never_reports_that_it_is_assigned_or_lost():
    assert set(_S) - {_S.ASSIGNED, _S.LOST} == OBSERVABLE


@pytest.mark.parametrize(
    ("now", "then", "may"),
    [
        (Wish.RUN, Wish.RUN, False),
        (Wish.RUN, Wish.STOP, True),
        (Wish.RUN, Wish.ABANDONED, True),
        (Wish.STOP, Wish.RUN, False),
        (Wish.STOP, Wish.STOP, False),
        (Wish.STOP, Wish.ABANDONED, True),
        (Wish.ABANDONED, Wish.RUN, False),
        (Wish.ABANDONED, Wish.STOP, False),
        (Wish.ABANDONED, Wish.ABANDONED, False),
    ],
)
def test_a_wish_only_moves_on(now, then, may):
    assert may_wish(now, then) is may


@given(wishes, st.one_of(st.none(), st.sampled_from(sorted(OBSERVABLE))))
def test_the_state_people_see(wish, observed):
    state = state_of(wish, observed)
    if observed in TERMINAL:
        assert state is observed
    elif wish is Wish.ABANDONED:
        assert state is _S.LOST
    else:
        assert state is (observed or _S.ASSIGNED)
