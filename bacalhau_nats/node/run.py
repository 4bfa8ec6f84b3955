"""Open the bus, then the plugins, then run the roles until somebody says stop.

One exit stack opens, one task group runs. A role that fails ends the others, and its error surfaces
once. Requester and gateway of one process share one outlook (view and heartbeats); bulky traffic (logs,
results) has a connection of its own, so that a flood of output delays no heartbeat.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any

from bacalhau_nats.clients.s3_signing import ResultSigner
from bacalhau_nats.compute.service import ComputeService
from bacalhau_nats.domain.node import NodeReport, NodeRole
from bacalhau_nats.gateway.agent_service import AgentService
from bacalhau_nats.gateway.core import GatewaySettings, Identity
from bacalhau_nats.gateway.listener import Listener
from bacalhau_nats.gateway.service import GatewayService, GatewayServiceSettings
from bacalhau_nats.messaging.outlook import Outlook
from bacalhau_nats.messaging.topology import ensure
from bacalhau_nats.node import gate, slices
from bacalhau_nats.node.computing import compute_service
from bacalhau_nats.node.ground import Ground, SystemClock
from bacalhau_nats.node.identity import who_am_i
from bacalhau_nats.node.presence import say_hello
from bacalhau_nats.node.results import result_signer
from bacalhau_nats.node.servers import connected, nats_servers, without_password
from bacalhau_nats.requester.service import RequesterService
from bacalhau_nats.settings import Settings

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Started:
    """What a node tells when it is ready; a URL is empty where the node does not serve it."""

    node_id: str
    api_url: str
    nats_url: str


async def run(
    settings: Settings,
    *,
    orchestrator: bool,
    compute: bool,
    name: str | None,
    stop: asyncio.Event,
    ready: Callable[[Started], None],
) -> None:
    """Run a node with the given roles until ``stop`` is set.

    Raises StartFailed, InvalidSettings, Unavailable (no NATS server) or UnsupportedServer, each before
    anything of the node is visible to others.
    """
    me = who_am_i(settings, name)
    async with AsyncExitStack() as stack:
        urls = await nats_servers(settings, stack, me, orchestrator=orchestrator)
        control, bulk = [await connected(settings, stack, urls, me, what) for what in ("control", "bulk")]
        ground = Ground(settings, me, control, bulk, stack, SystemClock())
        node = _Node(ground, without_password(urls[0]))
        if orchestrator:
            await node.add_orchestrator(also_compute=compute)
        if compute:
            await node.add_compute(alone=not orchestrator)
        await node.live(stop, lambda: ready(Started(me.node_id, node.api_url, urls[0])))


class _Node:
    """The roles of one process while they are put together."""

    def __init__(self, ground: Ground, nats_url: str) -> None:
        self._ground = ground
        self._settings, self._me, self._bus = ground.settings, ground.me, ground.bus
        self._nats_url = nats_url
        self.api_url = ""
        self._roles: list[RequesterService | ComputeService | GatewayService | AgentService] = []

    async def live(self, stop: asyncio.Event, ready: Callable[[], None]) -> None:
        """Run the roles; computes leave first, while there is still somebody to tell."""
        computes = [role for role in self._roles if isinstance(role, ComputeService)]
        others = [role for role in self._roles if not isinstance(role, ComputeService)]
        stop_others = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            for role in others:
                group.create_task(role.run(stop_others), name=type(role).__name__)
                await role.ready.wait()
            running = [group.create_task(c.run(stop), name="ComputeService") for c in computes]
            for compute in computes:
                await compute.ready.wait()
            log.info("node %s is ready", self._me.node_id, extra={"action": "node_ready"})
            ready()
            await stop.wait()
            if running:
                await asyncio.wait(running)
            stop_others.set()

    async def add_orchestrator(self, *, also_compute: bool) -> None:
        """Add a requester, and a gateway unless it is switched off."""
        settings, me = self._settings, self._me
        ground, streams = self._ground, self._ground.topology()
        await ensure(self._bus, streams)
        for bucket in ("blobs", "results"):
            await ground.store(bucket).ensure()
        window = settings.orchestrator.node_manager.disconnect_timeout
        outlook = Outlook(self._bus, self._ground.clock, window)
        await self._ground.stack.enter_async_context(outlook.open())
        report = NodeReport(
            node_id=me.node_id,
            instance=me.instance,
            role=NodeRole.REQUESTER,
            labels=self._ground.labels(),
            build=me.build,
        )
        if not also_compute:
            every = settings.compute.heartbeat.interval
            await self._ground.stack.enter_async_context(say_hello(self._bus, report, every))
        signer = result_signer(settings, self._ground.stack)
        self._roles.append(
            RequesterService(
                self._bus,
                outlook,
                self._ground.clock,
                slices.requester_settings(settings),
                me=me.node_id,
                instance=me.instance,
                version=me.version,
                topology=streams,
                blobs=self._ground.store("blobs"),
                results=self._ground.store("results"),
                signer=signer,
            )
        )
        if settings.orchestrator.gateway:
            gateway = self._gateway(outlook, report, signer)
            self.api_url = gateway.url
            self._roles.append(gateway)

    def _gateway(self, outlook: Outlook, report: NodeReport, signer: ResultSigner) -> GatewayService:
        settings, me = self._settings, self._me
        identity = Identity(me.node_id, me.instance, "", me.build, report)
        core = GatewaySettings(
            defaults=slices.job_defaults(settings),
            manual_approval=settings.orchestrator.node_manager.manual_approval,
        )
        if warning := gate.warning(settings):
            log.warning("%s", warning, extra={"action": "api_open"})
        return GatewayService(
            self._bus,
            self._ground.bulk,
            outlook,
            self._ground.clock,
            GatewayServiceSettings(
                host=settings.api.host,
                port=settings.api.port,
                cert_file=settings.api.tls.cert_file,
                key_file=settings.api.tls.key_file,
                gatekeeper=gate.gatekeeper(settings),
                core=core,
                config=settings.to_wire,
                debug=self._debug,
            ),
            identity,
            blobs=self._ground.store("blobs"),
            results=self._ground.store("results"),
            signer=signer,
        )

    def _debug(self) -> dict[str, Any]:
        found: dict[str, Any] = {"NATSServer": {"ClientURL": self._nats_url}}
        for role in self._roles:
            if isinstance(role, ComputeService):
                found |= role.inside()
        return found

    async def add_compute(self, *, alone: bool) -> None:
        """Add a compute node with every plugin that is installed and not switched off.

        ``alone``, it serves the agent's part of the API when a port for it is set.
        """
        settings = self._settings
        compute = await compute_service(self._ground)
        self._roles.append(compute)
        if alone and settings.api.port and settings.source("API.Port") != "default":
            self._roles.append(self._agent(compute))

    def _agent(self, compute: ComputeService) -> AgentService:
        api = self._settings.api
        agent = AgentService(
            Listener(api.host, api.port, api.tls.cert_file, api.tls.key_file),
            self._me.build,
            report=lambda: compute.survey.report,
            beat=compute.pulse.now,
            debug=self._debug,
            config=self._settings.to_wire,
            gatekeeper=gate.gatekeeper(self._settings),
        )
        self.api_url = agent.url
        return agent
