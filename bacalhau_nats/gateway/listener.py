"""The socket that the API is served on, and the HTTP server behind it."""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import uvicorn

from bacalhau_nats.errors import StartFailed
from bacalhau_nats.gateway.protocol import BoundedProtocol, tell_faults_of_clients

if TYPE_CHECKING:
    from fastapi import FastAPI

# Whoever follows a log and vanishes without a word would be served for ever: nobody sends pings here.
_KEEP_ALIVE = {"TCP_KEEPIDLE": 60, "TCP_KEEPINTVL": 15, "TCP_KEEPCNT": 4}  # seconds, seconds, tries
_CLOSE_PATIENCE = 3  # seconds open requests get at the end


class Listener:
    """Listens from its construction on; `serve` answers. Raises StartFailed when the port is taken.

    Port 0 takes a free one. With a certificate and its key it speaks HTTPS.
    """

    def __init__(self, host: str, port: int, cert_file: str = "", key_file: str = "") -> None:
        self._cert_file, self._key_file = cert_file, key_file
        self._socket = _bind(host, port)
        logging.getLogger("uvicorn.error").addFilter(tell_faults_of_clients)

    @property
    def url(self) -> str:
        """Where people on this machine reach it."""
        host, port = self._socket.getsockname()[:2]
        scheme = "https" if self._cert_file else "http"
        name = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, f"[{host}]" if ":" in host else host)
        return f"{scheme}://{name}:{port}"

    async def serve(self, app: FastAPI, stop: asyncio.Event, ready: asyncio.Event) -> None:
        """Serve until ``stop`` is set; set ``ready`` when requests are answered."""
        server = _Server(self._config(app))
        async with asyncio.TaskGroup() as group:
            group.create_task(server.serve(sockets=[self._socket]), name="http")
            await server.up.wait()
            ready.set()
            await stop.wait()
            server.should_exit = True

    def _config(self, app: FastAPI) -> uvicorn.Config:
        config = uvicorn.Config(
            app,
            log_config=None,
            access_log=False,
            lifespan="off",
            http=BoundedProtocol,
            ws="websockets-sansio",
            ws_ping_interval=None,
            ws_per_message_deflate=False,
            server_header=False,
            timeout_graceful_shutdown=_CLOSE_PATIENCE,
            timeout_keep_alive=60,
            ssl_certfile=self._cert_file or None,
            ssl_keyfile=self._key_file or None,
        )
        try:
            config.load()
        except (OSError, ssl.SSLError) as error:
            raise StartFailed(
                f"the API cannot serve TLS with {self._cert_file}: {error}",
                hint="check API.TLS.CertFile and API.TLS.KeyFile",
            ) from error
        return config


class _Server(uvicorn.Server):
    """Leaves signals to whoever runs the node, and says when it is up."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.up = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to listen."""
        await super().startup(sockets)
        self.up.set()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def _bind(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)  # connections inherit it
    for name, value in _KEEP_ALIVE.items():
        if hasattr(socket, name):  # not every system has them
            listener.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
    try:
        listener.bind((host, port))
        listener.listen(2048)
    except OSError as error:
        listener.close()
        raise StartFailed(
            f"the API cannot listen on {host}:{port}: {error.strerror or error}",
            hint="another process has that port? choose one with -c API.Port=..., or 0 for any free one",
        ) from error
    listener.setblocking(False)
    return listener
