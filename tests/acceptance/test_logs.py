"""Output of jobs: live, from the beginning, and after its node is gone."""

from __future__ import annotations

import asyncio
import time

from tests.acceptance.conftest import Cluster
from tests.acceptance.program import WASM, Caller, Node, settings
from tests.support.waiting import eventually


async def test_follow_shows_lines_while_the_job_runs(bacalhau: Caller) -> None:
    job = await bacalhau.submit("wasm", "run", WASM / "sleep.wasm", "3", "200")

    async def placed() -> bool:
        return bool(await bacalhau.executions(job))

    await eventually(placed, within=10)
    follower = await bacalhau.start("job", "logs", "--follow", job)
    seen = []
    for expected in range(4):
        assert await follower.line() == f"tick {expected}\n"
        seen.append(time.monotonic())
    assert await bacalhau.state(job) == "Running"
    # Ticks are 0.2 s apart: lines that came in one piece at the end would not be.
    assert seen[-1] - seen[0] > 0.1
    done = await follower.end()
    assert done.code == 0
    assert done.out.splitlines()[-2:] == ["tick 14", "done"]


async def test_logs_outlive_the_node_that_wrote_them(bacalhau: Caller, cluster: Cluster) -> None:
    join = settings(Compute__Orchestrators=cluster.alpha.nats)
    flags = ("--name", "node-gone", "--compute", *join, "-c", "Labels=rack=gone")
    node = Node(cluster.command, cluster.folder / "gone", *flags)
    try:
        await asyncio.to_thread(node.start().ready)

        async def ran() -> str:
            done = await bacalhau(
                "wasm", "run", "--constraints", "rack=gone", WASM / "echo.wasm", "still here"
            )
            return done.ok().id

        job = await eventually(ran, within=10)
    finally:
        await asyncio.to_thread(node.kill)
    assert (await bacalhau("job", "logs", job)).ok().out == "still here\n"
    assert (await bacalhau("job", "logs", "--follow", job)).ok().out == "still here\n"
