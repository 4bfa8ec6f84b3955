"""How long a line takes from the guest that prints it to a client that follows the job's logs."""

from __future__ import annotations

import json
import time
from urllib.parse import quote

import websockets

from benchmarks import workload
from benchmarks.ear import listening
from benchmarks.figures.scale import Scale
from benchmarks.http import Connection, request
from benchmarks.load import JOBS, Submitted, submit
from benchmarks.measure import Measure, spread
from benchmarks.stand import BenchmarkFailed, Stand

_AIM_MS = 10.0


async def measure(scale: Scale) -> list[Measure]:
    """Follow WASM jobs that print their clock 50 times a second."""
    late: list[float] = []
    async with Stand() as stand:
        node = await stand.hybrid()
        gateway = await Connection.open(node.api_port)
        async with listening(node.nats) as ear:
            for _ in range(scale.of(3, 1)):
                job = await submit(
                    gateway, request("PUT", JOBS, {"Job": workload.wasm_ticker()}), Submitted()
                )
                await ear.until_on(job, 1)
                late += await _follow(node.api_port, job)
        await gateway.close()
    return spread("printed to received (WASM, websocket)", late, at_most=_AIM_MS)


async def _follow(port: int, job: str) -> list[float]:
    """Follow to the end; give how old each line was on arrival, but for those stored before we came."""
    late: list[float] = []
    url = f"ws://127.0.0.1:{port}{JOBS}/{quote(job)}/logs?follow=true"
    async with websockets.connect(url) as socket:
        came = time.time()
        async for frame in socket:
            now = time.time()
            said = json.loads(frame)
            if "error" in said:
                raise BenchmarkFailed(f"the follower was told: {said['error']}")
            printed = [int(line) / 1e9 for line in said["value"]["Line"].split()]
            late += [now - at for at in printed if at > came]
    if len(late) < 100:
        raise BenchmarkFailed(f"only {len(late)} lines were followed live")
    return late
