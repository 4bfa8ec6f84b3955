"""Which facts call for a look at their job, and whose task it is to say so at once. Pure."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum

from bacalhau_nats.domain.execution import TERMINAL, Desired, Observed, Wish
from bacalhau_nats.domain.facts import Fact
from bacalhau_nats.domain.ids import NodeID
from bacalhau_nats.domain.job import Conclusion
from bacalhau_nats.domain.jobview import JobView
from bacalhau_nats.domain.node import Scheduling
from bacalhau_nats.domain.spec import JobSpec


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
