"""Questions and answers on the wire: everything on the bus that is not a stored fact.

A fact's model lives in ``domain``; what is here is asked, answered and forgotten.
"""

from __future__ import annotations

from pydantic import Field

from bacalhau_nats.domain.execution import Desired, Observed
from bacalhau_nats.domain.ids import ExecutionID, JobID, NodeID
from bacalhau_nats.domain.model import Model
from bacalhau_nats.domain.resources import NOTHING, Resources
from bacalhau_nats.domain.spec import JobSpec


class Offer(Model):
    """`offer.<node>.<execution>`: a requester asks one node whether it would run this.

    ``withdrawn`` takes the question back, so that a hold need not wait for its deadline.
    """

    execution_id: ExecutionID = ExecutionID("")
    node_id: NodeID = NodeID("")
    requester: str = ""
    partition: int = 0
    attempt: int = 0
    job: JobSpec | None = None
    withdrawn: bool = False


class Bid(Model):
    """`bid.<requester>.<execution>.<node>`: yes, and the room is held for ``hold_seconds``."""

    bid_id: str = ""
    execution_id: ExecutionID = ExecutionID("")
    node_id: NodeID = NodeID("")
    free: Resources = NOTHING  # after the hold
    tick: int = 0  # counts with the heartbeats: which of two free amounts is newer
    hold_seconds: float = 0.0


class Decline(Model):
    """`bid.<requester>.<execution>.<node>`: no, and why.

    ``never`` means no amount of waiting would help (policy, engine, total capacity); otherwise the node
    is only busy now.
    """

    execution_id: ExecutionID = ExecutionID("")
    node_id: NodeID = NodeID("")
    reason: str = ""
    never: bool = False
    free: Resources = NOTHING
    tick: int = 0


class Nudge(Model):
    """`evaluate.<job>`: look at this job again. ``seq`` is the fact that made somebody say so."""

    job_id: JobID = JobID("")
    seq: int = 0
    cause: str = ""


class WhatShouldIDo(Model):
    """A node asks any requester what is wanted of it: at start, on reconnect and every some seconds.

    ``doing`` lists the executions it holds: their specs need not be sent again.
    """

    node_id: NodeID = NodeID("")
    instance: str = ""
    doing: tuple[ExecutionID, ...] = ()


class WantedExecution(Model):
    """One execution that is wanted of a node, with what the node itself last reported of it.

    Of one that the node is doing already, only the wish is told: no job, no report.
    """

    seq: int = 0  # of the desired record
    desired: Desired
    observed_seq: int = 0  # 0: it never reported
    observed: Observed | None = None


class Wanted(Model):
    """The answer: all that is wanted as of ``seq``.

    Absence means stop, but only for an execution whose desired record is not newer than ``seq``, and never
    in an answer that is ``partial``: there was more than one message holds, so ask again.
    """

    seq: int = 0
    partial: bool = False
    executions: tuple[WantedExecution, ...] = ()


class WhereToUpload(Model):
    """A node asks any requester that has a bucket where the results of one of its executions may go.

    Without an execution it only asks whether there is such a bucket.
    """

    node_id: NodeID = NodeID("")
    job_id: JobID = JobID("")
    execution_id: ExecutionID = ExecutionID("")


class UploadTo(Model):
    """The answer: a URL that one object can be put to, for a while; empty when only that was asked."""

    url: str = ""


class RollCall(Model):
    """`roll.call`: everybody send a heartbeat now."""

    requester: str = ""


class LogChunk(Model):
    """`log.<job>.<execution>.<stream>`: a piece of output, ``offset`` bytes after its beginning.

    ``text`` where the bytes are UTF-8, ``base64`` where they are not. ``end`` marks the last chunk of a
    stream, which may be empty. The stream ``event`` carries progress (an image pull, a download) as text.
    """

    execution_id: ExecutionID = ExecutionID("")
    stream: str
    offset: int = 0
    time: int = 0  # unix nanoseconds, the node's clock
    text: str = ""
    base64: str = ""
    end: bool = False


class NodeStatus(Model):
    """Answer of a node's or requester's `status` endpoint, for people with the `nats` tool."""

    node_id: NodeID = NodeID("")
    instance: str = ""
    version: str = ""
    roles: tuple[str, ...] = ()
    running: tuple[ExecutionID, ...] = ()
    free: Resources = NOTHING
    view_seq: int = 0
    details: dict[str, str] = Field(default_factory=dict)
