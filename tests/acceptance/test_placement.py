"""Where jobs run: several at once, everywhere, on nodes that come later, and when there is no room."""

from __future__ import annotations

import asyncio
import time
from collections import Counter

import pytest

from bacalhau_nats.client.wire import compute_state
from tests.acceptance.conftest import Cluster
from tests.acceptance.program import WASM, Caller, Node, settings
from tests.support.waiting import eventually

SERVICE = """
Name: {name}
Type: {type}
{count}
Tasks:
  - Name: main
    Engine:
      Type: noop
      Params: {{Sleep: 600}}
    Resources: {{CPU: 50m}}
"""


async def states(bacalhau: Caller, job: str) -> dict[str, list[str]]:
    """Give the nodes of a job's executions by their state.

    The public API calls a running execution `BidAccepted`.
    """
    found: dict[str, list[str]] = {}
    for execution in await bacalhau.executions(job):
        state = compute_state(execution)
        state = "Running" if state == "BidAccepted" else state
        found.setdefault(state, []).append(execution["NodeID"])
    return found


async def is_state(bacalhau: Caller, job: str, state: str, within: float = 15) -> None:
    async def check() -> bool:
        now = await bacalhau.state(job)
        assert now == state
        return True

    await eventually(check, within=within)


async def test_five_executions_on_two_nodes_complete(bacalhau: Caller) -> None:
    done = (await bacalhau("wasm", "run", "--count", "5", "--cpu", "100m", WASM / "echo.wasm")).ok()
    executions = await bacalhau.executions(done.id)
    assert Counter(compute_state(e) for e in executions) == {"Completed": 5}
    assert {e.get("PartitionIndex", 0) for e in executions} == set(range(5))
    assert {e["NodeID"] for e in executions} <= {"node-1", "node-2"}


async def test_an_ops_job_runs_once_on_every_node_that_matches(bacalhau: Caller) -> None:
    everywhere, one = await asyncio.gather(
        bacalhau("wasm", "run", "--target", "all", WASM / "echo.wasm"),
        bacalhau("wasm", "run", "--target", "all", "--constraints", "rack=r2", WASM / "echo.wasm"),
    )
    assert sorted((await states(bacalhau, everywhere.ok().id))["Completed"]) == ["node-1", "node-2"]
    assert await states(bacalhau, one.ok().id) == {"Completed": ["node-2"]}


async def test_a_service_runs_until_it_is_stopped(bacalhau: Caller) -> None:
    file = SERVICE.format(name="web", type="service", count="Count: 2")
    job = (await bacalhau("job", "run", "--wait=false", stdin=file)).ok().out.strip()

    async def both_run() -> bool:
        return len((await states(bacalhau, job)).get("Running", [])) == 2

    await eventually(both_run, within=10)
    assert await bacalhau.state(job) == "Running"
    (await bacalhau("job", "stop", job)).ok()

    async def none_runs() -> bool:
        return set(await states(bacalhau, job)) == {"Cancelled"}

    await eventually(none_runs, within=10)
    assert await bacalhau.state(job) == "Stopped"


async def test_a_daemon_starts_on_a_node_that_joins_later(bacalhau: Caller, cluster: Cluster) -> None:
    file = SERVICE.format(name="watcher", type="daemon", count="")
    job = (await bacalhau("job", "run", "--wait=false", stdin=file)).ok().out.strip()

    async def runs_on(*nodes: str) -> bool:
        assert sorted((await states(bacalhau, job)).get("Running", [])) == sorted(nodes)
        return True

    await eventually(lambda: runs_on("node-1", "node-2"), within=10)
    join = settings(Compute__Orchestrators=cluster.alpha.nats)
    late = Node(cluster.command, cluster.folder / "late", "--name", "node-3", "--compute", *join)
    try:
        await asyncio.to_thread(late.start().ready)
        await eventually(lambda: runs_on("node-1", "node-2", "node-3"), within=15)
        (await bacalhau("job", "stop", job)).ok()

        async def gone() -> bool:
            return "Running" not in await states(bacalhau, job)

        await eventually(gone, within=10)
    finally:
        await asyncio.to_thread(late.stop)


@pytest.mark.usefixtures("nothing_left")
async def test_a_job_waits_for_room_says_why_and_starts_when_there_is_some(alone: Caller) -> None:
    busy = await alone.submit("wasm", "run", "--cpu", "0.9", WASM / "sleep.wasm", "600")
    await is_state(alone, busy, "Running")
    waiting = await alone.submit("wasm", "run", "--cpu", "0.8", "--queue-timeout", "300", WASM / "echo.wasm")
    await is_state(alone, waiting, "Queued")
    told = (await alone("job", "describe", waiting)).ok().out
    assert "Queued" in told
    assert "0.8" in told or "800m" in told, told
    (await alone("job", "stop", busy)).ok()
    stopped = time.monotonic()
    await is_state(alone, waiting, "Completed")
    # Looking again at the latest after QueueBackoff (a minute) would do too; the event is what is wanted.
    assert time.monotonic() - stopped < 10


async def test_a_job_no_node_can_ever_run_fails_at_once_with_each_nodes_reason(bacalhau: Caller) -> None:
    done = await bacalhau(
        "wasm", "run", "--cpu", "900", "--constraints", "rack=r1", WASM / "echo.wasm", within=15
    )
    assert done.code == 3, done
    told = " ".join(done.err.split())
    assert "Node node-1: is too small for the job: CPU 900 of" in told, done
    assert "Node node-2: has labels that do not match [rack = r1]; is too small for the job" in told, done


@pytest.mark.usefixtures("nothing_left")
async def test_stopping_frees_the_room_for_good(alone: Caller) -> None:
    for _ in range(3):
        job = await alone.submit("wasm", "run", "--cpu", "0.9", WASM / "spin.wasm")
        await is_state(alone, job, "Running")
        (await alone("job", "stop", job)).ok()
    done = (await alone("wasm", "run", "--cpu", "1", "--follow", WASM / "echo.wasm", "room")).ok()
    assert done.out.endswith("room\n")

    async def all_free() -> bool:
        (node,) = (await alone("node", "list", "--output", "json")).json
        compute = node["Info"]["ComputeNodeInfo"]
        assert compute["AvailableCapacity"]["CPU"] == compute["MaxCapacity"]["CPU"] == 1
        assert not compute.get("RunningExecutions")
        return True

    await eventually(all_free, within=10)
