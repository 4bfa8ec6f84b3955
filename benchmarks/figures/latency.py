"""One job after another on an idle node: how long until it is accepted, runs, has ended."""

from __future__ import annotations

from benchmarks import workload
from benchmarks.figures.scale import Scale
from benchmarks.measure import Measure, spread
from benchmarks.stand import Node, Stand, run_load

_AIM_MS = 12.0


async def measure(scale: Scale) -> list[Measure]:
    """Take WASM and no-op jobs; the times are the load generator's, when it hears the facts."""
    count = scale.of(300, 20)
    async with Stand() as stand:
        node = await stand.hybrid()
        return [
            *await _serial(node, "WASM", workload.wasm_noop(), count),
            *await _serial(node, "no-op", workload.noop(), count),
        ]


async def _serial(node: Node, what: str, job: workload.Job, count: int) -> list[Measure]:
    answer = await serial(node, job, count)
    return [
        *spread(f"{what}, submit to accepted", answer["accepted"]),
        *spread(f"{what}, submit to running", answer["running"]),
        *spread(f"{what}, submit to completed", answer["ended"], at_most=_AIM_MS),
    ]


async def serial(node: Node, job: workload.Job, count: int, *, warm: int = 20) -> dict[str, list[float]]:
    """Run jobs one after another; give the seconds to each step."""
    return await run_load(
        {
            "mode": "one_by_one",
            "api_port": node.api_port,
            "nats": node.nats,
            "job": job,
            "count": count,
            "warm": warm,
        },
        within=90.0,
    )
