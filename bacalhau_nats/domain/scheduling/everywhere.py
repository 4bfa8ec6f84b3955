"""Ops and daemon: one execution on each matching node.

A node that joins while the job is not over gets its execution too. Ops is done when every matching node
has ended; it fails when one of them gave up. A daemon is never done, also when every node gave up, and waits
for nodes.
"""

from __future__ import annotations

from collections.abc import Mapping

from bacalhau_nats.domain.execution import ExecutionState
from bacalhau_nats.domain.ids import NodeID, execution_id
from bacalhau_nats.domain.job import Conclusion, JobState
from bacalhau_nats.domain.jobview import ExecutionView, JobView
from bacalhau_nats.domain.retry import Answer, counts, decide
from bacalhau_nats.domain.scheduling import common
from bacalhau_nats.domain.scheduling.plan import NodeNow, Placement, Plan, Policy, earliest

_ONE_FAILED = "Job failed because one or more executions failed"


def reconcile_everywhere(job: JobView, nodes: Mapping[NodeID, NodeNow], now: float, policy: Policy) -> Plan:
    """Plan one step for an ops or daemon job that is neither over nor has lost executions."""
    endless = job.spec.type.endless
    reasons = common.unsuitable(job, nodes)
    homes = common.homes(job, nodes)
    reasons = {node_id: reason for node_id, reason in reasons.items() if node_id not in homes}
    targets = [node_id for node_id in sorted(nodes) if node_id not in reasons]
    by_node: dict[NodeID, list[ExecutionView]] = {}
    for execution in job.of_version(job.spec.version):
        by_node.setdefault(execution.node_id, []).append(execution)
    if not targets and not by_node:
        return _nobody(job, nodes, reasons, now)
    place: list[Placement] = []
    look = common.total_deadline(job)
    gave_up: list[ExecutionView] = []
    busy = False
    for node_id in targets:
        attempts = by_node.get(node_id, [])
        if any(not e.terminal for e in attempts):
            busy = True
            continue
        if not endless and any(e.state is ExecutionState.COMPLETED for e in attempts):
            continue
        ended = sorted((e for e in attempts if e.terminal), key=lambda e: e.desired.attempt)
        retry = decide(ended, policy.retry, now, endless=endless)
        if retry.answer is Answer.NEVER and retry.cause is not None:
            gave_up.append(retry.cause)
        elif retry.answer is Answer.LATER:
            look, busy = earliest(look, retry.at), True
        else:
            place.append(_placement(job, node_id, attempts))
    busy = busy or any(not e.terminal for n, es in by_node.items() if n not in targets for e in es)
    if place or busy:
        return Plan(place=tuple(place), look_again=look, unsuitable=reasons)
    return _idle(gave_up, reasons, look) if endless else Plan(conclude=_conclude(job, by_node, gave_up))


def _placement(job: JobView, node_id: NodeID, attempts: list[ExecutionView]) -> Placement:
    attempt = max((e.desired.attempt for e in attempts), default=-1) + 1
    identity = execution_id(job.id, job.spec.nonce, job.spec.version, node_id, attempt)
    return Placement(identity, 0, attempt, node=node_id)


def _nobody(job: JobView, nodes: Mapping[NodeID, NodeNow], reasons: Mapping[NodeID, str], now: float) -> Plan:
    known = common.available(nodes)
    deadline = common.queue_deadline(job)
    waits = deadline > now if deadline is not None else common.held_back(job, nodes)
    if waits or job.spec.type.endless:
        look = deadline if waits else None
        return Plan(look_again=look, unsuitable=dict(reasons), waits_for_node=waits)
    message = common.no_match(known, reasons)
    details = {"IsError": "true", "NodesAvailable": str(known)}
    return Plan(conclude=common.conclusion(job, JobState.FAILED, message, **details))


def _idle(gave_up: list[ExecutionView], reasons: Mapping[NodeID, str], look: float | None) -> Plan:
    """Let a daemon that runs nowhere wait: it is never over by itself, as in the original, and says why."""
    why = {e.node_id: common.cause_of(e, e.desired.attempt + 1) for e in gave_up}
    return Plan(look_again=look, unsuitable={**reasons, **why}, waits_for_node=bool(gave_up))


def _conclude(
    job: JobView, by_node: Mapping[NodeID, list[ExecutionView]], gave_up: list[ExecutionView]
) -> Conclusion:
    """Completed when the last word of every node is a success; one that was lost or failed is not."""
    last = [max(es, key=lambda e: e.desired.attempt) for es in by_node.values()]
    bad = gave_up or [e for e in last if counts(e) and e.state is not ExecutionState.COMPLETED]
    if not bad:
        return common.conclusion(job, JobState.COMPLETED)
    causes = "".join(f"\n• {common.cause_of(e, e.desired.attempt + 1)}" for e in bad)
    return common.conclusion(job, JobState.FAILED, _ONE_FAILED + causes, IsError="true")
