"""A server that answers as told, on a thread of its own: HTTP, and websockets for logs."""

from __future__ import annotations

import base64
import hashlib
import json
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

_GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


@dataclass
class Asked:
    """A request that came in."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: Any = None


@dataclass
class Answer:
    """What is sent back; ``frames`` makes it a websocket, ``close`` its closing code."""

    body: Any = None
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    frames: list[str] | None = None
    close: int = 1000
    cut: int = -1  # bytes after which the connection is dropped
    stall: int = -1  # bytes after which nothing comes, until the client has gone


@dataclass
class FakeApi:
    """``answers`` by ``METHOD /path``: an Answer, a function of the request, or a list used up one by one."""

    url: str = ""
    answers: dict[str, Any] = field(default_factory=dict)
    asked: list[Asked] = field(default_factory=list)

    def on(self, what: str, answer: Any) -> None:
        self.answers[what] = answer

    def of(self, what: str) -> list[Asked]:
        """The requests to one address."""
        return [asked for asked in self.asked if f"{asked.method} {asked.path}" == what]

    def answer(self, asked: Asked) -> Answer:
        self.asked.append(asked)
        found = self.answers.get(f"{asked.method} {asked.path}")
        if isinstance(found, list):
            found = found.pop(0) if len(found) > 1 else found[0]
        if callable(found):
            found = found(asked)
        if found is None:
            return Answer({"Status": 404, "Message": f"no {asked.path}", "Code": "NotFound"}, 404)
        return found if isinstance(found, Answer) else Answer(found)


class _Server(ThreadingHTTPServer):
    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of a client that left."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


@contextmanager
def serving() -> Iterator[FakeApi]:
    """Run a FakeApi."""
    api = FakeApi()
    server = _Server(("127.0.0.1", 0), _handler(api.answer))
    server.daemon_threads = True
    api.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield api
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _handler(answer_of: Callable[[Asked], Answer]) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _any(self) -> None:
            url = urlsplit(self.path)
            length = int(self.headers.get("Content-Length") or 0)
            raw = self.rfile.read(length)
            form = self.headers.get("Content-Type") == "application/x-www-form-urlencoded"
            body = dict(parse_qsl(raw.decode())) if form else json.loads(raw) if raw else None
            headers = {key.lower(): value for key, value in self.headers.items()}
            query = dict(parse_qsl(url.query))
            asked = Asked(self.command, unquote(url.path), query, headers, body)
            answer = answer_of(asked)
            if answer.frames is not None and answer.status == 200:
                self._websocket(asked, answer)
            else:
                self._plain(answer)

        do_GET = do_PUT = do_DELETE = do_POST = _any  # noqa: N815 - the library's names

        def _plain(self, answer: Answer) -> None:
            raw = answer.body if isinstance(answer.body, bytes) else json.dumps(answer.body).encode()
            self.send_response(answer.status)
            for name, value in answer.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(raw)))
            self.end_headers()
            some = max(answer.cut, answer.stall)
            self.close_connection = self.close_connection or some >= 0
            self.wfile.write(raw if some < 0 else raw[:some])
            self.wfile.flush()
            if answer.stall >= 0:
                self.connection.recv(1)

        def _websocket(self, asked: Asked, answer: Answer) -> None:
            key = self.headers["Sec-WebSocket-Key"] + _GUID
            self.send_response(101)
            self.send_header("Upgrade", "websocket")
            self.send_header("Connection", "Upgrade")
            accept = base64.b64encode(hashlib.sha1(key.encode()).digest()).decode()
            self.send_header("Sec-WebSocket-Accept", accept)
            self.end_headers()
            asked.body = _first_message(self.path, self.rfile.read)
            for frame in answer.frames or []:
                self.wfile.write(_frame(0x81, frame.encode()))
            if answer.close:
                self.wfile.write(_frame(0x88, answer.close.to_bytes(2, "big")))
            self.close_connection = True

        def log_message(self, *_: Any) -> None:
            pass

    return Handler


def _frame(kind: int, payload: bytes) -> bytes:
    size = bytes([len(payload)]) if len(payload) < 126 else b"\x7e" + len(payload).to_bytes(2, "big")
    return bytes([kind]) + size + payload


def _first_message(path: str, read: Callable[[int], bytes]) -> Any:
    """Read what a client says first who resumes: a short frame."""
    if "resume=" not in path:
        return None
    size = read(2)[1] & 0x7F
    size = int.from_bytes(read(2), "big") if size == 126 else size
    mask = read(4)
    return json.loads(bytes(byte ^ mask[at % 4] for at, byte in enumerate(read(size))))
