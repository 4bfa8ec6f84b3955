"""``…/jobs/{id}/logs``: the output of an execution over a websocket.

The upgrade succeeds even for a job that does not exist: every problem after it is a frame
``{"error": …, "value": {"Type": 0, "Line": ""}}``. Data frames are ``{"value": {"Type": 1, "Line": …}}``
with type 1 for stdout and 2 for stderr. The end is a close frame with code 1000 in any case; public clients
take every other end for a fault.
"""

from __future__ import annotations

import asyncio
import base64
import codecs
from collections.abc import AsyncGenerator
from contextlib import aclosing

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.websockets import WebSocket, WebSocketDisconnect

from bacalhau_nats.domain.execution import ExecutionState
from bacalhau_nats.domain.jobview import ExecutionView, JobView
from bacalhau_nats.errors import BacalhauError, NotFound
from bacalhau_nats.gateway.core import Gateway
from bacalhau_nats.gateway.http import docs
from bacalhau_nats.gateway.http.jobs import PREFIX
from bacalhau_nats.gateway.http.routing import routes_under
from bacalhau_nats.gateway.http.wire import Json, Query, encode
from bacalhau_nats.messages import LogChunk

_TYPES = {"stdout": 1, "stderr": 2}
_DISCARDED = frozenset(
    {ExecutionState.FAILED, ExecutionState.CANCELLED, ExecutionState.DECLINED, ExecutionState.LOST}
)


class LogRoutes:
    """The log stream, and what it answers to requests that are no websocket."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    def router(self) -> APIRouter:
        """Give the routes with their documentation."""
        routes = routes_under(PREFIX, "jobs")
        extra = docs.query("namespace", "execution_id", "job_version", "follow", "tail")
        routes.add_api_route(
            "/{job_id}/logs",
            self.plain,
            methods=["GET"],
            summary="Stream the output of an execution (websocket)",
            openapi_extra=extra,
        )
        routes.add_api_websocket_route("/{job_id}/logs", self.stream)
        return routes

    async def plain(self, request: Request, job_id: str) -> Response:  # noqa: ARG002 - a route
        """Answer a request that asks for no upgrade, or for none that can be."""
        if request.headers.get("upgrade", "") == "websocket":
            return PlainTextResponse("Bad Request\n", status_code=400)
        return PlainTextResponse("", headers={"sec-websocket-version": "13"})

    async def stream(self, websocket: WebSocket, job_id: str) -> None:
        """Send the output until it ends or the client leaves."""
        await websocket.accept()
        sending = asyncio.create_task(self._send(websocket, job_id), name=f"logs {job_id}")
        leaving = asyncio.create_task(_left(websocket), name=f"reader of logs {job_id}")
        try:
            await asyncio.wait((sending, leaving), return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (sending, leaving):
                task.cancel()
            await asyncio.gather(sending, leaving, return_exceptions=True)
        if sending.done() and not sending.cancelled() and (error := sending.exception()):
            raise error

    async def _send(self, websocket: WebSocket, job_id: str) -> None:
        try:
            async with aclosing(self._frames(websocket, job_id)) as frames:
                async for frame in frames:
                    await websocket.send_text(frame)
        except WebSocketDisconnect:
            return
        except BacalhauError as error:
            await websocket.send_text(_frame({"error": error.message, "value": {"Type": 0, "Line": ""}}))
        await websocket.close(1000)

    async def _frames(self, websocket: WebSocket, job_id: str) -> AsyncGenerator[str]:
        started = self._gateway.now()
        query = Query(websocket)
        follow, tail = query.boolean("follow"), query.boolean("tail")
        version, wanted = query.uint64("job_version"), query.text("execution_id")
        job = await self._gateway.find_job(job_id, query.text("namespace"))
        if follow and not wanted:
            # Who follows right after submitting is early, not wrong: the original refuses.
            await self._gateway.until(job.id, lambda now: now is None or now.over or bool(now.executions))
            job = await self._gateway.find_job(job.id)
        execution = choose(job, version, wanted)
        if tail and (not follow or execution.terminal):
            return
        decoders = {name: codecs.getincrementaldecoder("utf-8")("replace") for name in _TYPES}
        chunks = self._gateway.logs(job.id, (execution.id,), follow=follow and not execution.terminal)
        async with aclosing(chunks):
            async for chunk in chunks:
                if chunk.stream not in _TYPES or (tail and chunk.time < started):
                    continue
                # A character may be cut by a chunk's end; it is shown with the next one.
                line = decoders[chunk.stream].decode(_bytes(chunk), final=chunk.end)
                if line:
                    yield _frame({"value": {"Type": _TYPES[chunk.stream], "Line": line}})


def choose(job: JobView, version: int, wanted: str) -> ExecutionView:
    """Choose the execution whose output is meant: the one named, or the newest that was not discarded."""
    opening = f"failed to open log stream for job {job.id}"
    found = [one for one in job.executions.values() if version in (0, one.version)]
    if not found:
        raise NotFound(
            f"{opening}: no executions found for job {job.spec.name} with ID {job.id}, and version {version}"
        )
    if wanted:
        chosen = [one for one in found if one.id == wanted]
    else:
        chosen = [one for one in found if one.state not in _DISCARDED]
    if not chosen:
        raise NotFound(
            f"{opening}: unable to find execution {wanted} in job {job.id} and job version "
            f"{version or job.spec.version}"
        )
    return max(chosen, key=lambda one: one.modified)


def _bytes(chunk: LogChunk) -> bytes:
    return base64.b64decode(chunk.base64) if chunk.base64 else chunk.text.encode()


def _frame(value: Json) -> str:
    return encode(value).decode().rstrip("\n")


async def _left(websocket: WebSocket) -> None:
    """Wait until the client closes; what it says before is of no interest."""
    while (await websocket.receive())["type"] != "websocket.disconnect":
        pass
