"""``/api/v1/agent``: what the node that serves this API says of itself; every node serves it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from bacalhau_nats.domain.node import BuildInfo
from bacalhau_nats.gateway.http.routing import routes_under
from bacalhau_nats.gateway.http.wire import answer
from bacalhau_nats.gateway.render_node import build_info

PREFIX = "/api/v1/agent"


@dataclass(frozen=True, slots=True)
class About:
    """What a node says of itself: its description, what its parts show, its settings without secrets."""

    build: BuildInfo
    node: Callable[[], Mapping[str, Any]]
    debug: Callable[[], Awaitable[Mapping[str, Any]]]
    config: Callable[[], Mapping[str, Any]]


class AgentRoutes:
    """The routes about this node."""

    def __init__(self, about: About) -> None:
        self._about = about

    def router(self) -> APIRouter:
        """Give the routes with their documentation."""
        routes = routes_under(PREFIX, "agent")
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
        return answer(request, build_info(self._about.build))

    async def node(self, request: Request) -> Response:
        """Give this node's description at top level."""
        return answer(request, self._about.node())

    async def debug(self, request: Request) -> Response:
        """Give what the parts of this node show of themselves."""
        return answer(request, await self._about.debug())

    async def config(self, request: Request) -> Response:
        """Give the settings; whoever gives them has replaced the secrets."""
        return answer(request, {"config": self._about.config()})

    async def authconfig(self, request: Request) -> Response:
        """Give the provider's part of the settings; empty without a provider."""
        auth = self._about.config().get("API", {}).get("Auth", {})
        return answer(request, {"Version": "1.0.0", "Config": auth.get("Oauth2", {})})
