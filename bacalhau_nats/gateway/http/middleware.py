"""What happens to every request before and after its route, outermost first.

1. `Edge`: CORS, errors that nobody caught, request id.
2. `Limits`: size of the body, requests per client, time.
3. `authorizing.Authorization`, on a server with users: who may ask.
4. `ServerHeaders`: who answers, and whether the client is recent enough.

Plain ASGI on purpose: these run for each request, and what a response wrapper costs is paid 300 times a
second.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from bacalhau_nats.domain.node import BuildInfo
from bacalhau_nats.domain.times import header_time
from bacalhau_nats.errors import BacalhauError
from bacalhau_nats.gateway.http import problems
from bacalhau_nats.gateway.http.versions import gate
from bacalhau_nats.gateway.http.wire import JSON, Json, bound, encode
from bacalhau_nats.gateway.refusals import API_SERVER

REQUEST_ID = "x-request-id"
_METHODS = b"GET,HEAD,PUT,PATCH,POST,DELETE"
_PREFLIGHT_VARY = b"Origin, Access-Control-Request-Method, Access-Control-Request-Headers"
_MANY_CLIENTS = 10_000
_SENT = "http.response.start"

RawHeaders = list[tuple[bytes, bytes]]


async def send_json(send: Send, value: Json, *, status: int, websocket: bool = False) -> None:
    """Answer with JSON from outside any route; a websocket is refused with it before its upgrade."""
    await send_bytes(send, encode(value), media=JSON, status=status, websocket=websocket)


async def send_bytes(send: Send, content: bytes, *, media: str, status: int, websocket: bool = False) -> None:
    """Answer with a whole body from outside any route."""
    prefix = "websocket.http.response" if websocket else "http.response"
    headers = [(b"content-type", media.encode()), (b"content-length", str(len(content)).encode())]
    await send({"type": f"{prefix}.start", "status": status, "headers": headers})
    await send({"type": f"{prefix}.body", "body": content})


def request_id_of(scope: Scope) -> str:
    """Give the request id that the client sent, as text; empty when it sent none."""
    return Headers(scope=scope).get(REQUEST_ID, "").encode("latin-1").decode("utf-8", "replace")


class Edge:
    """CORS, the last resort for errors, and the request id."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        origin = bool(headers.get("origin"))
        if scope["type"] == "http" and scope["method"] == "OPTIONS":
            await _preflight(send, headers)
            return
        given = headers.get(REQUEST_ID, "")
        chosen = given or secrets.token_hex(16)
        extra: RawHeaders = [(b"x-request-id", chosen.encode("latin-1", "replace")), (b"vary", b"Origin")]
        if origin:
            extra.append((b"access-control-allow-origin", b"*"))
        started = False

        async def send_with_headers(message: Message) -> None:
            nonlocal started
            if message["type"] in (_SENT, "websocket.http.response.start", "websocket.accept"):
                started = True
                message["headers"] = [*message.get("headers", ()), *extra]
            await send(message)

        try:
            await self._app(scope, receive, send_with_headers)
        except BacalhauError as error:
            if started or scope["type"] != "http":
                raise
            problem = problems.of_error(error, request_id_of(scope))
            await send_json(send_with_headers, problem, status=problem["Status"])
        except Exception as error:
            # One of the few places that catch everything: a bug in a route must not end the connection.
            if started or scope["type"] != "http":
                raise
            await send_json(send_with_headers, problems.internal(error, request_id_of(scope)), status=500)


async def _preflight(send: Send, headers: Headers) -> None:
    answer: RawHeaders = [(b"vary", b"Origin")]
    if headers.get("origin"):
        answer = [
            (b"vary", _PREFLIGHT_VARY),
            (b"access-control-allow-origin", b"*"),
            (b"access-control-allow-methods", _METHODS),
        ]
        wanted = headers.get("access-control-request-headers", "")
        if wanted:
            answer.append((b"access-control-allow-headers", wanted.encode("latin-1", "replace")))
    await send({"type": _SENT, "status": 204, "headers": answer})
    await send({"type": "http.response.body", "body": b""})


@dataclass(slots=True)
class _Bucket:
    tokens: float
    at: float


class RateLimit:
    """A token bucket per client address; 0 requests a second means no limit."""

    def __init__(self, per_second: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._per_second = per_second
        self._clock = clock
        self._buckets: dict[str, _Bucket] = {}

    def takes(self, client: str) -> bool:
        """Take one request of ``client``; say whether it may go on."""
        if not self._per_second:
            return True
        now = self._clock()
        bucket = self._buckets.get(client)
        if bucket is None:
            if len(self._buckets) >= _MANY_CLIENTS:
                self._forget(now)
            bucket = self._buckets[client] = _Bucket(self._per_second, now)
        bucket.tokens = min(self._per_second, bucket.tokens + (now - bucket.at) * self._per_second)
        bucket.at = now
        if bucket.tokens < 1:
            return False
        bucket.tokens -= 1
        return True

    def _forget(self, now: float) -> None:
        # A bucket that is not used for a second is full again, so nothing is lost with it.
        self._buckets = {key: one for key, one in self._buckets.items() if now - one.at < 1}


class Limits:
    """The size of a body, the requests of one client, and the time that a request may take."""

    def __init__(self, app: ASGIApp, *, body: int, per_second: float, seconds: float) -> None:
        self._app = app
        self._body = body
        self._rate = RateLimit(per_second)
        self._seconds = seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        length = headers.get("content-length", "")
        if length.isdigit() and int(length) > self._body:
            await send_json(send, _refusal(scope, 413, "Request Entity Too Large"), status=413)
            return
        if not self._rate.takes(_client_of(scope, headers)):
            await send_json(send, _refusal(scope, 429, "rate limit exceeded"), status=429)
            return
        await self._within_time(scope, self._counted(receive), send)

    def _counted(self, receive: Receive) -> Receive:
        read = 0

        async def counted() -> Message:
            nonlocal read
            message = await receive()
            read += len(message.get("body", b""))
            if read > self._body:
                raise bound("http: request body too large")
            return message

        return counted

    async def _within_time(self, scope: Scope, receive: Receive, send: Send) -> None:
        started = False
        try:
            async with asyncio.timeout(self._seconds) as limit:

                async def send_in_time(message: Message) -> None:
                    nonlocal started
                    if message["type"] == _SENT:
                        # What is being sent may take its time: a download is not a stuck handler.
                        started = True
                        limit.reschedule(None)
                    await send(message)

                await self._app(scope, receive, send_in_time)
        except TimeoutError:
            if started or not limit.expired():
                raise
            await send_bytes(send, b"Server Timeout!", media="text/plain; charset=utf-8", status=503)


def _refusal(scope: Scope, status: int, message: str) -> Json:
    return problems.body(status, message, "InternalError", API_SERVER, request_id=request_id_of(scope))


def _client_of(scope: Scope, headers: Headers) -> str:
    forwarded = headers.get("x-forwarded-for", "").partition(",")[0].strip()
    peer = scope.get("client")
    return forwarded or headers.get("x-real-ip", "").strip() or (peer[0] if peer else "")


class ServerHeaders:
    """Says who answers, and turns clients away that are too old."""

    def __init__(self, app: ASGIApp, build: BuildInfo) -> None:
        self._app = app
        self._version = build.git_version
        self._headers: RawHeaders = [
            (b"x-bacalhau-git-version", build.git_version.encode()),
            (b"x-bacalhau-git-commit", build.git_commit.encode()),
            (b"x-bacalhau-build-date", header_time(build.build_date).encode()),
            (b"x-bacalhau-build-os", build.goos.encode()),
            (b"x-bacalhau-arch", build.goarch.encode()),
        ]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        kind = scope["type"]
        if kind == "lifespan":
            await self._app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] in (_SENT, "websocket.http.response.start", "websocket.accept"):
                message["headers"] = [*message.get("headers", ()), *self._headers]
            await send(message)

        refusal = gate(Headers(scope=scope).get("x-bacalhau-git-version", ""), self._version)
        if refusal is not None:
            status, answer = refusal
            await send_json(send_with_headers, answer, status=status, websocket=kind == "websocket")
            return
        await self._app(scope, receive, send_with_headers)
