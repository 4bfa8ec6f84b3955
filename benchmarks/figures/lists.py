"""Reading with 1,000 and with 10,000 finished jobs stored: lists, one job, start-up, memory.

Both nodes are up at once and are asked in turn, so that what else the machine does hits both.
"""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections.abc import Sequence

from benchmarks.figures.scale import Scale
from benchmarks.http import Connection, request
from benchmarks.load import JOBS
from benchmarks.machine import MIB, usage
from benchmarks.measure import Measure, percentile
from benchmarks.seed import facts_of_a_job, fill
from benchmarks.stand import BenchmarkFailed, Node, Stand

_AIM_MS = 10.0
_PAGE = 10
_LISTS = {
    "list 10, oldest first": f"{JOBS}?limit={_PAGE}",
    "list 10, newest first": f"{JOBS}?limit={_PAGE}&reverse=true",
    "list 10 with a label 1 in 10 has": f"{JOBS}?limit={_PAGE}&labels=tier%3Dgold",
}
_DESCRIBE = "describe one"
_DESCRIBE_ALL = "describe one with history and executions"
_SETTLE_SECONDS = 3.0


async def measure(scale: Scale) -> list[Measure]:
    """Seed both stores, start both nodes, ask them in turn."""
    counts, rounds = (scale.of(1000, 200), scale.of(10_000, 1000)), scale.of(200, 20)
    async with Stand() as few, Stand() as many:
        stands, nodes = (few, many), list[Node]()
        for stand, count in zip(stands, counts, strict=True):
            first = await stand.hybrid()
            facts = await facts_of_a_job(first)
            await first.stop()
            await fill(first.folder, facts, count)
            nodes.append(await stand.hybrid())
        await asyncio.sleep(_SETTLE_SECONDS)
        took = await _ask(nodes, counts, rounds)
        return [
            *_times(took, counts),
            *_starts(nodes, counts),
        ]


async def _ask(
    nodes: Sequence[Node], counts: Sequence[int], rounds: int
) -> dict[str, tuple[list[float], ...]]:
    links = [await Connection.open(node.api_port) for node in nodes]
    ids = [await _ids(link, count) for link, count in zip(links, counts, strict=True)]
    choose = random.Random(1)
    took: dict[str, tuple[list[float], ...]] = {}
    for _ in range(rounds):
        for index, link in enumerate(links):
            one = f"{JOBS}/{choose.choice(ids[index])}"
            paths = _LISTS | {_DESCRIBE: one, _DESCRIBE_ALL: f"{one}?include=history,executions"}
            for what, path in paths.items():
                wire = request("GET", path)
                begin = time.perf_counter()
                status, body = await link.send(wire)
                took.setdefault(what, ([], []))[index].append(time.perf_counter() - begin)
                if status != 200 or (what in _LISTS and len(json.loads(body)["Items"]) != _PAGE):
                    raise BenchmarkFailed(f"{path} answers {status}: {body[:300].decode()}")
    for link in links:
        await link.close()
    return took


async def _ids(link: Connection, count: int) -> list[str]:
    listed = await link.json("GET", f"{JOBS}?limit={count + 10}")
    ids = [job["ID"] for job in listed["Items"] if job["State"]["StateType"] == "Completed"]
    if len(ids) != count + 1:  # and the real one they are copies of
        raise BenchmarkFailed(f"{len(ids)} finished jobs are listed, {count + 1} are stored")
    return ids


def _times(took: dict[str, tuple[list[float], ...]], counts: Sequence[int]) -> list[Measure]:
    found = []
    for what, pair in took.items():
        for count, seconds in zip(counts, pair, strict=True):
            aim = _AIM_MS if count == max(counts) and what in _LISTS else None
            p50, p99 = percentile(seconds, 0.5) * 1000, percentile(seconds, 0.99) * 1000
            note = f"p99 {p99:.2f} ms, {len(seconds)} times"
            found.append(Measure(f"{what} of {count} jobs, p50", p50, "ms", at_most=aim, note=note))
        few, many = (percentile(seconds, 0.5) for seconds in pair)
        found.append(Measure(f"{what}: {max(counts)} against {min(counts)} jobs", many / few, "times"))
    return found


def _starts(nodes: Sequence[Node], counts: Sequence[int]) -> list[Measure]:
    found = []
    for node, count in zip(nodes, counts, strict=True):
        found.append(Measure(f"start until ready with {count} jobs", node.ready_after, "s"))
        found.append(Measure(f"memory of the node with {count} jobs", usage(node.pid).rss / MIB, "MiB"))
    return found
