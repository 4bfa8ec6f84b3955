"""What an undisturbed cluster does with jobs."""

from __future__ import annotations

import time

from bacalhau_nats.client.wire import job_state
from tests.support.marks import marking, noop, read_marks, started_twice
from tests.support.waiting import eventually

from .conftest import Site, all_end, states, submit_all


async def test_a_job_goes_from_one_gateway_to_a_node_and_back_through_another(site: Site) -> None:
    first = await site.client(await site.node("o1", "orchestrator"))
    second = await site.client(await site.node("o2", "orchestrator"))
    await site.node("c1", "compute")

    job = (await first.submit(marking(site.marks))).job_id
    done = await second.wait(job, timeout=10)

    assert job_state(done) == "Completed"
    assert [name async for name in _printed(second, job)] == ["done\n"]
    assert await states(first, job) == [("c1", "Completed")]
    assert [len(nodes) for nodes in read_marks(site.marks).values()] == [1]


async def _printed(client, job):
    async for line in client.logs(job):
        yield line.text


async def test_two_requesters_over_fifty_jobs_start_each_execution_once(site: Site) -> None:
    clients = [
        await site.client(await site.node("o1", "orchestrator")),
        await site.client(await site.node("o2", "orchestrator")),
    ]
    for name in ("c1", "c2"):
        await site.node(name, "compute")
    jobs = [marking(site.marks, Count=1 + number % 2) for number in range(50)]
    ids = [id_ for n in (0, 1) for id_ in await submit_all(clients[n], jobs[n::2])]

    assert await all_end(clients[0], ids) == {"Completed"}
    assert started_twice(site.marks) == {}
    assert len(read_marks(site.marks)) == 75


async def test_forty_jobs_that_queue_for_two_small_nodes_follow_each_other_without_a_gap(site: Site) -> None:
    client = await site.client(await site.node("o1", "orchestrator"))
    small = ["Compute.AllocatedCapacity.CPU=200m", "Compute.AllocatedCapacity.Memory=1GB"]
    for name in ("c1", "c2"):
        await site.node(name, "compute", settings=small)

    begun = time.monotonic()
    ids = await submit_all(client, [noop(0.1, cpu="100m", memory="1Mb") for _ in range(40)])
    assert await all_end(client, ids) == {"Completed"}
    took = time.monotonic() - begun

    # Four at a time, 0.1 s each: 1 s of work. A single wait for a poll or a heartbeat (0.5 s) per round makes 5 s.
    assert took < 4, f"{took:.2f} s"


async def test_a_burst_of_three_hundred_jobs_completes(site: Site) -> None:
    client = await site.client(await site.node("o1", "orchestrator", "compute"))
    ids = await submit_all(client, [noop() for _ in range(300)])
    assert len(set(ids)) == 300
    assert await all_end(client, ids) == {"Completed"}


async def test_stopping_a_running_job_cancels_its_execution_within_two_seconds(site: Site) -> None:
    client = await site.client(await site.node("o1", "orchestrator", "compute"))
    job = (await client.submit(marking(site.marks, 60))).job_id
    await eventually(lambda: site.started() == 1)

    begun = time.monotonic()
    await client.stop(job)
    await eventually(lambda: _is(client, job, [("o1", "Cancelled")]), within=2)
    assert job_state(await client.wait(job, timeout=2)) == "Stopped"
    assert time.monotonic() - begun < 2


async def _is(client, job, expected):
    found = await states(client, job)
    assert found == expected
    return True


async def test_updating_a_named_job_replaces_its_executions(site: Site) -> None:
    client = await site.client(await site.node("o1", "orchestrator", "compute"))
    first = await client.submit(marking(site.marks, 60, Name="web", type="service", Count=2))
    await eventually(lambda: site.started() == 2)

    second = await client.submit(marking(site.marks, 61, Name="web", type="service", Count=1))
    assert second.job_id == first.job_id
    await eventually(lambda: site.started() == 3)
    await eventually(lambda: _sorted(client, first.job_id, ["BidAccepted", "Cancelled", "Cancelled"]))
    assert started_twice(site.marks) == {}
    await client.stop("web")


async def _sorted(client, job, expected):
    found = sorted(state for _, state in await states(client, job))
    assert found == expected
    return True
