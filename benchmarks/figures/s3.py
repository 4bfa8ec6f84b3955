"""What inputs from and results to S3 cost beyond the bare client library, with the same server (SeaweedFS).

Ours and bare take turns at being first, each in a process of its own, and the ratio is that of the medians: 1 is as fast as bare. A
large object shows the rate and a flat memory, many small ones the cost of each.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import statistics
import sys
import tempfile
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.figures.scale import Scale
from benchmarks.machine import MIB
from benchmarks.measure import Measure
from benchmarks.stand import BenchmarkFailed
from tests.support import seaweed

_BUCKET = "benchmark"
_AIM = 0.8
_PEAK_MIB = 256.0


@dataclass
class _Runs:
    """How long one way took each time, and the most memory it took."""

    seconds: list[float] = field(default_factory=list)
    peak: int = 0

    @property
    def median(self) -> float:
        return statistics.median(self.seconds)


async def measure(scale: Scale) -> list[Measure]:
    """Copy a large object and many small ones, in and out."""
    size, count, times = scale.of(512, 16) * MIB, scale.of(10_000, 200), scale.of(4, 1)
    async with _server() as (server, folder):
        (folder / "results").mkdir()
        await asyncio.to_thread(_noise, folder / "results" / "large", size)
        await _copy(server, folder, "out", "large/{executionID}", _Runs())
        await asyncio.to_thread(os.sync)  # or what was written is still on its way while others read
        got, bare_got = await _alternate(server, folder, ("in", "raw-in"), "large/e-1/", times)
        put, bare_put = await _alternate(server, folder, ("out", "raw-out"), "large/{executionID}", times)
        packed = _Runs()
        await _copy(server, folder, "out-gzip", "packed", packed)
        await asyncio.to_thread(_fill, server, count)
        small, bare_small = await _alternate(server, folder, ("in", "raw-in"), "small/", times)
    mib = size / MIB
    one = f"{mib:.0f} MiB object"
    return [
        Measure(f"{one}, bare, out", mib / bare_put.median, "MiB/s"),
        Measure(f"{one}, publisher, plain", mib / put.median, "MiB/s"),
        Measure("publisher against bare", bare_put.median / put.median, "times", at_least=_AIM),
        Measure(f"{one}, publisher, gzip", mib / packed.median, "MiB/s", note="gzip itself is the limit"),
        Measure(f"{one}, bare, in", mib / bare_got.median, "MiB/s"),
        Measure(f"{one}, input", mib / got.median, "MiB/s"),
        Measure("input against bare", bare_got.median / got.median, "times", at_least=_AIM),
        Measure(f"{count} objects of 4 KiB, bare", count / bare_small.median, "objects/s"),
        Measure(f"{count} objects of 4 KiB, input", count / small.median, "objects/s"),
        Measure("small objects against bare", bare_small.median / small.median, "times", at_least=_AIM),
        *(
            Measure(f"most memory, {what}", runs.peak / MIB, "MiB", at_most=_PEAK_MIB)
            for what, runs in (("publisher", put), ("input", got), (f"{count} objects", small))
        ),
    ]


@contextlib.asynccontextmanager
async def _server() -> AsyncIterator[tuple[seaweed.S3Server, Path]]:
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        server = await asyncio.to_thread(stack.enter_context, seaweed.running())
        server.bucket(_BUCKET)
        yield server, folder


async def _alternate(
    server: seaweed.S3Server, folder: Path, ways: tuple[str, str], key: str, times: int
) -> tuple[_Runs, _Runs]:
    runs = _Runs(), _Runs()
    await _copy(server, folder, ways[1], key, _Runs())  # what is cold hits nobody
    for turn in range(times):
        pair = list(zip(ways, runs, strict=True))
        for way, found in pair if turn % 2 else reversed(pair):
            await _copy(server, folder, way, key, found)
    return runs


async def _copy(server: seaweed.S3Server, folder: Path, way: str, key: str, found: _Runs) -> None:
    with tempfile.TemporaryDirectory(dir=folder) as place:
        (Path(place) / "results").symlink_to(folder / "results")
        asked = {"way": way, "bucket": _BUCKET, "key": key, "endpoint": server.endpoint, "folder": place}
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "benchmarks.s3_copy", json.dumps(asked)),
            env={**os.environ, **server.owner.env},  # noqa: TID251 - to start a child with
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, err = await process.communicate()
    if process.returncode:
        raise BenchmarkFailed(f"{way} of {key} failed: {err.decode()[-500:]}")
    said = json.loads(out)
    found.seconds.append(said["seconds"])
    found.peak = max(found.peak, said["peak"])


def _noise(path: Path, size: int) -> None:
    with path.open("wb") as file:
        for _ in range(size // MIB):
            file.write(os.urandom(MIB))


def _fill(server: seaweed.S3Server, count: int) -> None:
    content = os.urandom(4096)
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(lambda n: server.put(_BUCKET, f"small/{n:05}", content), range(count)))
