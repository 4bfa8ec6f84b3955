"""Open the bus, then the plugins, then run the roles until somebody says stop.

One exit stack opens, one task group runs. A role that fails ends the others, and its error surfaces
once. Requester and gateway of one process share one outlook (view and heartbeats); bulky traffic (logs,
results) has a connection of its own, so that a flood of output delays no heartbeat.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any

from bacalhau_nats import plugins
from bacalhau_nats.clients.s3_signing import ResultSigner
from bacalhau_nats.compute.lock import only_process
from bacalhau_nats.compute.machine import machine_capacity
from bacalhau_nats.compute.runner import Plugins
from bacalhau_nats.compute.service import ComputeService, ComputeServiceSettings
from bacalhau_nats.domain.node import NodeReport, NodeRole
from bacalhau_nats.gateway.agent_service import AgentService
from bacalhau_nats.gateway.core import GatewaySettings, Identity
from bacalhau_nats.gateway.listener import Listener
from bacalhau_nats.gateway.service import GatewayService, GatewayServiceSettings
from bacalhau_nats.messaging.blobs import ObjectStore
from bacalhau_nats.messaging.bus import Bus
from bacalhau_nats.messaging.outlook import Outlook
from bacalhau_nats.messaging.topology import ensure
from bacalhau_nats.node import gate, slices
from bacalhau_nats.node.identity import Self, who_am_i
from bacalhau_nats.node.presence import say_hello
from bacalhau_nats.node.results import result_signer, upload_url
from bacalhau_nats.node.servers import connected, nats_servers, without_password
from bacalhau_nats.ports import PluginContext
from bacalhau_nats.requester.service import RequesterService
from bacalhau_nats.settings import Settings, allocate

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Started:
    """What a node tells when it is ready; a URL is empty where the node does not serve it."""

    node_id: str
    api_url: str
    nats_url: str


class SystemClock:
    """`ports.Clock` of the real world."""

    def now(self) -> float:
        """Seconds since the epoch."""
        return time.time()

    def monotonic(self) -> float:
        """Seconds that never go back."""
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        await asyncio.sleep(seconds)


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
        node = _Node(settings, me, await connected(settings, stack, urls, me, "control"), stack)
        node.bulk = await connected(settings, stack, urls, me, "bulk")
        node.nats_url = without_password(urls[0])
        if orchestrator:
            await node.add_orchestrator(also_compute=compute)
        if compute:
            await node.add_compute(alone=not orchestrator)
        await node.live(stop, lambda: ready(Started(me.node_id, node.api_url, urls[0])))


class _Node:
    """The roles of one process while they are put together."""

    def __init__(self, settings: Settings, me: Self, bus: Bus, stack: AsyncExitStack) -> None:
        self._settings, self._me, self._bus, self._stack = settings, me, bus, stack
        self._clock = SystemClock()
        self.bulk = bus
        self.api_url = self.nats_url = ""
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
        streams = slices.topology(settings, clustered=settings.orchestrator.cluster.port > 0)
        await ensure(self._bus, streams)
        for bucket in ("blobs", "results"):
            await self._store(bucket).ensure()
        window = settings.orchestrator.node_manager.disconnect_timeout
        outlook = Outlook(self._bus, self._clock, window)
        await self._stack.enter_async_context(outlook.open())
        report = NodeReport(
            node_id=me.node_id,
            instance=me.instance,
            role=NodeRole.REQUESTER,
            labels=self._labels(),
            build=me.build,
        )
        if not also_compute:
            every = settings.compute.heartbeat.interval
            await self._stack.enter_async_context(say_hello(self._bus, report, every))
        signer = result_signer(settings, self._stack)
        self._roles.append(
            RequesterService(
                self._bus,
                outlook,
                self._clock,
                slices.requester_settings(settings),
                me=me.node_id,
                instance=me.instance,
                version=me.version,
                topology=streams,
                blobs=self._store("blobs"),
                results=self._store("results"),
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
            self.bulk,
            outlook,
            self._clock,
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
            blobs=self._store("blobs"),
            results=self._store("results"),
            signer=signer,
        )

    def _store(self, name: str) -> ObjectStore:
        replicas = slices.topology(
            self._settings, clustered=self._settings.orchestrator.cluster.port > 0
        ).replicas
        return ObjectStore(self.bulk, self._bus.cell.bucket(name), replicas=replicas)

    def _debug(self) -> dict[str, Any]:
        found: dict[str, Any] = {"NATSServer": {"ClientURL": self.nats_url}}
        for role in self._roles:
            if isinstance(role, ComputeService):
                found |= role.inside()
        return found

    async def add_compute(self, *, alone: bool) -> None:
        """Add a compute node with every plugin that is installed and not switched off.

        ``alone``, it serves the agent's part of the API when a port for it is set.
        """
        settings, me = self._settings, self._me
        await self._stack.enter_async_context(only_process(settings.data_dir, me.node_id))
        machine = await asyncio.to_thread(machine_capacity, settings.data_dir)
        capacity = allocate(machine, settings.compute.allocated_capacity)
        found = Plugins(
            executors=await self._open(plugins.EXECUTORS),
            storages=await self._open(plugins.STORAGE),
            publishers=await self._open(plugins.PUBLISHERS),
        )
        report = NodeReport(
            node_id=me.node_id,
            instance=me.instance,
            role=NodeRole.COMPUTE,
            labels=self._labels(),
            capacity=capacity,
            address=settings.compute.network.advertised_address,
            build=me.build,
        )
        network = settings.compute.network
        service = ComputeServiceSettings(
            data_dir=settings.data_dir,
            report=report,
            every=settings.compute.heartbeat.interval,
            hold_seconds=settings.compute.hold_time,
            grace=settings.compute.shutdown_grace,
            log_quota=settings.compute.logs.quota,
            log_rate=settings.compute.logs.rate,
            ports=(network.port_range_start, network.port_range_end),
            env_allowed=settings.compute.env.allow_list,
            node_env=dict(os.environ),  # noqa: TID251 - a job may ask for a variable of the node
            rules=slices.policy_rules(settings, found.storages, found.publishers),
            disk_reserve=settings.compute.disk_reserve,
        )
        compute = ComputeService(self._bus, self.bulk, self._clock, service, found, version=me.version)
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

    async def _open(self, group: str) -> plugins.OpenPlugins:
        cell = self._bus.cell
        names = [n for n in plugins.known(group) if n not in slices.disabled(self._settings, group)]
        blobs, results = self._store("blobs"), self._store("results")

        def context(name: str) -> PluginContext:
            return PluginContext(
                cell=cell.name,
                node_id=self._me.node_id,
                data_dir=self._settings.data_dir,
                settings=slices.plugin_section(self._settings, group, name),
                blobs=blobs,
                results=results,
                upload_url=upload_url(self._bus, self._me.node_id),
            )

        return await self._stack.enter_async_context(plugins.open_plugins(group, names, context))

    def _labels(self) -> dict[str, str]:
        build = self._me.build
        own = {"name": str(self._me.node_id), "os_type": build.goos, "os_arch": build.goarch}
        return own | dict(self._settings.labels)
