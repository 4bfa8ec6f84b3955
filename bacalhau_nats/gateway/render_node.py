"""Nodes as the JSON values of the public API. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

from bacalhau_nats.domain.ids import ExecutionID, NodeID
from bacalhau_nats.domain.node import Approval, BuildInfo, Heartbeat, NodeReport, NodeRole, Scheduling
from bacalhau_nats.domain.resources import NOTHING, Resources
from bacalhau_nats.domain.spec import JobType
from bacalhau_nats.domain.times import ZERO_TIME, go_time
from bacalhau_nats.domain.view import NodeView, View
from bacalhau_nats.gateway.core import Presence

Json = dict[str, Any]

CONNECTED, DISCONNECTED = "CONNECTED", "DISCONNECTED"
_PROTOCOLS = ["bprotocol/v2", "ncl/v1"]
_FOR_TESTS = "noop"  # the public server has this engine in its tests only and does not show it
_SECOND = 1_000_000_000
_UNHEARD = Presence(connected=False)


@dataclass(frozen=True, slots=True)
class Work:
    """The executions that have not ended on a node: those that a drain waits for, and daemons, which stay."""

    leaving: tuple[ExecutionID, ...] = ()
    staying: tuple[ExecutionID, ...] = ()

    @classmethod
    def of(cls, view: View, node_id: NodeID) -> Self:
        """List what is on a node."""
        leaving: list[ExecutionID] = []
        staying: list[ExecutionID] = []
        for execution in view.wanted_of(node_id):
            job = view.unfinished.get(execution.desired.job_id)
            daemon = job is not None and job.spec.type is JobType.DAEMON and execution.wanted
            (staying if daemon else leaving).append(execution.id)
        return cls(tuple(leaving), tuple(staying))


def build_info(build: BuildInfo) -> Json:
    """Render a version."""
    found: Json = {}
    if build.major:
        found["Major"] = build.major
    if build.minor:
        found["Minor"] = build.minor
    return found | {
        "GitVersion": build.git_version,
        "GitCommit": build.git_commit,
        "BuildDate": build.build_date or ZERO_TIME,
        "GOOS": build.goos,
        "GOARCH": build.goarch,
    }


def resources(amount: Resources) -> Json:
    """Render an amount; what is zero is left out."""
    pairs = (
        ("CPU", _cores(amount.milli_cpu)),
        ("Memory", amount.memory),
        ("Disk", amount.disk),
        ("GPU", amount.gpu),
    )
    return {key: value for key, value in pairs if value}


def _cores(milli: int) -> float | int:
    return milli // 1000 if milli % 1000 == 0 else milli / 1000


def node_info(report: NodeReport, beat: Heartbeat | None = None) -> Json:
    """Render what a node said of itself, with what its last heartbeat said is free."""
    compute = report.role is NodeRole.COMPUTE
    free = beat.free if beat else NOTHING
    labels = {
        "name": report.node_id,
        "os_type": report.build.goos,
        "os_arch": report.build.goarch,
        **report.labels,
    }
    return {
        "NodeID": report.node_id,
        "NodeType": report.role.value,
        "Labels": labels,
        "SupportedProtocols": _PROTOCOLS,
        "ComputeNodeInfo": {
            "ExecutionEngines": _names(report.engines, hidden=_FOR_TESTS) if compute else None,
            "Publishers": _names(report.publishers) if compute else None,
            "StorageSources": _names(report.storages) if compute else None,
            "MaxCapacity": resources(report.capacity),
            "QueueCapacity": {},
            "AvailableCapacity": resources(free),
            "MaxJobRequirements": resources(report.capacity),
            "RunningExecutions": beat.running if beat else 0,
            "EnqueuedExecutions": 0,
            "address": report.address,
        },
        "BacalhauVersion": build_info(report.build),
    }


def _names(names: tuple[str, ...], hidden: str = "") -> list[str]:
    return [name.lower() for name in names if name != hidden]


def node_state(
    node: NodeView, presence: Presence | None, *, default: Approval, work: Work | None = None
) -> Json:
    """Render a node: what it said, what was decided about it, and whether it speaks.

    ``Scheduling`` is ours, and only there when the node is cordoned.
    """
    seen = presence or _UNHEARD
    report = node.report or NodeReport(node_id=node.id)
    approval = node.approval or default
    connected = is_connected(node, seen, approval)
    status = CONNECTED if connected else DISCONNECTED
    gone = "" if connected else _why(report, approval)
    heard = int(seen.heard * _SECOND) or node.last_report
    lost = int(seen.lost * _SECOND) or heard
    connection: Json = {
        "Status": status,
        "LastHeartbeat": go_time(heard),
        "ConnectedSince": go_time(int(seen.since * _SECOND) or node.first_seen),
        "DisconnectedSince": ZERO_TIME if connected else go_time(lost),
    }
    if gone:
        connection["LastError"] = gone
    state: Json = {
        "Info": node_info(report, seen.beat if connected else None),
        "Membership": approval.value,
        "Connection": status,
        "ConnectionState": connection,
    }
    if node.scheduling is not Scheduling.OPEN:
        state["Scheduling"] = _scheduling(node, work or Work())
    return state


def _scheduling(node: NodeView, work: Work) -> Json:
    state: Json = {"State": "CORDONED"}
    if node.scheduling is Scheduling.DRAINING:
        state = {"State": "DRAINING" if work.leaving else "DRAINED", "Remaining": list(work.leaving)}
        if work.staying:
            state["Daemons"] = list(work.staying)
    if node.membership and node.membership.message:
        state["Message"] = node.membership.message
    return state


def is_connected(node: NodeView, presence: Presence | None, approval: Approval) -> bool:
    """Say whether people should see a node as connected."""
    left = node.report is not None and node.report.left
    return presence is not None and presence.connected and approval is not Approval.REJECTED and not left


def _why(report: NodeReport, approval: Approval) -> str:
    if approval is Approval.REJECTED:
        return "node rejected"
    return "graceful shutdown" if report.left else "heartbeat timeout"
