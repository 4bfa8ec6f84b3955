"""List and describe nodes, and decide about them: approve, reject, forget, cordon, drain."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import uuid4

from bacalhau_nats.domain import constraints
from bacalhau_nats.domain.facts import membership_key
from bacalhau_nats.domain.node import Approval, Membership, NodeReport, NodeRole, Scheduling
from bacalhau_nats.domain.resources import NOTHING, Resources
from bacalhau_nats.domain.spec import Requirement
from bacalhau_nats.domain.view import NodeView
from bacalhau_nats.errors import Conflict
from bacalhau_nats.gateway import refusals
from bacalhau_nats.gateway.core import Gateway, Presence
from bacalhau_nats.gateway.render_node import (
    CONNECTED,
    DISCONNECTED,
    Work,
    is_connected,
    node_info,
    node_state,
)

Json = dict[str, Any]

_ATTEMPTS = 10
_DECISIONS = {"approve": Approval.APPROVED, "reject": Approval.REJECTED}
_SCHEDULING = {
    "cordon": Scheduling.CORDONED,
    "uncordon": Scheduling.OPEN,
    "drain": Scheduling.DRAINING,
}
ACTIONS = (*_DECISIONS, "delete", *_SCHEDULING)
_FREE: dict[str, Callable[[Resources], int]] = {
    "available_cpu": lambda free: free.milli_cpu,
    "available_memory": lambda free: free.memory,
    "available_disk": lambda free: free.disk,
    "available_gpu": lambda free: free.gpu,
}


class Nodes:
    """The use cases about nodes."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    @property
    def _default(self) -> Approval:
        return Approval.PENDING if self._gateway.settings.manual_approval else Approval.APPROVED

    def me(self) -> Json:
        """Describe the node that serves this API."""
        me = self._gateway.identity
        known = self._gateway.view.nodes.get(me.node_id)
        report = known.report if known and known.report else me.report
        presence = self._gateway.presence(me.node_id)
        return node_info(report, presence.beat if presence else None)

    async def nodes(  # the parameters are those of the public API
        self,
        *,
        labels: tuple[Requirement, ...] = (),
        approval: str = "",
        status: str = "",
        order_by: str = "",
        reverse: bool = False,
        limit: int = 0,
    ) -> list[Json]:
        """List nodes. Raises Refusal for an order that nodes do not have."""
        await self._gateway.caught_up()
        found = [node for node in self._gateway.view.nodes.values() if not node.deleted]
        found = [
            node
            for node in found
            if constraints.match(labels, self._labels(node))
            and (not approval or self._approval(node).value == approval.upper())
            and (not status or self._status(node) == status.upper())
        ]
        self._sort(found, order_by)
        if reverse:
            found.reverse()
        return [self._render(node) for node in found[: limit or None]]

    def _sort(self, nodes: list[NodeView], order_by: str) -> None:
        nodes.sort(key=lambda node: node.id)
        match order_by:
            case "" | "id":
                pass
            case "type":
                nodes.sort(key=lambda node: _report(node).role is NodeRole.COMPUTE)
            case "approval":
                nodes.sort(key=lambda node: self._approval(node).value)
            case "status":
                nodes.sort(key=self._status)
            case order if order in _FREE:
                nodes.sort(key=lambda node: _FREE[order](self._free(node)), reverse=True)
            case _:
                raise refusals.bad_request("invalid order_by")

    def _labels(self, node: NodeView) -> dict[str, str]:
        labels: dict[str, str] = node_info(_report(node))["Labels"]
        return labels

    def _presence(self, node: NodeView) -> Presence | None:
        return self._gateway.presence(node.id)

    def _approval(self, node: NodeView) -> Approval:
        if node.approval is not None:
            return node.approval
        # The requester itself needs nobody's approval.
        return self._default if _report(node).role is NodeRole.COMPUTE else Approval.APPROVED

    def _status(self, node: NodeView) -> str:
        known = is_connected(node, self._presence(node), self._approval(node))
        return CONNECTED if known else DISCONNECTED

    def _free(self, node: NodeView) -> Resources:
        presence = self._presence(node)
        return presence.beat.free if presence and presence.beat else NOTHING

    def _render(self, node: NodeView) -> Json:
        work = Work.of(self._gateway.view, node.id)
        return node_state(node, self._presence(node), default=self._approval(node), work=work)

    async def node(self, prefix: str) -> Json:
        """Describe the node whose id is, or starts with, ``prefix``. Raises Refusal."""
        return self._render(await self._find(prefix))

    async def _find(self, prefix: str) -> NodeView:
        await self._gateway.caught_up()
        found = self._starting(prefix)
        if not found:
            await self._gateway.up_to_date()
            found = self._starting(prefix)
        if not found:
            raise refusals.node_not_found(prefix)
        if len(found) > 1:
            raise refusals.several_nodes(prefix)
        return found[0]

    def _starting(self, prefix: str) -> list[NodeView]:
        nodes = [node for node in self._gateway.view.nodes.values() if not node.deleted]
        exact = [node for node in nodes if node.id == prefix]
        return exact or [node for node in nodes if node.id.startswith(prefix)]

    async def decide(
        self, prefix: str, action: str, message: str = "", *, ignore_daemons: bool = False
    ) -> None:
        """Do one of ACTIONS to a node. Raises Refusal when that was decided before.

        A node that runs daemons is only drained when they are to be ignored: they stay, as they belong there.
        """
        if action not in ACTIONS:
            raise refusals.unspecific()
        for _ in range(_ATTEMPTS):
            node = await self._find(prefix)
            record = self._decision(node, action, message)
            if action == "drain" and not ignore_daemons:
                daemons = len(Work.of(self._gateway.view, node.id).staying)
                if daemons:
                    raise refusals.node_has_daemons(node.id, daemons)
            try:
                self._gateway.wrote(await self._store(record, node.membership_seq))
            except Conflict:
                await self._gateway.up_to_date()
                continue
            return
        raise Conflict(f"node {prefix} is being changed by others all the time", hint="try again")

    def _decision(self, node: NodeView, action: str, message: str) -> Membership:
        approval = self._approval(node)
        wanted = _DECISIONS.get(action, approval)
        if action in _DECISIONS and wanted is approval:
            raise refusals.node_already(node.id, wanted.value.lower())
        scheduling = Scheduling.OPEN if action == "delete" else _SCHEDULING.get(action, node.scheduling)
        if action in _SCHEDULING and scheduling is node.scheduling:
            raise refusals.node_already(node.id, "schedulable" if action == "uncordon" else scheduling.value)
        return Membership(
            node_id=node.id,
            approval=wanted,
            scheduling=scheduling,
            message=message,
            deleted=action == "delete",
            nonce=uuid4().hex,
        )

    async def _store(self, record: Membership, revision: int) -> int:
        key = membership_key(record.node_id)
        if revision:
            return await self._gateway.records.update(key, record, revision)
        return await self._gateway.records.create(key, record)


def _report(node: NodeView) -> NodeReport:
    return node.report or NodeReport(node_id=node.id)
