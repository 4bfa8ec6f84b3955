"""Jobs a second through HTTP, durable writes included, on one process with both roles."""

from __future__ import annotations

from typing import Any

from benchmarks import workload
from benchmarks.figures.scale import Scale
from benchmarks.machine import usage
from benchmarks.measure import Measure, percentile
from benchmarks.stand import BenchmarkFailed, Node, Stand, run_load

_AIM = 300.0
_WITHIN = 120.0
_STILL = 1.0  # seconds in which no job ends although jobs wait


async def measure(scale: Scale) -> list[Measure]:
    """Take no-op and WASM jobs at two numbers of submitters, then a long run, and one with little in flight."""
    short, long = scale.of(1000, 60), scale.of(3000, 120)
    found: list[Measure] = []
    async with Stand() as stand:
        node = await stand.hybrid()
        await _run(node, "warm-up", workload.wasm_noop(), scale.of(200, 10), 10)
        found += await _run(node, "no-op", workload.noop(), short, 10)
        found += await _run(node, "no-op", workload.noop(), short, 50)
        found += await _run(node, "WASM", workload.wasm_noop(), short, 10, aim=_AIM)
        found += await _run(node, "WASM", workload.wasm_noop(), short, 50, aim=_AIM)
        found += await _run(node, "WASM", workload.wasm_noop(), long, 10, aim=_AIM)
        found += await _run(node, "WASM", workload.wasm_noop(), short, 10, window=50)
    async with Stand() as stand:
        orchestrator = await stand.orchestrator()
        compute = await stand.compute("compute", orchestrator)
        await _run(orchestrator, "warm-up", workload.wasm_noop(), scale.of(200, 10), 10)
        found += await _run(
            orchestrator, "WASM, two processes", workload.wasm_noop(), short, 10, beside=compute
        )
    return found


async def _run(
    node: Node,
    what: str,
    job: workload.Job,
    count: int,
    connections: int,
    *,
    window: int = 0,
    aim: float | None = None,
    beside: Node | None = None,
) -> list[Measure]:
    pids = {"node": node.pid, "nats-server": node.server_pid} | ({"compute": beside.pid} if beside else {})
    before = {name: usage(pid).cpu for name, pid in pids.items()}
    answer = await load(node, job, count, connections, window=window)
    used = {name: (usage(pid).cpu - before[name]) / count * 1000 for name, pid in pids.items()}
    used["load generator"] = answer["cpu"] / count * 1000
    cpu = ", ".join(f"{name} {value:.1f}" for name, value in used.items())
    title = (
        f"{what}, {count} jobs, {f'at most {window} unfinished' if window else f'{connections} submitters'}"
    )
    ended = percentile(answer["ended"], 0.5)
    return [
        Measure(
            title,
            count / answer["seconds"],
            "jobs/s",
            at_least=aim,
            note=f"CPU ms a job: {cpu}; accepted {count / answer['submit_seconds']:.0f}/s; ended after p50 {ended:.3f} s",
        ),
        Measure(f"{title}: longest time without an end", answer["silence"], "s", at_most=_STILL),
    ]


async def load(
    node: Node, job: workload.Job, count: int, connections: int, *, window: int = 0
) -> dict[str, Any]:
    """Run ``count`` jobs that must all complete. Raises BenchmarkFailed when one does not."""
    answer = await run_load(
        {
            "mode": "rate",
            "api_port": node.api_port,
            "nats": node.nats,
            "job": job,
            "count": count,
            "connections": connections,
            "window": window,
        },
        within=_WITHIN,
    )
    if answer["states"] != {"Completed": count}:
        raise BenchmarkFailed(f"not every job completed: {answer['states']}")
    return answer
