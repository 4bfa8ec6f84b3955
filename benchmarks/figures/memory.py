"""Memory and open files of a node after 0, 1,000 and 3,000 jobs."""

from __future__ import annotations

import asyncio

from benchmarks import workload
from benchmarks.figures.scale import Scale
from benchmarks.figures.throughput import load
from benchmarks.machine import MIB, Usage, usage
from benchmarks.measure import Measure
from benchmarks.stand import Stand

_SETTLE_SECONDS = 5.0  # finished jobs are folded away by the half second
_AIM_KIB = 8.0  # 3,000 jobs then cost at most 24 MiB
_AIM_FILES = 8


async def measure(scale: Scale) -> list[Measure]:
    """Run WASM jobs; what is left of each is the slope between the second and the third point."""
    points = [0, scale.of(1000, 100), scale.of(3000, 200)]
    nodes: list[Usage] = []
    servers: list[Usage] = []
    async with Stand() as stand:
        node = await stand.hybrid()
        for before, after in zip([0, *points], points, strict=False):
            if after > before:
                await load(node, workload.wasm_noop(), after - before, 10)
            await asyncio.sleep(_SETTLE_SECONDS)
            nodes.append(usage(node.pid))
            servers.append(usage(node.server_pid))
    found = []
    for jobs, mine, server in zip(points, nodes, servers, strict=True):
        note = f"{mine.files} open files; nats-server {server.rss / MIB:.0f} MiB"
        found.append(Measure(f"node after {jobs} jobs", mine.rss / MIB, "MiB", note=note))
    slope = (nodes[2].rss - nodes[1].rss) / (points[2] - points[1]) / 1024
    files = nodes[2].files - nodes[1].files
    span = f"from {points[1]} to {points[2]} jobs"
    return [
        *found,
        Measure(f"growth {span}", slope, "KiB a job", at_most=_AIM_KIB),
        Measure(f"open files gained {span}", files, "files", at_most=_AIM_FILES),
    ]
