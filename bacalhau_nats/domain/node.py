"""What a node is, what it has, and whether it still speaks."""

from __future__ import annotations

from enum import StrEnum

from pydantic import Field

from bacalhau_nats.domain.ids import NodeID
from bacalhau_nats.domain.model import Model
from bacalhau_nats.domain.resources import NOTHING, Resources


class NodeRole(StrEnum):
    """What a node does; a process may be both, and then counts as compute."""

    REQUESTER = "Requester"
    COMPUTE = "Compute"


class BuildInfo(Model):
    """The version a node runs, in the public API's terms."""

    major: str = ""
    minor: str = ""
    git_version: str = ""
    git_commit: str = ""
    build_date: str = ""
    goos: str = Field(default="", alias="GOOS")
    goarch: str = Field(default="", alias="GOARCH")


class NodeReport(Model):
    """`node.<node>.report`, written by that node when something in it changes."""

    node_id: NodeID = NodeID("")
    instance: str = ""  # drawn at each start of the process
    role: NodeRole = NodeRole.COMPUTE
    labels: dict[str, str] = Field(default_factory=dict)
    engines: tuple[str, ...] = ()
    storages: tuple[str, ...] = ()
    publishers: tuple[str, ...] = ()
    capacity: Resources = NOTHING  # all it has to give
    holds: dict[str, int] = Field(default_factory=dict)  # inputs that lie here, in bytes: `locality.told`
    address: str = ""
    build: BuildInfo = BuildInfo()
    draining: bool = False  # takes no new work
    busy: str = ""  # why it takes nothing for the moment, whatever it is asked; reads after "this node …"
    left: bool = False  # said good-bye: not lost, gone


class Approval(StrEnum):
    """Whether a node may take work."""

    PENDING = "PENDING"
    APPROVED = "APPROVED"
    REJECTED = "REJECTED"


class Scheduling(StrEnum):
    """Whether an approved node gets work and keeps what it has: kubectl's cordon and drain.

    A node that is drained stays cordoned. What cannot be anywhere else is left alone: an ops execution until
    it ends, and a daemon, which is even started again where it ran before.
    """

    OPEN = "open"
    CORDONED = "cordoned"  # gets nothing new
    DRAINING = "draining"  # and what it has is stopped, to be placed elsewhere


class Membership(Model):
    """`node.<node>.membership`, written by gateways by compare-and-set."""

    node_id: NodeID = NodeID("")
    approval: Approval = Approval.APPROVED
    scheduling: Scheduling = Scheduling.OPEN
    message: str = ""
    deleted: bool = False  # forgotten until it reports again
    nonce: str = ""


class Heartbeat(Model):
    """Not stored: I am here, this much is free.

    ``tick`` rises with each beat of an instance, so that a late one is told from a new one.
    ``every`` is the node's own period in seconds.
    """

    node_id: NodeID = NodeID("")
    instance: str = ""
    tick: int = 0
    role: NodeRole = NodeRole.COMPUTE
    free: Resources = NOTHING
    running: int = 0
    every: float = 0.0


def is_live(last_heard: float, now: float, window: float) -> bool:
    """Say whether a node that was last heard at ``last_heard`` counts as alive.

    All three are seconds of the listener's own monotonic clock; a node's clock never matters.
    """
    return now - last_heard <= window
