"""``/api/v1/agent``: what the node that serves this API says of itself; every node serves it."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from bacalhau_nats.gateway.core import Gateway
from bacalhau_nats.gateway.http.wire import answer
from bacalhau_nats.gateway.nodes import Nodes
from bacalhau_nats.gateway.render_node import build_info

PREFIX = "/api/v1/agent"


class AgentRoutes:
    """The routes about this node."""

    def __init__(self, gateway: Gateway, nodes: Nodes) -> None:
        self._gateway = gateway
        self._nodes = nodes

    def router(self) -> APIRouter:
        """Give the routes with their documentation."""
        routes = APIRouter(prefix=PREFIX, tags=["agent"])
        for path, endpoint, summary in (
            ("/alive", self.alive, "Say that this node serves"),
            ("/version", self.version, "Say which version runs"),
            ("/node", self.node, "Describe this node"),
            ("/debug", self.debug, "Look inside this node"),
            ("/config", self.config, "Show the settings, without secrets"),
            ("/authconfig", self.authconfig, "Say how to log in with a provider"),
        ):
            routes.add_api_route(path, endpoint, methods=["GET"], summary=summary)
        return routes

    async def alive(self, request: Request) -> Response:
        """Answer at once; readiness is not liveness."""
        return answer(request, {"Status": "OK"})

    async def version(self, request: Request) -> Response:
        """Give the version at top level."""
        return answer(request, build_info(self._gateway.identity.build))

    async def node(self, request: Request) -> Response:
        """Give this node's description at top level."""
        return answer(request, self._nodes.me())

    async def debug(self, request: Request) -> Response:
        """Give what the parts of this node show of themselves."""
        found = {"DiscoveredNodes": await self._nodes.nodes(), **self._gateway.debug()}
        return answer(request, found)

    async def config(self, request: Request) -> Response:
        """Give the settings; whoever gives them has replaced the secrets."""
        return answer(request, {"config": self._gateway.config()})

    async def authconfig(self, request: Request) -> Response:
        """Give the provider's part of the settings; empty without a provider."""
        auth = self._gateway.config().get("API", {}).get("Auth", {})
        return answer(request, {"Version": "1.0.0", "Config": auth.get("Oauth2", {})})
