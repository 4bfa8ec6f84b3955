"""Why each node did or did not get a job: what it answered when it was asked, and what its report says now.

A requester asks the best-ranked nodes that could do it and takes the first bid, so most nodes are never asked.
A reason reads after "this node …", as those of `bidding` do.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import islice

from bacalhau_nats.domain.bidding import why_never, why_not_now
from bacalhau_nats.domain.ids import ExecutionID, NodeID, execution_id
from bacalhau_nats.domain.jobview import ExecutionView
from bacalhau_nats.domain.node import Approval, NodeReport, Scheduling
from bacalhau_nats.domain.resources import NOTHING, Resources, parse, show_bytes, show_cpu
from bacalhau_nats.domain.spec import JobSpec


class Verdict(StrEnum):
    """What became of a node in the placing of a job."""

    CHOSEN = "chosen"  # it has, or had, an execution
    DECLINED = "declined"  # it was asked, and said no
    NOT_TAKEN = (
        "not taken"  # it was asked and said yes, but the execution went elsewhere or was not wanted any more
    )
    UNSUITABLE = "unsuitable"  # it was not asked: it could not run it
    BUSY = "busy"  # it was not asked: it has no room
    NOT_ASKED = "not asked"  # it could run it


@dataclass(frozen=True, slots=True)
class Answer:
    """What a node last said to one offer. ``time`` is unix nanoseconds, ``free`` what it had left then.

    ``never``: no amount of waiting would have helped.
    """

    execution_id: ExecutionID
    node_id: NodeID
    time: int = 0
    bid: bool = False
    reason: str = ""
    never: bool = False
    free: Resources = NOTHING


@dataclass(frozen=True, slots=True)
class Seen:
    """A compute node as it is seen now; ``reported`` is when it last wrote its report, in unix nanoseconds."""

    report: NodeReport
    reported: int = 0
    connected: bool = True
    approval: Approval = Approval.APPROVED
    scheduling: Scheduling = Scheduling.OPEN
    free: Resources = NOTHING


@dataclass(frozen=True, slots=True)
class Explained:
    """One node: the verdict and why, and what it would be now. ``could`` says whether it could run it now."""

    node_id: NodeID
    verdict: Verdict
    reason: str
    could: bool = False
    now: str = ""
    executions: tuple[ExecutionView, ...] = ()
    answers: tuple[Answer, ...] = field(default=())


def asked_about(
    spec: JobSpec, executions: Sequence[ExecutionView], nodes: Iterable[NodeID], most: int
) -> list[ExecutionID]:
    """Name the executions of a version that nodes may have been asked about, at most ``most``.

    Those that were placed, and of each slot the attempt that comes next: ids are derived, so one that no node took
    is known without a record of it.
    """
    following: dict[str, int] = {}
    for one in executions:
        slot = one.node_id if spec.type.everywhere else str(one.desired.partition)
        following[slot] = max(following.get(slot, 0), one.desired.attempt + 1)
    slots = (str(slot) for slot in (nodes if spec.type.everywhere else range(spec.count)))
    coming = (execution_id(spec.id, spec.nonce, spec.version, slot, following.get(slot, 0)) for slot in slots)
    placed = [one.id for one in executions[-(most // 2) :]]
    return [*placed, *islice(coming, most - len(placed))]


def explain(
    spec: JobSpec,
    executions: Iterable[ExecutionView],
    nodes: Mapping[NodeID, Seen],
    answers: Iterable[Answer],
) -> list[Explained]:
    """Explain a version of a job for every node that is known or was asked, chosen ones first."""
    placed: dict[NodeID, list[ExecutionView]] = {}
    for one in executions:
        placed.setdefault(one.node_id, []).append(one)
    said: dict[NodeID, list[Answer]] = {}
    for answer in answers:
        said.setdefault(answer.node_id, []).append(answer)
    order = list(Verdict)
    found = [
        _explain_node(spec, node_id, nodes.get(node_id), placed.get(node_id, []), said.get(node_id, []))
        for node_id in {*nodes, *placed, *said}
    ]
    return sorted(found, key=lambda one: (order.index(one.verdict), one.node_id))


def _explain_node(
    spec: JobSpec, node_id: NodeID, seen: Seen | None, placed: Sequence[ExecutionView], said: Sequence[Answer]
) -> Explained:
    never = _why_never_now(spec, seen, said)
    busy = ""
    if seen is not None and not never:
        busy = seen.report.busy or why_not_now(parse(spec.task.resources), seen.free)
    last = max(said, key=lambda answer: answer.time, default=None)
    if placed:
        verdict, reason = Verdict.CHOSEN, _why_chosen(placed, said)
    elif last is not None and last.bid:
        verdict, reason = (
            Verdict.NOT_TAKEN,
            "bid, but the execution went elsewhere or was not wanted any more",
        )
    elif last is not None:
        verdict, reason = Verdict.DECLINED, last.reason
    elif never or busy:
        verdict, reason = Verdict.UNSUITABLE if never else Verdict.BUSY, never or busy
    else:
        verdict = Verdict.NOT_ASKED
        reason = "could run it, but was not its turn: the better-ranked are asked first"
    ordered = tuple(sorted(said, key=lambda answer: answer.time))
    return Explained(node_id, verdict, reason, not (never or busy), never or busy, tuple(placed), ordered)


def _why_chosen(placed: Sequence[ExecutionView], said: Sequence[Answer]) -> str:
    ids = {one.id for one in placed}
    bids = [answer for answer in said if answer.bid and answer.execution_id in ids]
    if not bids:
        return "its bid came first (what it said is not kept any more)"
    free = max(bids, key=lambda bid: bid.time).free
    return f"its bid came first; with it, CPU {show_cpu(free.milli_cpu)} and memory {show_bytes(free.memory)} stayed free"


def _why_never_now(spec: JobSpec, seen: Seen | None, said: Sequence[Answer]) -> str:
    """Say why the node, as it is now, could not run an execution however much room it had; empty when it could."""
    if seen is None:
        return "is not known any more"
    if seen.report.left:
        return "has left"
    if not seen.connected:
        return "is not connected"
    if seen.approval is not Approval.APPROVED:
        return "was rejected" if seen.approval is Approval.REJECTED else "waits to be approved"
    if seen.scheduling is not Scheduling.OPEN:
        return f"is {seen.scheduling.value} and takes no new work"
    if reason := why_never(spec, seen.report):
        return reason
    # A rule of its own, which its report does not tell; a node that has reported since may have changed its mind.
    if refusal := next((one.reason for one in said if one.never and one.time >= seen.reported), ""):
        return refusal
    return "is draining and takes no new work" if seen.report.draining else ""
