"""Compare what is wanted with what is, for one job; the same input always gives the same plan.

Level-triggered: it looks at what is, not at what just happened, so a plan may be made again at any time,
by any requester, and applying it twice is harmless (each write is a compare-and-set). It never abandons
and places in one plan: the next look, once the view has the abandon, places.
"""

from __future__ import annotations

from collections.abc import Mapping

from bacalhau_nats.domain.ids import NodeID
from bacalhau_nats.domain.job import JobState
from bacalhau_nats.domain.jobview import JobView
from bacalhau_nats.domain.scheduling import common
from bacalhau_nats.domain.scheduling.counted import reconcile_counted
from bacalhau_nats.domain.scheduling.everywhere import reconcile_everywhere
from bacalhau_nats.domain.scheduling.plan import NodeNow, Plan, Policy

_AFTER = {
    JobState.STOPPED: common.JOB_STOPPED,
    JobState.FAILED: common.JOB_FAILED,
    JobState.COMPLETED: common.SURPLUS,
}


def reconcile(job: JobView, nodes: Mapping[NodeID, NodeNow], now: float, policy: Policy) -> Plan:
    """Plan the next step of a job. ``nodes`` are all compute nodes known, ``now`` is unix seconds."""
    abandon = common.gone(job, nodes)
    lost = {ending.execution.id for ending in abandon}
    if job.over:
        conclude = None
        if job.conclusion is None and job.spec.stop is not None:
            conclude = common.conclusion(job, JobState.STOPPED, job.spec.stop.reason)
        endings = tuple(e for e in common.remaining(job, _AFTER[job.state]) if e.execution.id not in lost)
        return Plan(stop=endings, abandon=abandon, conclude=conclude)
    outdated = tuple(e for e in common.outdated(job) if e.execution.id not in lost)
    unwelcome = common.rejected(job, nodes) + common.drained(job, nodes)
    if abandon or unwelcome:
        return Plan(stop=outdated + unwelcome, abandon=abandon)
    deadline = common.total_deadline(job)
    if deadline is not None and deadline <= now:
        limit = common.go_duration(job.spec.task.timeouts.total_timeout)
        timed_out = common.conclusion(
            job,
            JobState.FAILED,
            f"Job timed out. Job took longer than {limit}",
            topic="Job Timeout",
            IsError="true",
            Hint="Increase the job timeout or allocate more resources",
            FailsExecution="true",
        )
        return Plan(stop=outdated, conclude=timed_out)
    step = reconcile_everywhere if job.spec.type.everywhere else reconcile_counted
    plan = step(job, nodes, now, policy)
    return Plan(
        place=plan.place,
        stop=outdated + plan.stop,
        abandon=(),
        conclude=plan.conclude,
        look_again=plan.look_again,
        unsuitable=plan.unsuitable,
        waits_for_node=plan.waits_for_node,
        more=plan.more,
    )
