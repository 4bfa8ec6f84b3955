"""``/api/v1/orchestrator/nodes``: list and describe nodes, and decide about them."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from bacalhau_nats.domain.draft import boolean, text
from bacalhau_nats.gateway.http import docs
from bacalhau_nats.gateway.http.reading import list_query, page_of, selector
from bacalhau_nats.gateway.http.routing import routes_under
from bacalhau_nats.gateway.http.wire import ENVELOPE, Json, answer, body_of
from bacalhau_nats.gateway.nodes import ACTIONS, Nodes

PREFIX = "/api/v1/orchestrator/nodes"
_put_node = body_of(
    "PutNodeRequest",
    {"Action": text, "Message": text, "NodeID": text, "IgnoreDaemons": boolean, **ENVELOPE},
)


class NodeRoutes:
    """The routes about nodes."""

    def __init__(self, nodes: Nodes) -> None:
        self._nodes = nodes

    def router(self) -> APIRouter:
        """Give the routes with their documentation."""
        routes = routes_under(PREFIX, "nodes")
        lists = docs.query("labels", "filter-approval", "filter-status", "limit", "order_by", "reverse")
        act = docs.takes(f"`Action` is one of {', '.join(ACTIONS)}", {"Action": "approve", "Message": ""})
        for path, endpoint, methods, summary, extra in (
            ("", self.list_nodes, ["GET"], "List nodes", lists),
            ("/{node_id}", self.describe, ["GET"], "Describe a node", None),
            ("/{node_id}", self.decide, ["PUT"], "Approve, reject, forget, cordon or drain a node", act),
        ):
            routes.add_api_route(path, endpoint, methods=methods, summary=summary, openapi_extra=extra)
        return routes

    async def list_nodes(self, request: Request) -> Response:
        """List nodes by labels, approval and connection."""
        query = await list_query(request)
        wanted = page_of(query)
        found = await self._nodes.nodes(
            labels=selector(query),
            approval=query.text("filter-approval"),
            status=query.text("filter-status"),
            order_by=wanted.order_by,
            reverse=wanted.reverse,
            limit=wanted.limit,
        )
        return answer(request, {"NextToken": "", "Nodes": found})

    async def describe(self, request: Request, node_id: str) -> Response:
        """Describe the node whose id is, or starts with, the one given."""
        return answer(request, {"Node": await self._nodes.node(node_id)})

    async def decide(self, request: Request, node_id: str) -> Response:
        """Decide about a node."""
        body: Json = await _put_node(request)
        await self._nodes.decide(
            node_id,
            body.get("Action", ""),
            body.get("Message", ""),
            ignore_daemons=body.get("IgnoreDaemons", False),
        )
        return answer(request, {"Success": True})
