"""Jobs as large as they may be cost no role its life."""

from __future__ import annotations

from typing import Any

from bacalhau_nats.client.wire import job_state
from tests.support.waiting import eventually

from .conftest import Site, states

LONG = "v" * 200


def a_service(**changes: Any) -> dict[str, Any]:
    task = {"Name": "main", "Engine": {"Type": "noop", "Params": {"Sleep": 600}}}
    task["Resources"] = {"CPU": "1m", "Memory": "1Mb"}
    return {
        "Name": "large",
        "Type": "service",
        "Count": 1,
        "Tasks": [task | changes.pop("task", {})],
    } | changes


async def test_a_job_that_waits_for_thousands_of_reasons_ends_no_requester(site: Site) -> None:
    node = await site.process("n1", "orchestrator", "compute")
    client = await site.client(node)
    unmet = [{"Key": f"k{i}", "Operator": "=", "Values": [LONG]} for i in range(2500)]
    job = a_service(Constraints=unmet, task={"Timeouts": {"QueueTimeout": 600}})
    waits = (await client.submit(job)).job_id

    async def queued() -> bool:
        return job_state((await client.get(waits))["Job"]) == "Queued"

    await eventually(queued, within=10)
    assert node.running


async def test_a_node_that_does_more_than_one_message_tells_lives_on_and_forgets_nothing(site: Site) -> None:
    orchestrator = await site.node("o1", "orchestrator")
    client = await site.client(orchestrator)
    node = await site.process("c1", "compute")
    large = {"Env": {f"K{j}": LONG for j in range(1500)}}
    jobs = [(await client.submit(a_service(Name=f"large-{n}", task=large))).job_id for n in range(4)]

    async def all_run(attempts: int) -> bool:
        last = [await states(client, job) for job in jobs]
        return all(len(found) == attempts and found[-1][1] == "BidAccepted" for found in last)

    await eventually(lambda: all_run(1), within=10)
    await node.kill()
    node = await site.process("c1", "compute")
    await eventually(lambda: all_run(2), within=20)
    assert node.running
