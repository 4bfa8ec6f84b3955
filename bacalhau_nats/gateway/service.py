"""Connects the gateway's use cases to the bus and to HTTP: the only module of this room that knows NATS."""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import Any

import uvicorn

from bacalhau_nats.domain.ids import ExecutionID, JobID
from bacalhau_nats.domain.jobview import JobView
from bacalhau_nats.errors import StartFailed
from bacalhau_nats.gateway.core import Gateway, GatewaySettings, Identity
from bacalhau_nats.gateway.http.app import create_app
from bacalhau_nats.gateway.presence import RosterPresence
from bacalhau_nats.messages import LogChunk, NodeStatus
from bacalhau_nats.messaging.blobs import ObjectStore
from bacalhau_nats.messaging.bus import Bus
from bacalhau_nats.messaging.logs import read_logs
from bacalhau_nats.messaging.nudges import Nudges
from bacalhau_nats.messaging.outlook import Outlook
from bacalhau_nats.messaging.records import JetRecords
from bacalhau_nats.messaging.services import Endpoint
from bacalhau_nats.messaging.subjects import GATEWAY_STATUS
from bacalhau_nats.ports import Clock

log = logging.getLogger(__name__)
_VIEW_PATIENCE = 5.0
_CLOSE_PATIENCE = 3  # seconds open requests get at the end


@dataclass(frozen=True, slots=True)
class GatewayServiceSettings:
    """Where the gateway listens, and how it works."""

    host: str = "127.0.0.1"
    port: int = 1234
    cert_file: str = ""
    key_file: str = ""
    core: GatewaySettings = field(default_factory=GatewaySettings)
    config: Callable[[], Mapping[str, Any]] = dict
    debug: Callable[[], Mapping[str, Any]] = dict


class GatewayService:
    """One gateway on one bus; `run` until ``stop`` is set."""

    def __init__(
        self,
        bus: Bus,
        bulk: Bus,
        outlook: Outlook,
        clock: Clock,
        settings: GatewayServiceSettings,
        identity: Identity,
        *,
        blobs: ObjectStore,
        results: ObjectStore,
    ) -> None:
        self._bus, self._bulk, self._outlook = bus, bulk, outlook
        self._settings, self._identity = settings, identity
        self._socket = _bind(settings.host, settings.port)
        self.gateway = Gateway(
            view=outlook.view,
            records=JetRecords(bus),
            nudge=Nudges(bus).nudge,
            blobs=blobs,
            results=results,
            settings=settings.core,
            identity=identity,
            view_reached=self._reached,
            presence=RosterPresence(outlook.roster, clock),
            logs=self.logs,
            now=lambda: int(clock.now() * 1e9),
            config=settings.config,
            debug=settings.debug,
        )
        self.ready = asyncio.Event()

    @property
    def url(self) -> str:
        """Where people on this machine reach it."""
        host, port = self._socket.getsockname()[:2]
        scheme = "https" if self._settings.cert_file else "http"
        name = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, f"[{host}]" if ":" in host else host)
        return f"{scheme}://{name}:{port}"

    async def run(self, stop: asyncio.Event) -> None:
        """Serve until ``stop`` is set. ``ready`` is set when requests are answered."""
        cell, me = self._bus.cell.name, self._identity.node_id
        endpoints = (Endpoint("status", GATEWAY_STATUS(cell=cell, node=me), NodeStatus, self._status),)
        version = self._identity.build.git_version.removeprefix("v") or "0.0.0"
        server = _Server(self._config())
        async with (
            self._bus.service(
                "bacalhau-gateway", version, "the HTTP API, translated onto the bus", endpoints
            ),
            asyncio.TaskGroup() as group,
        ):
            group.create_task(server.serve(sockets=[self._socket]), name="http")
            await server.up.wait()
            self.ready.set()
            await stop.wait()
            server.should_exit = True

    async def logs(
        self, job_id: JobID, execution_ids: Sequence[ExecutionID], *, follow: bool
    ) -> AsyncGenerator[LogChunk]:
        """Read the output of executions; with ``follow`` until all of them have ended."""
        wanted = frozenset(execution_ids)
        one = execution_ids[0] if len(wanted) == 1 else None
        async with self._ending(job_id, wanted, follow=follow) as ended:
            chunks = read_logs(self._bulk, job_id, one, follow=follow, ended=ended)
            async with aclosing(chunks):
                async for chunk in chunks:
                    if not wanted or chunk.execution_id in wanted:
                        yield chunk

    @asynccontextmanager
    async def _ending(
        self, job_id: JobID, wanted: frozenset[ExecutionID], *, follow: bool
    ) -> AsyncIterator[asyncio.Event]:
        """Give an event that is set once the executions have ended."""
        ended = asyncio.Event()

        def over(job: JobView | None) -> bool:
            if job is None:
                return True
            return all(e.terminal for e in job.executions.values() if not wanted or e.id in wanted)

        async def watch() -> None:
            await self._outlook.until(job_id, over)
            ended.set()

        if not follow:
            yield ended
            return
        watching = asyncio.create_task(watch(), name=f"end of {job_id}")
        try:
            yield ended
        finally:
            watching.cancel()

    async def _reached(self, seq: int) -> None:
        await self._outlook.reached(seq, _VIEW_PATIENCE)

    async def _status(self, _: NodeStatus) -> NodeStatus:
        return NodeStatus(
            node_id=self._identity.node_id,
            instance=self._identity.instance,
            version=self._identity.build.git_version,
            roles=("gateway",),
            view_seq=self._outlook.view.seq,
            details={"url": self.url, "jobs": str(len(self._outlook.view))},
        )

    def _config(self) -> uvicorn.Config:
        config = uvicorn.Config(
            create_app(self.gateway),
            log_config=None,
            access_log=False,
            lifespan="off",
            http="httptools",
            ws="websockets-sansio",
            ws_ping_interval=None,
            ws_per_message_deflate=False,
            server_header=False,
            timeout_graceful_shutdown=_CLOSE_PATIENCE,
            timeout_keep_alive=60,
            ssl_certfile=self._settings.cert_file or None,
            ssl_keyfile=self._settings.key_file or None,
        )
        try:
            config.load()
        except (OSError, ssl.SSLError) as error:
            raise StartFailed(
                f"the API cannot serve TLS with {self._settings.cert_file}: {error}",
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
