"""``…/jobs/{id}/results/{execution}.tar.gz``: download results that are kept on the bus."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse

from bacalhau_nats.domain.ids import ExecutionID
from bacalhau_nats.errors import NotFound
from bacalhau_nats.gateway.core import Gateway
from bacalhau_nats.gateway.http.jobs import PREFIX
from bacalhau_nats.gateway.http.routing import routes_under
from bacalhau_nats.gateway.queries import NATS_RESULT
from bacalhau_nats.gateway.refusals import Refusal

_ENDING = ".tar.gz"


class ResultRoutes:
    """The download of results."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    def router(self) -> APIRouter:
        """Give the route with its documentation."""
        routes = routes_under(PREFIX, "jobs")
        routes.add_api_route(
            "/{job_id}/results/{file}",
            self.download,
            methods=["GET"],
            summary="Download the results of an execution as tar.gz",
        )
        return routes

    async def download(self, request: Request, job_id: str, file: str) -> Response:  # noqa: ARG002 - a route
        """Stream an archive; the text of a plain file server when there is none."""
        try:
            name = await self._name(job_id, file)
            size = await self._gateway.results.size(name)
        except (NotFound, Refusal):
            return PlainTextResponse("404 page not found\n", status_code=404)
        return StreamingResponse(
            self._gateway.results.get(name),
            media_type="application/gzip",
            headers={"content-length": str(size)},
        )

    async def _name(self, job_id: str, file: str) -> str:
        job = await self._gateway.find_job(job_id)
        one = job.executions.get(ExecutionID(file.removesuffix(_ENDING)))
        result = one.observed.result if one and one.observed else None
        if not file.endswith(_ENDING) or result is None or result.kind != NATS_RESULT:
            raise NotFound
        return str(result.param("Key", file))
