"""Where a node spends its time while it takes jobs: one run under cProfile, the hottest functions of it.

The profiler slows Python about twofold, so the shares mean something and the rate does not.
"""

from __future__ import annotations

import pstats
from dataclasses import dataclass
from pathlib import Path

from benchmarks import workload
from benchmarks.figures.throughput import load
from benchmarks.stand import ROOT, Node, Stand


@dataclass(frozen=True, slots=True)
class Hot:
    """A function: its own time and that with all it called, milliseconds per job; calls per job."""

    where: str
    own: float
    whole: float
    calls: float


async def hottest(count: int, top: int, *, split: bool) -> dict[str, list[Hot]]:
    """Run ``count`` WASM jobs; give the ``top`` functions by own time, by process."""
    async with Stand() as stand:
        roles = {"orchestrator": ("--orchestrator",), "compute": ("--compute",)} if split else {
            "hybrid": ("--orchestrator", "--compute")
        }  # fmt: skip
        nodes: dict[str, Node] = {}
        for name, flags in roles.items():
            joins = {"Compute.Orchestrators": nodes["orchestrator"].nats} if name == "compute" else {}
            output = str(stand.folder / f"{name}.prof")
            nodes[name] = await stand.serve(
                name, flags, settings=joins, python=("-m", "cProfile", "-o", output)
            )
        first = next(iter(nodes.values()))
        await load(first, workload.wasm_noop(), count, 10)
        for node in reversed(nodes.values()):
            await node.stop()
        return {name: _read(stand.folder / f"{name}.prof", count, top) for name in nodes}


def _read(path: Path, count: int, top: int) -> list[Hot]:
    stats = pstats.Stats(str(path)).stats  # type: ignore[attr-defined]  # typeshed leaves it out
    found = [
        Hot(_name(*where), own / count * 1000, whole / count * 1000, calls / count)
        for where, (_, calls, own, whole, _) in stats.items()
        if "run_until_complete" not in where[2] and "epoll" not in where[2]
    ]
    return sorted(found, key=lambda hot: -hot.own)[:top]


def _name(path: str, line: int, function: str) -> str:
    if path == "~":
        return function
    short = path.removeprefix(f"{ROOT}/").rpartition("site-packages/")[2]
    return f"{short}:{line} {function}"
