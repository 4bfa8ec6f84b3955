"""Why each node did or did not get a job."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bacalhau_nats.domain.execution import Desired, Wish
from bacalhau_nats.domain.explain import Answer, Seen, Verdict, asked_about, explain
from bacalhau_nats.domain.ids import ExecutionID, JobID, NodeID, execution_id
from bacalhau_nats.domain.jobview import ExecutionView
from bacalhau_nats.domain.node import Approval, Scheduling
from bacalhau_nats.domain.resources import Resources
from bacalhau_nats.domain.spec import JobType
from tests.support.builders import a_job, a_node

ROOM = Resources(milli_cpu=2000, memory=10**9)
JOB = a_job()


def placed(node: str, partition: int = 0, attempt: int = 0, slot: str = "") -> ExecutionView:
    identity = execution_id(JOB.id, JOB.nonce, JOB.version, slot or str(partition), attempt)
    desired = Desired(
        execution_id=identity, job_id=JobID(JOB.id), node_id=NodeID(node), version=JOB.version, partition=partition,
        attempt=attempt, wish=Wish.RUN,
    )  # fmt: skip
    return ExecutionView(desired, 1, created=1, modified=1)


def seen(name: str = "n1", **changes) -> Seen:
    report = {
        key: changes.pop(key)
        for key in ("engines", "draining", "left", "labels", "capacity", "busy")
        if key in changes
    }
    return Seen(a_node(name, **report), **{"free": ROOM, **changes})


def said(node: str, time: int = 1, **changes) -> Answer:
    return Answer(execution_id(JOB.id, JOB.nonce, JOB.version, "0", 0), NodeID(node), time, **changes)


@pytest.mark.parametrize(
    ("node", "answers", "executions", "verdict", "reason", "could"),
    [
        (seen(), [], [], Verdict.NOT_ASKED, "could run it, but was not its turn", True),
        (seen(engines=("wasm",)), [], [], Verdict.UNSUITABLE, "does not support engine noop", False),
        (seen(connected=False), [], [], Verdict.UNSUITABLE, "is not connected", False),
        (seen(approval=Approval.PENDING), [], [], Verdict.UNSUITABLE, "waits to be approved", False),
        (seen(approval=Approval.REJECTED), [], [], Verdict.UNSUITABLE, "was rejected", False),
        (seen(scheduling=Scheduling.CORDONED), [], [], Verdict.UNSUITABLE, "is cordoned and takes no new work", False),
        (seen(left=True), [], [], Verdict.UNSUITABLE, "has left", False),
        (seen(draining=True), [], [], Verdict.UNSUITABLE, "is draining", False),
        (seen(free=Resources()), [], [], Verdict.BUSY, "is busy: CPU 1 of 0", False),
        (seen(busy="has no disk to spare"), [], [], Verdict.BUSY, "has no disk to spare", False),
        (seen(), [said("n1", reason="is busy")], [], Verdict.DECLINED, "is busy", True),
        (seen(), [said("n1", reason="no", never=True)], [], Verdict.DECLINED, "no", False),
        (seen(reported=2), [said("n1", reason="no", never=True)], [], Verdict.DECLINED, "no", True),
        (seen(), [said("n1", bid=True)], [], Verdict.NOT_TAKEN, "bid, but the execution went elsewhere", True),
        (seen(), [said("n1", bid=True, free=ROOM)], [placed("n1")], Verdict.CHOSEN, "its bid came first; with it, CPU 2", True),
        (seen(), [], [placed("n1")], Verdict.CHOSEN, "its bid came first (what it said is not kept", True),
        (None, [], [placed("n1")], Verdict.CHOSEN, "its bid came first", False),
        (None, [said("n1", reason="is busy")], [], Verdict.DECLINED, "is busy", False),
    ],
)  # fmt: skip
def test_a_node_is_explained_by_what_it_said_and_by_what_it_is_now(
    node, answers, executions, verdict, reason, could
) -> None:
    (one,) = explain(JOB, executions, {NodeID("n1"): node} if node else {}, answers)
    assert one.verdict is verdict
    assert one.reason.startswith(reason)
    assert (one.could, bool(one.now)) == (could, not could)


def test_the_last_answer_counts_and_all_are_kept_in_order() -> None:
    answers = [said("n1", 3, reason="late"), said("n1", 1, reason="early")]
    (one,) = explain(JOB, [], {NodeID("n1"): seen()}, answers)
    assert one.reason == "late"
    assert [answer.time for answer in one.answers] == [1, 3]


NODES = st.sampled_from(["n1", "n2", "n3"])


@given(
    st.dictionaries(NODES, st.builds(seen, st.just("n"), connected=st.booleans(), draining=st.booleans())),
    st.lists(
        st.builds(said, NODES, st.integers(0, 9), bid=st.booleans(), never=st.booleans(), reason=st.just("r"))
    ),
    st.lists(st.builds(placed, NODES, st.integers(0, 2))),
)
def test_every_node_is_told_of_once_with_a_reason_and_the_chosen_ones_first(
    nodes, answers, executions
) -> None:
    found = explain(JOB, executions, nodes, answers)
    told = [one.node_id for one in found]
    assert len(told) == len(set(told))
    assert set(told) == {*nodes, *(a.node_id for a in answers), *(e.node_id for e in executions)}
    assert all(one.reason for one in found)
    assert all(one.could is not bool(one.now) for one in found)
    chosen = {e.node_id for e in executions}
    assert {one.node_id for one in found if one.verdict is Verdict.CHOSEN} == chosen
    assert set(told[: len(chosen)]) == chosen


def test_the_execution_that_nobody_took_is_known_by_its_derived_id() -> None:
    job = a_job().but(count=2)
    executions = [placed("n1", 0, 0), placed("n2", 0, 1)]
    ids = asked_about(job, executions, [], most=10)
    coming = [
        execution_id(job.id, job.nonce, job.version, slot, attempt) for slot, attempt in (("0", 2), ("1", 0))
    ]
    assert ids == [*(one.id for one in executions), *coming]

    everywhere = a_job().but(type=JobType.OPS)
    ids = asked_about(everywhere, [placed("n1", slot="n1")], [NodeID("n1"), NodeID("n2")], most=10)
    assert ids[1:] == [
        execution_id(everywhere.id, everywhere.nonce, everywhere.version, slot, attempt)
        for slot, attempt in (("n1", 1), ("n2", 0))
    ]


@given(st.integers(0, 2000), st.integers(0, 40), st.integers(2, 50))
def test_however_many_there_are_no_more_than_so_many_are_asked_about(
    count: int, done: int, most: int
) -> None:
    ids = asked_about(a_job().but(count=count), [placed("n", p) for p in range(done)], [], most)
    assert len(ids) <= most
    assert len(ids) == len(set(ids)) or done > count
    assert all(isinstance(one, str) and one.startswith("e-") for one in ids)
    assert ExecutionID("") not in ids
