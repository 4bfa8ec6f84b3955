"""What comes before a request is bounded, too, and only a log stream is a websocket.

uvicorn waits for ever for the rest of a header, keeps as much of it as is sent, and turns every handshake
into a websocket. The public server gives a header five seconds and a megabyte, and serves a handshake of
any other path as the plain request that it also is.
"""

from __future__ import annotations

import asyncio
import logging
import re
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

HEAD_SECONDS = 5.0
LARGEST_HEAD = 1 << 20
"""Bytes of the request line and the header."""

_STREAM = re.compile(rb"/api/v1/orchestrator/jobs/(?:(?!%2[Ff])[^/?])+/logs(?:\?|$)")
_TOO_LARGE = b"431 Request Header Fields Too Large"


class BoundedProtocol(HttpToolsProtocol):
    """One connection of a client."""

    head_seconds = HEAD_SECONDS

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._in_head, self._head = True, 0
        self._patience: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Wait for the first header from now on."""
        super().connection_made(transport)
        self._wait()

    def data_received(self, data: bytes) -> None:
        """Take what was sent, as long as its header stays within bounds."""
        super().data_received(data)
        if not self._in_head or self.transport.is_closing():
            return
        self._head += len(data)
        if self._head > LARGEST_HEAD:
            self.transport.write(_plain(_TOO_LARGE))
            self.transport.close()
        elif self._patience is None:
            self._wait()

    def on_message_begin(self) -> None:
        """Begin to read the header of a request."""
        super().on_message_begin()
        self._in_head, self._head = True, 0

    def on_headers_complete(self) -> None:
        """Stop to wait for the header."""
        self._in_head = False
        self._stop_waiting()
        super().on_headers_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        self._stop_waiting()
        super().connection_lost(exc)

    def _should_upgrade(self) -> bool:
        stream = self.scope.get("method") == "GET" and _STREAM.match(self.url)
        return bool(stream) and super()._should_upgrade()

    def _wait(self) -> None:
        self._patience = self.loop.call_later(self.head_seconds, self.transport.close)

    def _stop_waiting(self) -> None:
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None


def tell_faults_of_clients(record: logging.LogRecord) -> bool:
    """Tell in a line what a client did wrong; uvicorn logs a text that is no UTF-8 as an error of the server."""
    if record.exc_info and isinstance(record.exc_info[1], UnicodeDecodeError):
        record.exc_info, record.levelno, record.levelname = None, logging.INFO, "INFO"
    return True


def _plain(status: bytes) -> bytes:
    return b"HTTP/1.1 %b\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\n\r\n%b" % (
        status,
        status,
    )
