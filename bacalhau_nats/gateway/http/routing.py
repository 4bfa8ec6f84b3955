"""How our routes stand in FastAPI: documented by it, called without it.

Ours take the request and the words of their path, and give a response; they have no dependencies to solve
and no models to check, since binding has the public server's habits (`wire`). Going around that machinery
halves what a read costs.
"""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, FastAPI
from fastapi.routing import APIRoute
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import request_response


class PlainRoute(APIRoute):
    """A route of a coroutine function that is given the request and the words of the path."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        endpoint = self.endpoint

        async def serve(request: Request) -> Response:
            response: Response = await endpoint(request, **request.path_params)
            return response

        self.app = request_response(serve)


def routes_under(prefix: str, tag: str) -> APIRouter:
    """Make an empty group of routes."""
    return APIRouter(prefix=prefix, tags=[tag], route_class=PlainRoute)


def add(app: FastAPI, group: APIRouter) -> None:
    """Put a group's routes into an application, behind those it has.

    Not ``include_router``: that asks every route of a group twice whether it is meant.
    """
    app.router.routes.extend(group.routes)
