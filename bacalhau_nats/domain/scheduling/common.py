"""What all job types have in common: endings, deadlines, whether any node could do it, causes in words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from bacalhau_nats.domain.bidding import why_never
from bacalhau_nats.domain.execution import ExecutionState, Wish
from bacalhau_nats.domain.ids import NodeID, short
from bacalhau_nats.domain.job import Conclusion, JobState
from bacalhau_nats.domain.jobview import ExecutionView, JobView
from bacalhau_nats.domain.node import Scheduling
from bacalhau_nats.domain.scheduling.plan import Ending, NodeNow
from bacalhau_nats.domain.spec import JobType

SECOND = 1_000_000_000
_MOST_LINES = 20
_LONGEST_REASON = 300

JOB_STOPPED = "Execution stop requested because job has been stopped"
JOB_FAILED = "Execution stopped due to job failure"
JOB_UPDATED = "Execution stopped for job update"
NODE_GONE = "Execution stop requested because node has disappeared"
NODE_REJECTED = "Execution stop requested because node has been rejected"
NODE_DRAINED = "Execution stop requested because node is being drained"
SURPLUS = "Execution stop requested because there are more executions than needed"


def conclusion(
    job: JobView, state: JobState, message: str = "", topic: str = "Scheduling", **details: str
) -> Conclusion:
    """Build the conclusion of the job's current version."""
    return Conclusion(
        job_id=job.id, version=job.spec.version, state=state, message=message, topic=topic, details=details
    )


def gone(job: JobView, nodes: Mapping[NodeID, NodeNow]) -> tuple[Ending, ...]:
    """List the executions whose node is lost: they can only be abandoned."""
    return tuple(
        Ending(e, NODE_GONE)
        for e in job.executions.values()
        if not e.terminal and not (e.node_id in nodes and nodes[e.node_id].live)
    )


def outdated(job: JobView) -> tuple[Ending, ...]:
    """List the executions of earlier versions that nobody has stopped yet."""
    version = job.spec.version
    return tuple(
        Ending(e, JOB_UPDATED)
        for e in job.executions.values()
        if e.version != version and not e.terminal and e.wish is Wish.RUN
    )


def rejected(job: JobView, nodes: Mapping[NodeID, NodeNow]) -> tuple[Ending, ...]:
    """List the executions of this version on nodes that may not work (any more)."""
    return tuple(
        Ending(e, NODE_REJECTED)
        for e in job.of_version(job.spec.version)
        if e.wanted and e.node_id in nodes and not nodes[e.node_id].approved
    )


def drained(job: JobView, nodes: Mapping[NodeID, NodeNow]) -> tuple[Ending, ...]:
    """List the executions of this version that have to leave a node that is being drained.

    Those of a job for every node have nowhere else to go: a daemon stays, an ops execution runs to its end.
    """
    if job.spec.type.everywhere:
        return ()
    leaving = {n for n, node in nodes.items() if node.approved and node.scheduling is Scheduling.DRAINING}
    return tuple(
        Ending(e, NODE_DRAINED) for e in job.of_version(job.spec.version) if e.wanted and e.node_id in leaving
    )


def remaining(job: JobView, message: str) -> tuple[Ending, ...]:
    """List all executions that still run and are not asked to stop."""
    return tuple(Ending(e, message) for e in job.executions.values() if e.wanted)


def total_deadline(job: JobView) -> float | None:
    """Give the moment when the whole job is out of time, in unix seconds."""
    limit = job.spec.task.timeouts.total_timeout
    if not limit or job.spec.type.endless:
        return None
    return job.spec.submitted / SECOND + limit


def queue_deadline(job: JobView) -> float | None:
    """Give the moment until which the job may wait for a node that could run it."""
    limit = job.spec.task.timeouts.queue_timeout
    return job.spec.submitted / SECOND + limit if limit else None


def unsuitable(job: JobView, nodes: Mapping[NodeID, NodeNow]) -> dict[NodeID, str]:
    """Say for each node that could never run the job why not; a node that could is left out."""
    reasons: dict[NodeID, str] = {}
    for node_id, node in nodes.items():
        if not node.live:
            reasons[node_id] = "is not connected"
        elif not node.approved:
            reasons[node_id] = "is not approved"
        elif node.scheduling is not Scheduling.OPEN:
            reasons[node_id] = "is cordoned and takes no new work"
        elif node.report.draining:
            reasons[node_id] = "is draining and takes no new work"
        elif reason := node.refused or why_never(job.spec, node.report):
            reasons[node_id] = reason
    return reasons


def homes(job: JobView, nodes: Mapping[NodeID, NodeNow]) -> set[NodeID]:
    """List the cordoned nodes on which a daemon ran before: it is started again there, which is nothing new."""
    if job.spec.type is not JobType.DAEMON:
        return set()
    ran = {e.node_id for e in job.of_version(job.spec.version)}
    return ran & _opened(job, nodes)


def held_back(job: JobView, nodes: Mapping[NodeID, NodeNow]) -> bool:
    """Say whether a node would suit the job if it were not cordoned: that will end, and the job can wait."""
    return bool(_opened(job, nodes))


def _opened(job: JobView, nodes: Mapping[NodeID, NodeNow]) -> set[NodeID]:
    """List the cordoned nodes that would suit the job if they were not."""
    opened = {
        node_id: replace(node, scheduling=Scheduling.OPEN)
        for node_id, node in nodes.items()
        if node.scheduling is not Scheduling.OPEN
    }
    return opened.keys() - unsuitable(job, opened).keys()


def available(nodes: Mapping[NodeID, NodeNow]) -> int:
    """Count the nodes that are connected and may work, whether they suit or not."""
    return sum(node.live and node.approved for node in nodes.values())


def not_enough_nodes(wanted: int, known: int, suitable: int, reasons: Mapping[NodeID, str]) -> str:
    """Write the refusal that clients of the original look for, with each node's reason."""
    head = f"not enough nodes to run job. requested: {wanted}, available: {known}, suitable: {suitable}."
    return head + bullets(reasons)


def no_match(known: int, reasons: Mapping[NodeID, str]) -> str:
    """Write the same for a job that runs everywhere."""
    return f"not matching nodes to run job out of {known} available nodes." + bullets(reasons)


def node_counts(wanted: int, known: int, suitable: int) -> dict[str, str]:
    """Give the same counts for programs."""
    return {
        "NodesRequested": str(wanted),
        "NodesAvailable": str(known),
        "NodesSuitable": str(suitable),
    }


def bullets(reasons: Mapping[NodeID, str]) -> str:
    """Write reasons one per line; equal ones are counted instead of repeated, and many or long ones cut."""
    by_reason: dict[str, list[NodeID]] = {}
    for node_id, reason in sorted(reasons.items()):
        by_reason.setdefault(brief(reason), []).append(node_id)
    lines = [
        f"\n• Node {short(ids[0])}: {reason}"
        if len(ids) == 1
        else f"\n• {len(ids)} of {len(reasons)} nodes: {reason}"
        for reason, ids in by_reason.items()
    ]
    if len(lines) > _MOST_LINES:
        lines[_MOST_LINES:] = [f"\n• and {len(lines) - _MOST_LINES} more reasons"]
    return "".join(lines)


def brief(reason: str) -> str:
    """Cut a reason that tells too much: it may quote thousands of the job's own constraints."""
    return reason if len(reason) <= _LONGEST_REASON else f"{reason[:_LONGEST_REASON]}…"


def cause_of(execution: ExecutionView, tries: int) -> str:
    """Say in one line why an attempt ended badly, and how often it was tried."""
    observed = execution.observed
    if execution.state is ExecutionState.LOST:
        why = "its node went away"
    elif execution.state is ExecutionState.COMPLETED:
        code = observed.output.exit_code if observed else 0
        why = f"the execution ended with exit code {code} although the job should go on"
    else:
        why = observed.message if observed and observed.message else execution.state.value
    often = f" (tried {tries} times)" if tries > 1 else ""
    return f"{why} [execution {short(execution.id)} on node {short(execution.node_id)}]{often}"


def go_duration(seconds: float) -> str:
    """Write a duration as the public API does: ``1m30s``."""
    whole = int(seconds)
    hours, rest = divmod(whole, 3600)
    minutes, left = divmod(rest, 60)
    if hours:
        return f"{hours}h{minutes}m{left}s"
    return f"{minutes}m{left}s" if minutes else f"{left}s"
