"""How many heartbeats a second one orchestrator takes in, of 1,000 nodes it knows."""

from __future__ import annotations

import asyncio
import time

from bacalhau_nats.domain.facts import report_key
from bacalhau_nats.domain.node import NodeReport
from bacalhau_nats.domain.resources import Resources
from bacalhau_nats.messaging.bus import connect
from bacalhau_nats.messaging.records import JetRecords
from bacalhau_nats.messaging.subjects import Cell
from benchmarks import beats
from benchmarks.figures.scale import Scale
from benchmarks.http import Connection
from benchmarks.machine import usage
from benchmarks.measure import Measure
from benchmarks.stand import CELL, BenchmarkFailed, Node, Stand, run_load

_AIM = 5000.0
_WITHIN = 60.0
_POLL_SECONDS = 0.05
_CAPACITY = Resources(milli_cpu=8000, memory=16 << 30, disk=128 << 30)


async def measure(scale: Scale) -> list[Measure]:
    """Publish from another process until the orchestrator has read the last one."""
    nodes, count = scale.of(1000, 50), scale.of(40_000, 2000)
    async with Stand() as stand:
        orchestrator = await stand.orchestrator()
        await _report(orchestrator, nodes)
        before = usage(orchestrator.pid).cpu
        heard = asyncio.create_task(_until_heard(orchestrator))
        asked = {"nats": orchestrator.nats, "nodes": nodes, "count": count}
        sent = await run_load(asked, within=_WITHIN, module="beats")
        took = await heard - sent["begin"]
        cpu = usage(orchestrator.pid).cpu - before
        if "slow consumer" in orchestrator.log.lower():
            raise BenchmarkFailed("the orchestrator dropped heartbeats as a slow consumer")
    note = f"CPU {cpu / count * 1e6:.0f} µs each; sent at {count / (sent['end'] - sent['begin']):.0f}/s"
    return [Measure(f"{count} heartbeats of {nodes} nodes", count / took, "1/s", at_least=_AIM, note=note)]


async def _report(orchestrator: Node, nodes: int) -> None:
    """Store what each node is, as it would itself."""
    ids = [beats.SENTINEL, *(beats.name(number) for number in range(nodes))]
    async with connect(orchestrator.nats, cell=Cell(CELL), name="reports") as bus:
        records, left = JetRecords(bus), iter(ids)

        async def write() -> None:
            for node in left:
                report = NodeReport(node_id=node, instance="0001", engines=("noop",), capacity=_CAPACITY)
                await records.put(report_key(node), report)

        await asyncio.gather(*(write() for _ in range(32)))


async def _until_heard(orchestrator: Node) -> float:
    """Poll the sentinel until its last heartbeat shows; give the time of the answer (seconds since 1970)."""
    gateway = await Connection.open(orchestrator.api_port)
    async with asyncio.timeout(_WITHIN):
        while True:
            found = await gateway.json("GET", f"/api/v1/orchestrator/nodes/{beats.SENTINEL}")
            compute = found["Node"]["Info"]["ComputeNodeInfo"]
            if compute["AvailableCapacity"].get("CPU") == beats.MARK:
                await gateway.close()
                return time.time()
            await asyncio.sleep(_POLL_SECONDS)
