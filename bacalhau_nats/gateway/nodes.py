"""List and describe nodes, and decide about them: approve, reject, forget."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import uuid4

from bacalhau_nats.domain import constraints
from bacalhau_nats.domain.facts import membership_key
from bacalhau_nats.domain.node import Approval, Membership, NodeReport, NodeRole
from bacalhau_nats.domain.resources import NOTHING, Resources
from bacalhau_nats.domain.spec import Requirement
from bacalhau_nats.domain.view import NodeView
from bacalhau_nats.errors import Conflict
from bacalhau_nats.gateway import refusals
from bacalhau_nats.gateway.core import Gateway, Presence
from bacalhau_nats.gateway.render_node import (
    CONNECTED,
    DISCONNECTED,
    is_connected,
    node_info,
    node_state,
)

Json = dict[str, Any]

_ATTEMPTS = 10
_DECISIONS = {"approve": Approval.APPROVED, "reject": Approval.REJECTED}
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
        return node_state(node, self._presence(node), default=self._approval(node))

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

    async def decide(self, prefix: str, action: str, message: str = "") -> None:
        """Approve, reject or delete a node. Raises Refusal when that was decided before."""
        if action not in (*_DECISIONS, "delete"):
            raise refusals.unspecific()
        for _ in range(_ATTEMPTS):
            node = await self._find(prefix)
            now = self._approval(node)
            wanted = _DECISIONS.get(action, now)
            if action in _DECISIONS and wanted is now:
                raise refusals.node_already(node.id, wanted.value.lower())
            record = Membership(
                node_id=node.id,
                approval=wanted,
                message=message,
                deleted=action == "delete",
                nonce=uuid4().hex,
            )
            try:
                self._gateway.wrote(await self._store(record, node.membership_seq))
            except Conflict:
                await self._gateway.up_to_date()
                continue
            return
        raise Conflict(f"node {prefix} is being changed by others all the time", hint="try again")

    async def _store(self, record: Membership, revision: int) -> int:
        key = membership_key(record.node_id)
        if revision:
            return await self._gateway.records.update(key, record, revision)
        return await self._gateway.records.create(key, record)


def _report(node: NodeView) -> NodeReport:
    return node.report or NodeReport(node_id=node.id)
