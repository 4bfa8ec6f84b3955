"""``…/jobs/{id}/results/{execution}.tar.gz``: download results that are kept on the bus."""

from __future__ import annotations

from collections.abc import AsyncIterator

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
from bacalhau_nats.publishers.ranges import NotSatisfiable, wanted_bytes

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

    async def download(self, request: Request, job_id: str, file: str) -> Response:
        """Stream an archive or a range of it; the text of a plain file server when there is none.

        The entity tag is the archive's SHA-256: a download that broke off can go on at any gateway.
        """
        try:
            name, tag = await self._name(job_id, file)
            size = await self._gateway.results.size(name)
        except (NotFound, Refusal):
            return PlainTextResponse("404 page not found\n", status_code=404)
        headers = {"accept-ranges": "bytes"} | ({"etag": tag} if tag else {})
        asked = request.headers
        try:
            start, end = wanted_bytes(
                asked.get("range", ""), size, if_range=asked.get("if-range", ""), tag=tag
            )
        except NotSatisfiable:
            return Response(status_code=416, headers=headers | {"content-range": f"bytes */{size}"})
        part = (start, end) != (0, size)
        headers["content-length"] = str(end - start)
        if part:
            headers["content-range"] = f"bytes {start}-{end - 1}/{size}"
        content = self._gateway.results.get(name)
        return StreamingResponse(
            _slice(content, start, end) if part else content,
            status_code=206 if part else 200,
            media_type="application/gzip",
            headers=headers,
        )

    async def _name(self, job_id: str, file: str) -> tuple[str, str]:
        """Give the name of an archive in the store, and its entity tag."""
        job = await self._gateway.find_job(job_id)
        one = job.executions.get(ExecutionID(file.removesuffix(_ENDING)))
        result = one.observed.result if one and one.observed else None
        if not file.endswith(_ENDING) or result is None or result.kind != NATS_RESULT:
            raise NotFound
        sha256 = str(result.param("SHA256", ""))
        return str(result.param("Key", file)), f'"{sha256}"' if sha256 else ""


async def _slice(content: AsyncIterator[bytes], start: int, end: int) -> AsyncIterator[bytes]:
    at = 0
    async for chunk in content:
        piece = chunk[max(0, start - at) : max(0, end - at)]
        at += len(chunk)
        if piece:
            yield piece
