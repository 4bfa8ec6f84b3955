"""Jobs that wait are served in order, and only those that fit are woken."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bacalhau_nats.domain.ids import JobID, NodeID
from bacalhau_nats.domain.resources import Resources
from bacalhau_nats.requester.line import Waiter, WaitingLine

N1, N2 = NodeID("n1"), NodeID("n2")


def cpu(milli):
    return Resources(milli_cpu=milli)


def a_line(*waiters):
    """A line of (job, CPU, missing, priority, submitted)."""
    line = WaitingLine()
    for job, need, missing, priority, submitted in waiters:
        line.join(Waiter(JobID(job), cpu(need), missing, since=100), priority, submitted)
    return line


def names(line):
    return [w.job_id for w in line.everybody()]


def test_high_priority_first_then_who_was_first():
    line = a_line(("a", 1, 1, 0, 5), ("b", 1, 1, 0, 3), ("c", 1, 1, 9, 7), ("d", 1, 1, -1, 1))
    assert names(line) == ["c", "b", "a", "d"]


def test_the_first_jobs_that_fit_together_are_woken():
    line = a_line(("a", 600, 1, 0, 1), ("b", 600, 1, 0, 2), ("c", 300, 1, 0, 3))
    assert line.wake(N1, cpu(1000), 100) == ["a", "c"]


def test_a_job_that_misses_more_takes_more_of_the_room():
    line = a_line(("a", 300, 3, 0, 1), ("b", 300, 1, 0, 2))
    assert line.wake(N1, cpu(1000), 100) == ["a"]
    line = a_line(("a", 300, 9, 0, 1), ("b", 100, 1, 0, 2))
    assert line.wake(N1, cpu(1000), 100) == ["a", "b"]


def test_a_job_that_waits_for_a_node_takes_room_for_one():
    line = a_line(("a", 600, 0, 0, 1), ("b", 600, 1, 0, 2))
    assert line.wake(N1, cpu(1000), 100) == ["a"]


def test_a_woken_job_is_passed_over_for_a_moment():
    line = a_line(("a", 600, 1, 0, 1), ("b", 600, 1, 0, 2))
    assert line.wake(N1, cpu(1000), 100) == ["a"]
    assert line.wake(N2, cpu(1000), 100.1) == ["b"]
    assert line.wake(N2, cpu(1000), 100.2) == []
    assert line.wake(N1, cpu(1000), 100 + line.patience) == ["a"]


def test_what_was_woken_for_a_node_keeps_its_part_of_that_nodes_room():
    line = a_line(("a", 600, 1, 0, 1), ("b", 600, 1, 0, 2))
    assert line.wake(N1, cpu(1000), 100) == ["a"]
    assert line.wake(N1, cpu(1000), 100.1) == []
    assert line.wake(N1, cpu(1200), 100.2) == ["b"]


def test_joining_again_keeps_the_place_and_since_when():
    line = a_line(("a", 600, 1, 0, 1), ("b", 600, 1, 0, 2))
    line.join(Waiter(JobID("a"), cpu(900), 2, since=200, reasons={N1: "is busy"}), 0, 1)
    assert names(line) == ["a", "b"]
    first = line.everybody()[0]
    assert (first.since, first.missing, first.reasons) == (100, 2, {N1: "is busy"})
    assert len(line) == 2


def test_whoever_leaves_is_gone_and_may_leave_twice():
    line = a_line(("a", 600, 1, 0, 1))
    assert JobID("a") in line
    line.leave(JobID("a"))
    line.leave(JobID("a"))
    assert JobID("a") not in line
    assert line.wake(N1, cpu(1000), 100) == []


waiters = st.lists(
    st.tuples(
        st.sampled_from("abcdefgh"),
        st.integers(0, 1000),
        st.integers(0, 4),
        st.integers(-1, 1),
        st.integers(0, 3),
    ),
    unique_by=lambda w: w[0],
    max_size=8,
)


@given(waiters, st.integers(0, 1500))
def test_those_woken_fit_together_and_the_first_that_fits_is_among_them(found, room):
    line = a_line(*found)
    needs = {w.job_id: w.needs.milli_cpu for w in line.everybody()}
    order = names(line)
    woken = line.wake(N1, cpu(room), 100)
    assert woken == [job for job in order if job in woken]
    assert sum(needs[job] for job in woken) <= room
    fitting = [job for job in order if needs[job] <= room]
    assert woken[:1] == fitting[:1]


@pytest.mark.parametrize("many", [300])
def test_a_long_line_is_not_walked_to_its_end(many):
    line = a_line(*((f"j{n:03}", 2000, 1, 0, n) for n in range(many)), ("small", 1, 1, 0, many))
    assert line.wake(N1, cpu(1000), 100) == []


def test_those_in_front_who_wait_for_something_else_keep_nobody_behind_them_from_room():
    line = a_line(*((f"big-{n:02}", 9000, 1, 1, n) for n in range(40)), ("small", 100, 1, 0, 99))
    rounds = [line.wake(N1, cpu(1000), 100 + n) for n in range(4)]
    assert ["small"] in rounds


def test_equal_sets_of_useless_nodes_are_one_object_also_when_a_node_changes():
    line = WaitingLine()
    for job in ("a", "b"):
        waiter = Waiter(JobID(job), cpu(1), 1, since=0, useless=frozenset([N1, N2]))
        line.join(waiter, 0, 0)
    line.reconsider(N1)
    first, second = line.everybody()
    assert first.useless == {N2}
    assert first.useless is second.useless
