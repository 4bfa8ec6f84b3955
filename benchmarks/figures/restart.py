"""The orchestrator is killed (SIGKILL) with 50 jobs under way and started again: do all come to an end?

Its NATS server dies with it. The compute node stays and has to find both again.
"""

from __future__ import annotations

import asyncio
from collections import Counter

from benchmarks import workload
from benchmarks.figures.scale import Scale
from benchmarks.http import Connection, request
from benchmarks.load import JOBS, Submitted, submit
from benchmarks.measure import Measure
from benchmarks.stand import Stand

_ENDED = {"Completed", "Failed", "Stopped"}
_WITHIN = 120.0


async def measure(scale: Scale) -> list[Measure]:
    """Some of the jobs run, the others wait for room when it happens."""
    count = scale.of(50, 12)
    async with Stand() as stand:
        first = await stand.orchestrator()
        await stand.compute("compute", first)
        gateway = await Connection.open(first.api_port)
        wire, log = request("PUT", JOBS, {"Job": workload.wasm_sleep(2, cpu="100m")}), Submitted()
        for _ in range(count):
            await submit(gateway, wire, log)
        before = await _states(gateway)
        first.kill()
        await first.process.wait()
        clock = asyncio.get_running_loop().time
        begin = clock()
        second = await stand.orchestrator(api_port=first.api_port, nats_port=first.nats_port)
        gateway = await Connection.open(second.api_port)
        states = await _until_ended(gateway, count)
        took = clock() - begin
        await gateway.close()
    note = f"when killed: {_say(before)}; at the end: {_say(states)}"
    return [
        Measure("start of the new orchestrator until ready", second.ready_after, "s"),
        Measure(f"jobs of {count} that completed", states["Completed"], "jobs", at_least=count, note=note),
        Measure(
            "restart until the last job had ended", took, "s", note=f"at least {count * 2 / 20:.0f} s of work"
        ),
    ]


async def _until_ended(gateway: Connection, count: int) -> Counter[str]:
    deadline = asyncio.get_running_loop().time() + _WITHIN
    while True:
        states = await _states(gateway)
        ended = sum(number for state, number in states.items() if state in _ENDED)
        if ended >= count or asyncio.get_running_loop().time() > deadline:
            return states
        await asyncio.sleep(0.2)


async def _states(gateway: Connection) -> Counter[str]:
    listed = await gateway.json("GET", f"{JOBS}?limit=1000")
    return Counter(job["State"]["StateType"] for job in listed["Items"])


def _say(states: Counter[str]) -> str:
    return ", ".join(f"{number} {state}" for state, number in states.most_common())
