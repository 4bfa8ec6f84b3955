"""Which facts and nodes call for a look at which jobs, and whose task it is to say so at once. Pure."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Set as AbstractSet
from enum import StrEnum

from bacalhau_nats.domain.execution import TERMINAL, Desired, Observed, Wish
from bacalhau_nats.domain.facts import Fact
from bacalhau_nats.domain.ids import JobID, NodeID
from bacalhau_nats.domain.job import Conclusion
from bacalhau_nats.domain.jobview import JobView
from bacalhau_nats.domain.node import Scheduling
from bacalhau_nats.domain.spec import JobSpec
from bacalhau_nats.domain.view import View
from bacalhau_nats.requester.line import WaitingLine


class Due(StrEnum):
    """When a job must be looked at because of a fact."""

    NO = "no"
    NOW = "now"  # we are the one who says so
    SOON = "soon"  # somebody else says so; if nothing happens within a second, we do


def due(fact: Fact, job: JobView, me: NodeID, scheduling_of: Callable[[NodeID], Scheduling]) -> Due:
    """Say whether ``fact``, already folded into ``job``, calls for a look."""
    match fact.record:
        case JobSpec():
            return Due.SOON  # the gateway that wrote it nudges
        case Observed() as observed if observed.state in TERMINAL:
            execution = job.executions.get(observed.execution_id)
            return _who(execution.desired.requester if execution else "", me)
        case Desired() as desired if desired.wish is not Wish.RUN or job.over:
            return _who(desired.requester, me)
        case Desired() as desired if scheduling_of(desired.node_id) is Scheduling.DRAINING:
            return Due.SOON  # its requester did not know yet
        case Conclusion() as conclusion if not job.settled:
            return _who(conclusion.requester, me)
        case _:
            return Due.NO


def _who(writer: str, me: NodeID) -> Due:
    return Due.NOW if writer == me else Due.SOON


def due_with_node(
    node_id: NodeID, view: View, line: WaitingLine, able: Callable[[], AbstractSet[NodeID]]
) -> list[JobID]:
    """List the jobs to look at because a node came, went or changed; ``able`` tells which take work now.

    They run on it, run everywhere, or wait for any node that could run them; and when it takes no more work,
    those that waited for room on it and have no other hope. ``able`` looks at every node, so it is only asked
    when somebody waits.
    """
    jobs = {e.desired.job_id for e in view.wanted_of(node_id)}
    jobs |= {w.job_id for w in line.everybody() if w.missing == 0}
    jobs |= {j.id for j in view.unfinished.values() if j.known and j.spec.type.everywhere and not j.over}
    if len(line) and node_id not in (left := able()):
        jobs |= line.hopeless(left)
    return sorted(jobs)
