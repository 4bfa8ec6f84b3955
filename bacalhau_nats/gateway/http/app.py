"""The HTTP face of the gateway: the public API of Bacalhau 1.9 as a FastAPI application.

Inside the groups ``/api/v1/agent``, ``auth`` and ``orchestrator`` a wrong method is a 404 like a wrong path;
outside them it is a 405. Three old paths redirect. The OpenAPI document is at ``/openapi.json``, its page at
``/docs``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from fastapi import APIRouter, FastAPI
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response

from bacalhau_nats.errors import BacalhauError
from bacalhau_nats.gateway.core import Gateway
from bacalhau_nats.gateway.explain import Explanations
from bacalhau_nats.gateway.http import problems
from bacalhau_nats.gateway.http.agent import About, AgentRoutes
from bacalhau_nats.gateway.http.auth import AuthRoutes, ClosedAuthRoutes
from bacalhau_nats.gateway.http.authorizing import Authorization, Gatekeeper
from bacalhau_nats.gateway.http.document import document
from bacalhau_nats.gateway.http.jobs import JobRoutes
from bacalhau_nats.gateway.http.logs import LogRoutes
from bacalhau_nats.gateway.http.middleware import Edge, Limits, ServerHeaders, request_id_of
from bacalhau_nats.gateway.http.nodes import NodeRoutes
from bacalhau_nats.gateway.http.results import ResultRoutes
from bacalhau_nats.gateway.http.routing import add
from bacalhau_nats.gateway.nodes import Nodes
from bacalhau_nats.gateway.queries import Queries
from bacalhau_nats.gateway.refusals import API_SERVER
from bacalhau_nats.gateway.submit import Submissions

_REDIRECTS = {
    "/": "/api/v1/agent/version",
    "/version": "/api/v1/agent/version",
    "/livez": "/api/v1/agent/alive",
}
_GROUPS = ("/api/v1/agent", "/api/v1/auth", "/api/v1/orchestrator")
_NOT_FOUND, _WRONG_METHOD = 404, 405


@dataclass(frozen=True, slots=True)
class HTTPLimits:
    """What one request, and one client, may ask for: bytes, requests a second (0: any), seconds."""

    body: int = 10_000_000
    per_second: float = 1000
    seconds: float = 30


def create_app(
    gateway: Gateway, *, limits: HTTPLimits | None = None, gatekeeper: Gatekeeper | None = None
) -> FastAPI:
    """Make the application of a gateway: the whole API. Without a gatekeeper it is open to everybody."""
    nodes = Nodes(gateway)

    async def debug() -> dict[str, Any]:
        return {"DiscoveredNodes": await nodes.nodes(), **gateway.debug()}

    about = About(gateway.identity.build, nodes.me, debug, lambda: gateway.config())  # noqa: PLW0108 - may be exchanged
    submissions = Submissions(gateway)
    queries = Queries(gateway, submissions.content.give_back)
    # Routes are tried in this order: the ones asked most come first.
    routers = (
        JobRoutes(
            submissions, queries, Explanations(gateway), gatekeeper.links.sign if gatekeeper else None
        ).router(),
        (ClosedAuthRoutes() if gatekeeper else AuthRoutes(gateway.identity)).router(),
        LogRoutes(gateway).router(),
        ResultRoutes(gateway).router(),
        NodeRoutes(nodes).router(),
    )
    return _application(about, routers, limits, gatekeeper)


def create_agent_app(
    about: About, *, limits: HTTPLimits | None = None, gatekeeper: Gatekeeper | None = None
) -> FastAPI:
    """Make the application of a node that is no gateway: it says what it is, and nothing else."""
    return _application(about, (), limits, gatekeeper)


def _application(
    about: About, routers: Sequence[APIRouter], limits: HTTPLimits | None, gatekeeper: Gatekeeper | None
) -> FastAPI:
    bounds = limits or HTTPLimits()
    closed = [Middleware(Authorization, gatekeeper=gatekeeper)] if gatekeeper else []
    app = FastAPI(
        title="bacalhau-nats",
        version=about.build.git_version or "dev",
        redoc_url=None,
        redirect_slashes=False,
        middleware=[
            Middleware(Edge),
            Middleware(Limits, body=bounds.body, per_second=bounds.per_second, seconds=bounds.seconds),
            *closed,
            Middleware(ServerHeaders, build=about.build),
        ],
        exception_handlers={BacalhauError: _on_error, HTTPException: _on_http_error},
    )
    for router in (*routers, AgentRoutes(about).router()):
        add(app, router)
    app.openapi = lambda: document(app)  # type: ignore[method-assign] # as FastAPI wants it
    for path in _REDIRECTS:
        app.add_api_route(path, _redirect, methods=["GET"], include_in_schema=False)
    return app


async def _redirect(request: Request) -> Response:
    return Response(status_code=301, headers={"location": _REDIRECTS[request.url.path]})


async def _on_error(request: Request, error: Exception) -> Response:
    if not isinstance(error, BacalhauError):
        raise error
    return problems.respond(request, problems.of_error(error, request_id_of(request.scope)))


async def _on_http_error(request: Request, error: Exception) -> Response:
    if not isinstance(error, HTTPException):
        raise error
    given = request_id_of(request.scope)
    inside = request.url.path.startswith(_GROUPS)
    if error.status_code == _NOT_FOUND or (inside and error.status_code == _WRONG_METHOD):
        return problems.respond(request, problems.unrouted(given))
    problem = problems.body(error.status_code, error.detail, "InternalError", API_SERVER, request_id=given)
    return problems.respond(request, problem)
