"""Connects the gateway's use cases to the bus and to HTTP: the only module of this room that knows NATS."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from bacalhau_nats.clients.s3_signing import ResultSigner
from bacalhau_nats.domain.ids import ExecutionID, JobID
from bacalhau_nats.domain.jobview import JobView
from bacalhau_nats.errors import UserError
from bacalhau_nats.gateway.core import Gateway, GatewaySettings, Identity
from bacalhau_nats.gateway.http.app import create_app
from bacalhau_nats.gateway.http.authorizing import Gatekeeper
from bacalhau_nats.gateway.listener import Listener
from bacalhau_nats.gateway.presence import RosterPresence
from bacalhau_nats.messages import NodeStatus
from bacalhau_nats.messaging.bids import read_answers
from bacalhau_nats.messaging.blobs import ObjectStore
from bacalhau_nats.messaging.bus import Bus
from bacalhau_nats.messaging.logs import newest_seq, read_entries
from bacalhau_nats.messaging.nudges import Nudges
from bacalhau_nats.messaging.outlook import Outlook
from bacalhau_nats.messaging.records import JetRecords
from bacalhau_nats.messaging.services import Endpoint
from bacalhau_nats.messaging.subjects import GATEWAY_STATUS
from bacalhau_nats.ports import Clock, LogEntry, LogStart

_VIEW_PATIENCE = 5.0


@dataclass(frozen=True, slots=True)
class GatewayServiceSettings:
    """Where the gateway listens, whom it serves (everybody, without a gatekeeper), and how it works."""

    host: str = "127.0.0.1"
    port: int = 1234
    cert_file: str = ""
    key_file: str = ""
    gatekeeper: Gatekeeper | None = None
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
        signer: ResultSigner,
    ) -> None:
        self._bus, self._bulk, self._outlook = bus, bulk, outlook
        self._settings, self._identity = settings, identity
        self._listener = Listener(settings.host, settings.port, settings.cert_file, settings.key_file)
        self.gateway = Gateway(
            view=outlook.view,
            records=JetRecords(bus),
            nudge=Nudges(bus).nudge,
            blobs=blobs,
            results=results,
            signed=signer.signed,
            settings=settings.core,
            identity=identity,
            view_reached=self._reached,
            presence=RosterPresence(outlook.roster, clock),
            logs=self.logs,
            until=outlook.until,
            answers=partial(read_answers, bus),
            now=lambda: int(clock.now() * 1e9),
            config=settings.config,
            debug=settings.debug,
        )
        self.ready = asyncio.Event()

    @property
    def url(self) -> str:
        """Where people on this machine reach it."""
        return self._listener.url

    async def run(self, stop: asyncio.Event) -> None:
        """Serve until ``stop`` is set. ``ready`` is set when requests are answered."""
        cell, me = self._bus.cell.name, self._identity.node_id
        endpoints = (Endpoint("status", GATEWAY_STATUS(cell=cell, node=me), NodeStatus, self._status),)
        version = self._identity.build.git_version.removeprefix("v") or "0.0.0"
        async with (
            self._bus.service(
                "bacalhau-gateway", version, "the HTTP API, translated onto the bus", endpoints
            ),
        ):
            if self._settings.gatekeeper:
                self._settings.gatekeeper.begin()
            app = create_app(self.gateway, gatekeeper=self._settings.gatekeeper)
            await self._listener.serve(app, stop, self.ready)

    async def logs(
        self, job_id: JobID, execution_ids: Sequence[ExecutionID], *, follow: bool, start: LogStart
    ) -> AsyncGenerator[LogEntry]:
        """Read the output of executions; with ``follow`` until all of them have ended, or the whole job has."""
        if start.seq and not start.positions:
            newest = await newest_seq(self._bulk)
            if start.seq > newest + 1:
                raise UserError(f"there is no output from sequence {start.seq} on: the newest has {newest}")
        wanted = frozenset(execution_ids)
        one = execution_ids[0] if len(wanted) == 1 else None
        async with self._ending(job_id, wanted, follow=follow) as ended:
            entries = read_entries(self._bulk, job_id, one, follow=follow, ended=ended, start=start)
            async with aclosing(entries):
                async for entry in entries:
                    if not wanted or entry.chunk.execution_id in wanted:
                        yield entry

    @asynccontextmanager
    async def _ending(
        self, job_id: JobID, wanted: frozenset[ExecutionID], *, follow: bool
    ) -> AsyncIterator[asyncio.Event]:
        """Give an event that is set once the executions have ended."""
        ended = asyncio.Event()

        def over(job: JobView | None) -> bool:
            if job is None:
                return True
            if not wanted and not job.over:
                return False
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
