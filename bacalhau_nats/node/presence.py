"""A node that only orchestrates reports and beats, too, so that people see it among the nodes."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from bacalhau_nats.domain.facts import report_key
from bacalhau_nats.domain.node import Heartbeat, NodeReport
from bacalhau_nats.errors import Unavailable
from bacalhau_nats.messages import RollCall
from bacalhau_nats.messaging.bus import Bus
from bacalhau_nats.messaging.records import JetRecords
from bacalhau_nats.messaging.subjects import HEARTBEAT, ROLL_CALL

log = logging.getLogger(__name__)


@asynccontextmanager
async def say_hello(bus: Bus, report: NodeReport, every: float) -> AsyncIterator[None]:
    """Report this node and beat every so many seconds while the context is open."""
    records, now = JetRecords(bus), asyncio.Event()
    await records.put(report_key(report.node_id), report)

    async def beat() -> None:
        tick = 0
        while True:
            now.clear()
            tick += 1
            subject = HEARTBEAT(cell=bus.cell.name, node=report.node_id)
            await bus.publish(
                subject,
                Heartbeat(
                    node_id=report.node_id, instance=report.instance, tick=tick, role=report.role, every=every
                ),
            )
            try:
                async with asyncio.timeout(every):
                    await now.wait()
            except TimeoutError:
                continue

    def called(_: RollCall) -> None:
        now.set()

    calls = await bus.subscribe(ROLL_CALL(cell=bus.cell.name), (RollCall,), called)
    beating = asyncio.create_task(beat(), name="orchestrator heartbeats")
    try:
        yield
    finally:
        beating.cancel()
        if bus.connected:
            await calls.unsubscribe()
            try:
                await records.put(report_key(report.node_id), report.but(left=True))
            except Unavailable as error:
                log.debug("cannot say good-bye: %s", error.message)
