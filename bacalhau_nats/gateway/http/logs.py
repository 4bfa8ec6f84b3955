"""``…/jobs/{id}/logs``: the output of an execution over a websocket.

The upgrade succeeds even for a job that does not exist: every problem after it is a frame
``{"error": …, "value": {"Type": 0, "Line": ""}}``. Data frames are ``{"value": {"Type": 1, "Line": …}}``
with type 1 for stdout and 2 for stderr. The end is a close frame with code 1000 in any case; public clients
take every other end for a fault. With ``details``, which is ours, a first frame of type 0 says what was meant, and
every frame has ``ExecutionID``, ``Time`` (unix nanoseconds), ``Next`` (the bytes of that stream up to its end) and,
where it is known, ``Seq``; see `log_query`.
"""

from __future__ import annotations

import asyncio
import base64
import codecs
from collections.abc import AsyncGenerator, Awaitable
from contextlib import aclosing, suppress

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.websockets import WebSocket, WebSocketDisconnect

from bacalhau_nats.domain.execution import ExecutionState
from bacalhau_nats.domain.ids import ExecutionID
from bacalhau_nats.domain.jobview import ExecutionView, JobView
from bacalhau_nats.domain.view import View
from bacalhau_nats.errors import BacalhauError, NotFound
from bacalhau_nats.gateway import refusals
from bacalhau_nats.gateway.core import Gateway
from bacalhau_nats.gateway.http import docs
from bacalhau_nats.gateway.http.jobs import PREFIX
from bacalhau_nats.gateway.http.log_query import Asked, asked, positions
from bacalhau_nats.gateway.http.routing import routes_under
from bacalhau_nats.gateway.http.wire import Json, Query, encode
from bacalhau_nats.messages import LogChunk
from bacalhau_nats.ports import LogEntry, LogStart

_TYPES = {"stdout": 1, "stderr": 2}
_SAY_SECONDS = 10.0
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
        extra = docs.query(
            "namespace", "execution_id", "job_version", "follow", "tail", "all_executions", "from_time", "from_seq",
            "details", "resume",
        )  # fmt: skip
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
        heard = asyncio.Event()  # what the reader has to say comes before anybody waits for him to leave
        sending = asyncio.create_task(self._send(websocket, job_id, heard), name=f"logs {job_id}")
        leaving = asyncio.create_task(_left(websocket, heard), name=f"reader of logs {job_id}")
        try:
            await asyncio.wait((sending, leaving), return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (sending, leaving):
                task.cancel()
            await asyncio.gather(sending, leaving, return_exceptions=True)
        if sending.done() and not sending.cancelled() and (error := sending.exception()):
            raise error

    async def _send(self, websocket: WebSocket, job_id: str, heard: asyncio.Event) -> None:
        with suppress(WebSocketDisconnect):  # who has left needs no more, not even an error or a close
            try:
                async with aclosing(self._frames(websocket, job_id, heard)) as frames:
                    async for frame in frames:
                        await _tell(websocket.send_text(frame))
            except BacalhauError as error:
                problem = {"error": error.message, "value": {"Type": 0, "Line": ""}}
                await _tell(websocket.send_text(_frame(problem)))
            await _tell(websocket.close(1000))

    async def _frames(self, websocket: WebSocket, job_id: str, heard: asyncio.Event) -> AsyncGenerator[str]:
        started = self._gateway.now()
        wanted = asked(Query(websocket), started)
        known = positions(await _first_message(websocket)) if wanted.resume else {}
        heard.set()
        job = await self._gateway.find_job(job_id, wanted.namespace)
        if wanted.follow and not wanted.execution_id:
            # Who follows right after submitting is early, not wrong: the original refuses.
            await self._gateway.until(job.id, lambda now: now is None or now.over or bool(now.executions))
            job = await self._gateway.find_job(job.id)
        one = choose(job, wanted.version, wanted.execution_id) if not wanted.every else None
        running = not (one.terminal if one else _ended(job))
        if wanted.every and not job.executions and not running:
            choose(job, wanted.version, "")  # says that there are none
        since = max(wanted.since, started) if wanted.tail else wanted.since
        if wanted.details:
            # What a reader says when he comes again: a time of day that was meant from here on.
            yield _frame(
                {"value": {"Type": 0, "Line": ""}, "Since": since, "ExecutionID": one.id if one else ""}
            )
        if wanted.tail and not (wanted.follow and running):
            return
        start = LogStart(since=since, seq=wanted.seq, positions=known)
        entries = self._gateway.logs(
            job.id, (one.id,) if one else (), follow=wanted.follow and running, start=start
        )
        shown = _Shown(self._gateway.view, job, wanted)
        async with aclosing(entries):
            async for entry in entries:
                frame = shown.frame(entry)
                if frame:
                    yield frame


class _Shown:
    """Turns chunks into frames; a character that a chunk's end cuts is shown with the next one."""

    def __init__(self, view: View, job: JobView, wanted: Asked) -> None:
        self._view, self._job, self._wanted = view, job, wanted
        self._decoders: dict[tuple[str, str], codecs.IncrementalDecoder] = {}
        self._meant: dict[str, bool] = {}

    def frame(self, entry: LogEntry) -> str:
        """Give the frame of a chunk; empty when it holds nothing to show."""
        chunk = entry.chunk
        if chunk.stream not in _TYPES or not self._is_meant(chunk.execution_id):
            return ""
        row = (chunk.execution_id, chunk.stream)
        decoder = self._decoders.get(row)
        if decoder is None:
            decoder = self._decoders[row] = codecs.getincrementaldecoder("utf-8")("replace")
        data = _bytes(chunk)
        line = decoder.decode(data, final=chunk.end)
        if not line:
            return ""
        frame: Json = {"value": {"Type": _TYPES[chunk.stream], "Line": line}}
        if self._wanted.details:
            held, _ = decoder.getstate()
            frame |= {
                "ExecutionID": chunk.execution_id,
                "Time": chunk.time,
                "Next": chunk.offset + len(data) - len(held),
            }
            if entry.seq:
                frame["Seq"] = entry.seq
        return _frame(frame)

    def _is_meant(self, execution_id: ExecutionID) -> bool:
        """Say whether an execution is of the version that is meant: the one named, else the latest or a later one."""
        if not self._wanted.every:
            return True
        if execution_id not in self._meant:
            job = self._view.job(self._job.id)
            one = job.executions.get(execution_id) if job else None
            if one is None:  # it began just now
                return not self._wanted.version
            meant = self._wanted.version
            self._meant[execution_id] = (
                one.version == meant if meant else one.version >= self._job.spec.version
            )
        return self._meant[execution_id]


def _ended(job: JobView) -> bool:
    return job.over and all(one.terminal for one in job.executions.values())


async def _first_message(websocket: WebSocket) -> str:
    """Wait for what a reader who resumes says first. Raises Refusal when he says nothing."""
    try:
        async with asyncio.timeout(_SAY_SECONDS):
            return await websocket.receive_text()
    except (TimeoutError, KeyError):
        raise refusals.bad_request("resume: the positions did not come") from None


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
    return encode(value).decode()


async def _tell(saying: Awaitable[None]) -> None:
    """Say something to a client. Raises WebSocketDisconnect when it has left, or was left for its bad frames."""
    try:
        await saying
    except RuntimeError as error:  # what uvicorn makes of the second
        raise WebSocketDisconnect(1002) from error


async def _left(websocket: WebSocket, heard: asyncio.Event) -> None:
    """Wait until the client closes; what it says beyond its positions is of no interest."""
    await heard.wait()
    while (await websocket.receive())["type"] != "websocket.disconnect":
        pass
