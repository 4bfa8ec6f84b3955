"""What `reconcile` looks at and what it says: data in, data out."""

from __future__ import annotations

from dataclasses import dataclass, field

from bacalhau_nats.domain.ids import ExecutionID, NodeID
from bacalhau_nats.domain.job import Conclusion
from bacalhau_nats.domain.jobview import ExecutionView
from bacalhau_nats.domain.node import NodeReport, Scheduling
from bacalhau_nats.domain.retry import RetryPolicy


@dataclass(frozen=True, slots=True)
class NodeNow:
    """A compute node as a requester sees it at this moment.

    ``live``: not known to be lost. ``refused``: why it said it would never run this version of this job.
    """

    report: NodeReport
    live: bool = True
    approved: bool = True
    scheduling: Scheduling = Scheduling.OPEN
    refused: str = ""


@dataclass(frozen=True, slots=True)
class Policy:
    """How a requester schedules."""

    retry: RetryPolicy = field(default_factory=RetryPolicy)


@dataclass(frozen=True, slots=True)
class Placement:
    """An execution to place: on ``node`` if given, else wherever a bid is good.

    ``avoid`` counts earlier bad ends of this slot by node.
    """

    execution_id: ExecutionID
    partition: int
    attempt: int
    node: NodeID | None = None
    avoid: dict[NodeID, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Ending:
    """An execution to stop or to abandon, and why."""

    execution: ExecutionView
    message: str


@dataclass(frozen=True, slots=True)
class Plan:
    """The difference between what is wanted and what is. ``look_again`` is unix seconds.

    ``unsuitable`` says of each node that could never run the job why not; ``waits_for_node``, that none of
    those known could, and the job may wait for one that can. ``more``: this is only the first part.
    """

    place: tuple[Placement, ...] = ()
    stop: tuple[Ending, ...] = ()
    abandon: tuple[Ending, ...] = ()
    conclude: Conclusion | None = None
    look_again: float | None = None
    unsuitable: dict[NodeID, str] = field(default_factory=dict)
    waits_for_node: bool = False
    more: bool = False


def earliest(*times: float | None) -> float | None:
    """Give the first of some moments; None when there is none."""
    return min((t for t in times if t is not None), default=None)
