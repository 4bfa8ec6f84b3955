"""Output of jobs: live, from the beginning, and after its node is gone."""

from __future__ import annotations

import asyncio
import time

from tests.acceptance.conftest import Cluster
from tests.acceptance.program import WASM, Caller, Node, settings
from tests.support.waiting import eventually


async def test_follow_shows_lines_while_the_job_runs(bacalhau: Caller) -> None:
    job = await bacalhau.submit("wasm", "run", WASM / "sleep.wasm", "60", "200")

    async def placed() -> bool:
        return bool(await bacalhau.executions(job))

    await eventually(placed, within=10)
    follower = await bacalhau.start("job", "logs", "--follow", job)
    # What was printed before comes at once; of what is printed now, each line comes by itself.
    before, pauses = time.monotonic(), 0
    for expected in range(300):
        assert await follower.line() == f"tick {expected}\n"
        now = time.monotonic()
        pauses += now - before > 0.1
        before = now
        if pauses == 4:
            break
    assert pauses == 4
    (await bacalhau("job", "stop", job)).ok()
    assert (await follower.end()).code == 0


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
