"""kill -9 of each role in the middle of jobs, and what a SIGTERM does instead."""

from __future__ import annotations

import asyncio
import time

import pytest

from bacalhau_nats.client import Client
from tests.support.marks import marking, read_marks, started_twice
from tests.support.waiting import eventually

from .conftest import Site, all_end, states, submit_all


@pytest.mark.slow
async def test_a_job_whose_node_is_killed_ends_elsewhere_after_the_window(site: Site) -> None:
    client = await site.client(await site.node("o1", "orchestrator"))
    doomed, other = await asyncio.gather(site.process("c1", "compute"), site.process("c2", "compute"))
    by_name = {"c1": doomed, "c2": other}
    job = (await client.submit(marking(site.marks, 4, node_name=True))).job_id
    await eventually(lambda: site.started() == 1)
    (first,) = (nodes[0] for nodes in read_marks(site.marks).values())

    killed = time.monotonic()
    await by_name[first].kill()
    await eventually(lambda: site.started() == 2, within=8)
    assert 2 < time.monotonic() - killed < 6, "the window is 3 s"
    # The node comes back: what it had begun was given up already, and it does not begin it again.
    await by_name[first].start()
    assert await all_end(client, [job], within=15) == {"Completed"}

    second = "c2" if first == "c1" else "c1"
    assert await states(client, job) == [(first, "Failed"), (second, "Completed")]
    assert started_twice(site.marks) == {}


async def test_a_node_that_is_back_within_the_window_says_that_the_execution_is_lost(site: Site) -> None:
    client = await site.client(await site.node("o1", "orchestrator"))
    node = await site.process("c1", "compute")
    job = (await client.submit(marking(site.marks, 3, node_name=True))).job_id
    await eventually(lambda: site.started() == 1)

    await node.kill()
    await node.start()
    assert await all_end(client, [job], within=10) == {"Completed"}

    assert await states(client, job) == [("c1", "Failed"), ("c1", "Completed")]
    assert len(read_marks(site.marks)) == 2
    assert started_twice(site.marks) == {}


async def test_jobs_of_a_killed_requester_are_taken_over_by_another(site: Site) -> None:
    doomed = await site.process("o1", "orchestrator")
    other = await site.client(await site.node("o2", "orchestrator"))
    await site.node("c1", "compute")
    async with Client(doomed.url) as client:
        ids = await submit_all(client, [marking(site.marks, n / 4) for n in range(12)])
    await doomed.kill()

    assert await all_end(other, ids, within=15) == {"Completed"}
    assert started_twice(site.marks) == {}
    assert len(read_marks(site.marks)) == 12


async def test_jobs_of_the_only_requester_complete_when_it_is_back(site: Site) -> None:
    node = await site.process("o1", "orchestrator")
    await site.node("c1", "compute")
    async with Client(node.url) as client:
        ids = await submit_all(client, [marking(site.marks, n / 2) for n in range(8)])
    await eventually(lambda: site.started() > 0)
    await node.kill()

    await node.start()
    client = await site.client(node)
    assert await all_end(client, ids, within=15) == {"Completed"}
    assert started_twice(site.marks) == {}
    assert len(read_marks(site.marks)) == 8


async def test_what_a_gateway_took_before_it_was_killed_is_read_through_another(site: Site) -> None:
    doomed = await site.process("g1", "orchestrator")
    other = await site.client(await site.node("g2", "orchestrator"))
    await site.node("c1", "compute")
    async with Client(doomed.url) as client:
        job = (await client.submit(marking(site.marks))).job_id
    await doomed.kill()

    assert (await other.get(job))["Job"]["ID"] == job
    assert await all_end(other, [job], within=10) == {"Completed"}


async def test_a_submission_repeated_with_its_token_after_a_kill_is_the_same_job(site: Site) -> None:
    doomed = await site.process("g1", "orchestrator")
    other = await site.client(await site.node("g2", "orchestrator"))
    await site.node("c1", "compute")
    job = marking(site.marks)
    async with Client(doomed.url) as client:
        first = await client.submit(job, token="one-wish")
    await doomed.kill()
    again = await other.submit(job, token="one-wish")

    assert again.job_id == first.job_id
    assert await all_end(other, [again.job_id], within=10) == {"Completed"}
    assert site.started() == 1


@pytest.mark.slow
async def test_a_node_told_to_end_leaves_at_once_and_its_job_goes_elsewhere(site: Site) -> None:
    client = await site.client(await site.node("o1", "orchestrator"))
    leaving = await site.process("c1", "compute")
    job = (await client.submit(marking(site.marks, 8, node_name=True))).job_id
    await eventually(lambda: site.started() == 1)
    await site.process("c2", "compute")

    told = time.monotonic()
    code = asyncio.create_task(leaving.end())
    await eventually(lambda: site.started() == 2, within=8)
    moved = time.monotonic() - told
    assert await code == 0, leaving.tail()

    assert moved < 7, f"{moved:.1f} s: the grace is 5 s, the window 3 s more"
    assert await all_end(client, [job], within=15) == {"Completed"}
    assert await states(client, job) == [("c1", "Failed"), ("c2", "Completed")]
    nodes = {node["Info"]["NodeID"]: node for node in await client.nodes()}
    assert nodes["c1"]["ConnectionState"]["Status"] == "DISCONNECTED"


async def test_a_node_told_to_end_lets_its_work_finish_within_the_grace(site: Site) -> None:
    client = await site.client(await site.node("o1", "orchestrator"))
    leaving = await site.process("c1", "compute", settings=["Compute.ShutdownGrace=60s"])
    job = (await client.submit(marking(site.marks, 1))).job_id
    await eventually(lambda: site.started() == 1)

    assert await leaving.end() == 0, leaving.tail()
    assert await states(client, job) == [("c1", "Completed")]


async def test_without_a_grace_running_work_ends_with_its_node_and_goes_elsewhere(site: Site) -> None:
    client = await site.client(await site.node("o1", "orchestrator"))
    leaving = await site.process("c1", "compute", settings=["Compute.ShutdownGrace=0"])
    job = (await client.submit(marking(site.marks, 600, node_name=True))).job_id
    await eventually(lambda: site.started() == 1)
    await site.process("c2", "compute")

    assert await leaving.end() == 0, leaving.tail()
    await eventually(lambda: site.started() == 2, within=20)
    assert await states(client, job) == [("c1", "Failed"), ("c2", "BidAccepted")]
    await client.stop(job)
