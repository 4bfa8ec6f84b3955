"""Batch and service: keep `count` partitions done or running, anywhere.

For every partition of the current version: one completed execution is enough (batch), one that runs is
kept, surplus is stopped, and an empty slot is filled unless its earlier attempts forbid it. A job that
gives up on one partition fails as a whole.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from bacalhau_nats.domain.execution import ExecutionState
from bacalhau_nats.domain.ids import NodeID, execution_id
from bacalhau_nats.domain.job import Conclusion, JobState
from bacalhau_nats.domain.jobview import ExecutionView, JobView
from bacalhau_nats.domain.retry import Answer, counts, decide
from bacalhau_nats.domain.scheduling import common
from bacalhau_nats.domain.scheduling.plan import Ending, NodeNow, Placement, Plan, Policy, earliest

PLACE_AT_ONCE = 256
"""Placements in one plan: a job of thousands of partitions must not hold up the others."""


@dataclass(slots=True)
class _Slots:
    """The partitions, sorted by what they need."""

    done: int = 0
    held: int = 0
    empty: list[Placement] = field(default_factory=list)
    surplus: list[Ending] = field(default_factory=list)
    failed: Conclusion | None = None
    later: float | None = None


def reconcile_counted(job: JobView, nodes: Mapping[NodeID, NodeNow], now: float, policy: Policy) -> Plan:
    """Plan one step for a batch or service job that is neither over nor has lost executions."""
    spec = job.spec
    slots = _sort(job, now, policy)
    stops = tuple(slots.surplus)
    if slots.failed is not None:
        return Plan(stop=stops, conclude=slots.failed)
    if not spec.type.endless and slots.done >= spec.count:
        return Plan(stop=stops, conclude=common.conclusion(job, JobState.COMPLETED))
    look = earliest(slots.later, common.total_deadline(job))
    if not slots.empty:
        return Plan(stop=stops, look_again=look)
    reasons = common.unsuitable(job, nodes)
    suitable = len(nodes) - len(reasons)
    if suitable == 0:
        deadline = common.queue_deadline(job)
        over = deadline <= now if deadline is not None else not common.held_back(job, nodes)
        if over:
            available = common.available(nodes)
            message = common.not_enough_nodes(len(slots.empty), available, 0, reasons)
            details = common.node_counts(len(slots.empty), available, 0)
            failed = common.conclusion(job, JobState.FAILED, message, IsError="true", **details)
            return Plan(stop=stops, conclude=failed)
        look = earliest(look, deadline)
        return Plan(stop=stops, look_again=look, unsuitable=reasons, waits_for_node=True)
    part = tuple(slots.empty[:PLACE_AT_ONCE])
    more = len(slots.empty) > len(part)
    return Plan(place=part, stop=stops, look_again=look, unsuitable=reasons, more=more)


def _sort(job: JobView, now: float, policy: Policy) -> _Slots:
    spec = job.spec
    slots = _Slots()
    by_partition: dict[int, list[ExecutionView]] = {p: [] for p in range(spec.count)}
    for execution in job.of_version(spec.version):
        if execution.desired.partition in by_partition:
            by_partition[execution.desired.partition].append(execution)
        elif execution.wanted:
            slots.surplus.append(Ending(execution, common.SURPLUS))
    for partition, attempts in by_partition.items():
        _sort_partition(job, partition, attempts, slots, now=now, policy=policy)
    return slots


def _sort_partition(
    job: JobView, partition: int, attempts: list[ExecutionView], slots: _Slots, *, now: float, policy: Policy
) -> None:
    spec = job.spec
    running = sorted((e for e in attempts if e.wanted), key=lambda e: e.desired.attempt)
    done = not spec.type.endless and any(e.state is ExecutionState.COMPLETED for e in attempts)
    slots.surplus += [Ending(e, common.SURPLUS) for e in (running if done else running[1:])]
    if done:
        slots.done += 1
        return
    if running:
        slots.held += 1
        return
    ended = sorted((e for e in attempts if e.terminal), key=lambda e: e.desired.attempt)
    retry = decide(ended, policy.retry, now, endless=spec.type.endless)
    if retry.answer is Answer.NEVER and retry.cause is not None:
        message = common.cause_of(retry.cause, sum(map(counts, ended)))
        if slots.failed is None:
            slots.failed = common.conclusion(job, JobState.FAILED, message, IsError="true")
    elif retry.answer is Answer.LATER:
        slots.later = earliest(slots.later, retry.at)
    else:
        attempt = max((e.desired.attempt for e in attempts), default=-1) + 1
        avoid: dict[NodeID, int] = {}
        for execution in ended:
            if counts(execution):
                avoid[execution.node_id] = avoid.get(execution.node_id, 0) + 1
        identity = execution_id(job.id, spec.nonce, spec.version, str(partition), attempt)
        slots.empty.append(Placement(identity, partition, attempt, avoid=avoid))
