"""The compute nodes as a requester sees them at one moment, for one job."""

from __future__ import annotations

from collections.abc import Mapping

from bacalhau_nats.domain.ids import NodeID
from bacalhau_nats.domain.node import Approval, NodeRole, Scheduling
from bacalhau_nats.domain.roster import Roster
from bacalhau_nats.domain.scheduling.plan import NodeNow
from bacalhau_nats.domain.view import View


def muster(
    view: View, roster: Roster, now: float, *, unasked: Approval, refused: Mapping[NodeID, str]
) -> dict[NodeID, NodeNow]:
    """Describe every compute node. ``unasked`` is how one counts that nobody has decided about yet."""
    return {
        node.id: NodeNow(
            node.report,
            live=not node.report.left and roster.live(node.id, now),
            approved=(node.approval or unasked) is Approval.APPROVED,
            scheduling=node.scheduling,
            refused=refused.get(node.id, ""),
        )
        for node in view.nodes.values()
        if node.report is not None and node.report.role is NodeRole.COMPUTE and not node.deleted
    }


def able(nodes: Mapping[NodeID, NodeNow]) -> set[NodeID]:
    """Give the nodes that take work now, of some kind at least."""
    return {
        node_id
        for node_id, now in nodes.items()
        if now.live and now.approved and now.scheduling is Scheduling.OPEN and not now.report.draining
    }
