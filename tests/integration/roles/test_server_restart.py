"""The NATS server goes away in the middle of jobs."""

from __future__ import annotations

import time

import pytest

from tests.support.marks import marking, read_marks, started_twice
from tests.support.waiting import eventually

from .conftest import Site, all_end, states, submit_all


@pytest.mark.parametrize("kill", [False, True], ids=["in order", "kill -9"])
async def test_jobs_outlive_a_restart_of_the_server_and_nothing_runs_twice(site: Site, kill: bool) -> None:
    client = await site.client(await site.node("o1", "orchestrator"))
    for name in ("c1", "c2"):
        await site.node(name, "compute")
    # Some end while the server is away, some after it is back.
    ids = await submit_all(client, [marking(site.marks, 0.2 * n) for n in range(1, 11)])
    await eventually(lambda: site.started() == 10)

    await site.server.restart(kill=kill)
    back = time.monotonic()
    after = (await client.submit(marking(site.marks))).job_id
    await client.wait(after, timeout=5)
    resumed = time.monotonic() - back

    assert await all_end(client, [*ids, after], within=10) == {"Completed"}
    assert started_twice(site.marks) == {}
    assert len(read_marks(site.marks)) == 11
    for job in ids:
        assert [state for _, state in await states(client, job)] == ["Completed"]
    assert resumed < 2, f"a job took {resumed:.2f} s after the server was back"


async def test_jobs_submitted_before_the_server_dies_are_placed_after_it_is_back(site: Site) -> None:
    """The queue of nudges lives in the server's memory: it is made again, and everything unfinished is looked at."""
    client = await site.client(await site.node("o1", "orchestrator"))
    jobs = [marking(site.marks) for _ in range(5)]
    for job in jobs:
        job["Tasks"][0]["Timeouts"] = {"QueueTimeout": 60}
    ids = await submit_all(client, jobs)

    await site.server.restart(kill=True)
    await site.node("c1", "compute")
    assert await all_end(client, ids, within=10) == {"Completed"}
    assert started_twice(site.marks) == {}


async def test_a_server_that_is_away_for_longer_than_the_window_loses_no_node(
    site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    short = ["Orchestrator.NodeManager.DisconnectTimeout=1s", "Compute.Heartbeat.Interval=200ms"]
    client = await site.client(await site.node("o1", "orchestrator", settings=short))
    await site.node("c1", "compute", settings=short)
    job = (await client.submit(marking(site.marks, 4))).job_id
    await eventually(lambda: site.started() == 1)

    await site.server.kill()
    away_until = time.monotonic() + 2
    await eventually(lambda: time.monotonic() > away_until)
    await site.server.start()

    assert await all_end(client, [job], within=10) == {"Completed"}
    assert await states(client, job) == [("c1", "Completed")]
    assert site.started() == 1
    assert "node c1 is lost" not in caplog.text
