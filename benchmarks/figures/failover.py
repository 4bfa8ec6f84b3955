"""A compute node is killed (SIGKILL): how long until its job runs elsewhere, with default settings."""

from __future__ import annotations

import asyncio
import time

from benchmarks import workload
from benchmarks.ear import listening
from benchmarks.figures.scale import Scale
from benchmarks.http import Connection, request
from benchmarks.load import JOBS, Submitted, submit
from benchmarks.measure import Measure
from benchmarks.stand import Stand

_AIM_SECONDS = 25.0
_WITHIN = 90.0


async def measure(scale: Scale) -> list[Measure]:
    """Kill the node that runs a long job, once or twice."""
    found = []
    for attempt in range(scale.of(2, 1)):
        took = await _once()
        title = f"kill -9 of a compute node to its job running elsewhere, run {attempt + 1}"
        found.append(Measure(title, took, "s", at_most=_AIM_SECONDS))
    return found


async def _once() -> float:
    async with Stand() as stand:
        orchestrator = await stand.orchestrator()
        computes = {name: await stand.compute(name, orchestrator) for name in ("left", "right")}
        gateway = await Connection.open(orchestrator.api_port)
        async with asyncio.timeout(_WITHIN), listening(orchestrator.nats) as ear:
            wire = request("PUT", JOBS, {"Job": workload.wasm_sleep(600)})
            job = await submit(gateway, wire, Submitted())
            victim = await ear.until_on(job, 1)
            await asyncio.sleep(1.0)  # it runs, and has said so for a while
            computes[victim].kill()
            killed = time.perf_counter()
            await ear.until_on(job, 2)
            took = time.perf_counter() - killed
        await gateway.json("DELETE", f"{JOBS}/{job}")
        await gateway.close()
        return took
