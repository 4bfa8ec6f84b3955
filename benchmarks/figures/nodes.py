"""The same load with 1 and with 100 compute nodes on this machine."""

from __future__ import annotations

import asyncio

from benchmarks import workload
from benchmarks.figures.latency import serial
from benchmarks.figures.scale import Scale
from benchmarks.figures.throughput import load
from benchmarks.http import Connection
from benchmarks.measure import Measure, percentile
from benchmarks.stand import Node, Stand

_PROCESSES = 2
_CONNECTED_SECONDS = 30.0


async def measure(scale: Scale) -> list[Measure]:
    """Compare jobs a second and the time of a single job. Both runs are of the same sort of processes."""
    many = scale.of(100, 10)
    one = await _with_nodes(1, scale)
    crowd = await _with_nodes(many, scale)
    found = []
    for nodes, (rate, single) in ((1, one), (many, crowd)):
        found.append(Measure(f"no-op jobs with {nodes} nodes", rate, "jobs/s"))
        found.append(Measure(f"submit to completed with {nodes} nodes, p50", single * 1000, "ms"))
    note = "1 means no slower; the aim allows for noise"
    found.append(
        Measure(f"jobs/s, {many} nodes against 1", crowd[0] / one[0], "times", at_least=0.9, note=note)
    )
    return found


async def _with_nodes(count: int, scale: Scale) -> tuple[float, float]:
    jobs, times = scale.of(1000, 60), scale.of(200, 20)
    async with Stand() as stand:
        orchestrator = await stand.orchestrator()
        processes = min(count, _PROCESSES)
        for index in range(processes):
            share = count // processes + (1 if index < count % processes else 0)
            asked = {"nats": orchestrator.nats, "count": share, "prefix": f"many-{index}"}
            await stand.helper("computes", asked | {"folder": str(stand.folder)}, ready="ready")
        await _connected(orchestrator, count)
        await load(orchestrator, workload.noop(), scale.of(200, 10), 10)
        answer = await load(orchestrator, workload.noop(), jobs, 10)
        single = await serial(orchestrator, workload.noop(), times)
        return jobs / answer["seconds"], percentile(single["ended"], 0.5)


async def _connected(orchestrator: Node, count: int) -> None:
    """Wait until the orchestrator has heard all compute nodes."""
    connection = await Connection.open(orchestrator.api_port)
    async with asyncio.timeout(_CONNECTED_SECONDS):
        while True:
            listed = await connection.json("GET", "/api/v1/orchestrator/nodes?limit=1000")
            heard = [
                node
                for node in listed["Nodes"]
                if node["Info"]["NodeType"] == "Compute" and node["Connection"] == "CONNECTED"
            ]
            if len(heard) >= count:
                break
            await asyncio.sleep(0.2)
    await connection.close()
