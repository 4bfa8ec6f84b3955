"""A compute node with every plugin that is installed and not switched off."""

from __future__ import annotations

import asyncio
import os

from bacalhau_nats import plugins
from bacalhau_nats.compute.lock import only_process
from bacalhau_nats.compute.machine import machine_capacity
from bacalhau_nats.compute.runner import Plugins
from bacalhau_nats.compute.service import ComputeService, ComputeServiceSettings
from bacalhau_nats.domain.node import NodeReport, NodeRole
from bacalhau_nats.node import slices
from bacalhau_nats.node.ground import Ground
from bacalhau_nats.node.results import upload_url
from bacalhau_nats.ports import PluginContext
from bacalhau_nats.settings import allocate


async def compute_service(ground: Ground) -> ComputeService:
    """Open the plugins and make the role. Raises StartFailed, InvalidSettings."""
    settings, me = ground.settings, ground.me
    await ground.stack.enter_async_context(only_process(settings.data_dir, me.node_id))
    machine = await asyncio.to_thread(machine_capacity, settings.data_dir)
    found = Plugins(
        executors=await _open(ground, plugins.EXECUTORS),
        storages=await _open(ground, plugins.STORAGE),
        publishers=await _open(ground, plugins.PUBLISHERS),
    )
    network = settings.compute.network
    report = NodeReport(
        node_id=me.node_id,
        instance=me.instance,
        role=NodeRole.COMPUTE,
        labels=ground.labels(),
        capacity=allocate(machine, settings.compute.allocated_capacity),
        address=network.advertised_address,
        build=me.build,
    )
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
    return ComputeService(ground.bus, ground.bulk, ground.clock, service, found, version=me.version)


async def _open(ground: Ground, group: str) -> plugins.OpenPlugins:
    settings = ground.settings
    names = [n for n in plugins.known(group) if n not in slices.disabled(settings, group)]
    blobs, results = ground.store("blobs"), ground.store("results")

    def context(name: str) -> PluginContext:
        return PluginContext(
            cell=ground.bus.cell.name,
            node_id=ground.me.node_id,
            data_dir=settings.data_dir,
            settings=slices.plugin_section(settings, group, name),
            blobs=blobs,
            results=results,
            upload_url=upload_url(ground.bus, ground.me.node_id),
        )

    return await ground.stack.enter_async_context(plugins.open_plugins(group, names, context))
