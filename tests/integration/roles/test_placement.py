"""Who may take work, and what becomes of work that cannot stay."""

from __future__ import annotations

import pytest

from bacalhau_nats.client.wire import job_state
from bacalhau_nats.domain.execution import Desired, Wish
from bacalhau_nats.domain.facts import desired_key, report_key, spec_key
from bacalhau_nats.domain.ids import ExecutionID, JobID, NodeID, execution_id
from bacalhau_nats.domain.node import NodeReport
from bacalhau_nats.domain.spec import JobSpec
from bacalhau_nats.errors import Conflict
from bacalhau_nats.messaging.bus import connect
from bacalhau_nats.messaging.records import JetRecords
from bacalhau_nats.messaging.subjects import Cell
from tests.support.marks import marking, noop, started_twice
from tests.support.waiting import eventually

from .conftest import Site, all_end, states, submit_all

SMALL = ["Compute.AllocatedCapacity.CPU=100m", "Compute.AllocatedCapacity.Memory=1GB"]


async def test_a_rejected_node_gives_its_work_to_others_and_gets_none(site: Site) -> None:
    orchestrator = await site.node("o1", "orchestrator")
    client = await site.client(orchestrator)
    await site.node("c1", "compute")
    job = (await client.submit(marking(site.marks, 1.5))).job_id
    await eventually(lambda: site.started() == 1)
    await site.node("c2", "compute")

    await client._http.json(
        "PUT",
        "/api/v1/orchestrator/nodes/c1",
        body={"Action": "reject", "NodeID": "c1", "Message": "not here"},
    )
    assert await all_end(client, [job], within=10) == {"Completed"}
    assert await states(client, job) == [("c1", "Cancelled"), ("c2", "Completed")]

    more = await submit_all(client, [noop() for _ in range(6)])
    assert await all_end(client, more) == {"Completed"}
    assert {node for job in more for node, _ in await states(client, job)} == {"c2"}
    assert started_twice(site.marks) == {}


async def test_a_node_that_reports_that_it_drains_keeps_its_work_and_gets_no_more(site: Site) -> None:
    client = await site.client(await site.node("o1", "orchestrator"))
    await site.node("c1", "compute")
    job = (await client.submit(marking(site.marks, 1.5))).job_id
    await eventually(lambda: site.started() == 1)
    await site.node("c2", "compute")

    async with connect(site.server.url, cell=Cell("main"), name="test") as bus:
        records = JetRecords(bus)
        fact = await records.get(report_key("c1"))
        assert fact is not None
        assert isinstance(fact.record, NodeReport)
        await records.put(report_key("c1"), fact.record.but(draining=True))
    more = await submit_all(client, [noop() for _ in range(6)])

    assert await all_end(client, [job, *more], within=10) == {"Completed"}
    assert {node for job in more for node, _ in await states(client, job)} == {"c2"}
    assert await states(client, job) == [("c1", "Completed")]


@pytest.mark.slow
async def test_a_drained_node_is_emptied_stays_so_over_restarts_and_works_again_when_it_may(
    site: Site,
) -> None:
    orchestrator = site.make("o1", "orchestrator")
    await orchestrator.start()
    client = await site.client(orchestrator)
    drained = site.make("c1", "compute")
    await drained.start()
    service, daemon, ops = await submit_all(
        client, [marking(site.marks, wait, type=kind, Count=count) for kind, count, wait in _KINDS]
    )
    await eventually(lambda: site.started() == 3)
    await site.node("c2", "compute")
    await eventually(lambda: site.started() == 5)  # the daemon and the ops job are there, too

    with pytest.raises(Conflict, match="an execution of a daemon job"):
        await client.decide("c1", "drain")
    await client.decide("c1", "drain", message="new disk", ignore_daemons=True)
    await eventually(lambda: _is(client, service, ("c1", "Cancelled"), ("c2", "BidAccepted")), within=10)
    assert await _is(client, daemon, ("c1", "Running"), ("c2", "Running"))
    assert await all_end(client, [ops], within=20) == {"Completed"}
    assert await _is(client, ops, ("c1", "Completed"), ("c2", "Completed"))
    await eventually(lambda: _scheduling(client, "DRAINED"), within=5)

    await site.server.restart(kill=True)
    for process in (orchestrator, drained):
        await process.kill()
        await process.start()
    client = await site.client(orchestrator)
    await eventually(lambda: _connected(client, "c1"), within=15)
    assert await _scheduling(client, "DRAINED")
    back = ("c1", "Failed"), ("c1", "Running"), ("c2", "Running")
    await eventually(lambda: _is(client, daemon, *back), within=10)
    more = await submit_all(client, [noop() for _ in range(6)])
    assert await all_end(client, more) == {"Completed"}
    assert {node for job in more for node, _ in await states(client, job)} == {"c2"}

    await client.decide("c2", "cordon")
    (waiting,) = await submit_all(client, [noop()])
    await eventually(lambda: _waits(client, waiting), within=5)
    await client.decide("c1", "uncordon")
    assert await all_end(client, [waiting], within=10) == {"Completed"}
    assert await _is(client, waiting, ("c1", "Completed"))
    assert await _is(client, service, ("c1", "Cancelled"), ("c2", "BidAccepted")), "a cordon stops nothing"


_KINDS = (("service", 1, 60), ("daemon", 0, 60), ("ops", 0, 4))


async def _is(client, job, *expected):
    found = sorted(await states(client, job))
    assert found == sorted(expected)
    return True


async def _scheduling(client, state):
    return (await client.node("c1")).get("Scheduling", {}).get("State") == state


async def _connected(client, name):
    return (await client.node(name))["Connection"] == "CONNECTED"


async def test_a_job_that_waits_for_the_first_node_starts_when_it_is_there(site: Site) -> None:
    client = await site.client(await site.node("o1", "orchestrator"))
    job = marking(site.marks)
    job["Tasks"][0]["Timeouts"] = {"QueueTimeout": 60}
    (waiting,) = await submit_all(client, [job])
    await eventually(lambda: _waits(client, waiting), within=3)  # noted after a second

    await site.node("c1", "compute")
    assert await all_end(client, [waiting], within=3) == {"Completed"}


async def _waits(client, job):
    return "Queued" in job_state((await client.get(job))["Job"])


async def test_a_late_assignment_to_a_full_node_is_declined_and_costs_no_try(site: Site) -> None:
    once = ["Orchestrator.Scheduler.MaxAttempts=1"]
    client = await site.client(await site.node("o1", "orchestrator", settings=once))
    await site.node("c1", "compute", settings=SMALL)
    holder = (await client.submit(marking(site.marks, 1.5, cpu="100m"))).job_id
    await eventually(lambda: site.started() == 1)
    waiting = (await client.submit(marking(site.marks, cpu="100m"))).job_id

    # As a requester writes that was slow: the hold of its bid is over, the room has gone to another.
    async with connect(site.server.url, cell=Cell("main"), name="test") as bus:
        records = JetRecords(bus)
        fact = await records.get(spec_key(waiting))
        assert fact is not None
        assert isinstance(fact.record, JobSpec)
        late = _assignment(fact.record, NodeID("c1"))
        await records.create(desired_key(late.execution_id, "c1"), late)

    assert await all_end(client, [holder, waiting], within=10) == {"Completed"}
    assert await states(client, waiting) == [("c1", "AskForBidRejected"), ("c1", "Completed")]
    assert site.started() == 2


def _assignment(spec: JobSpec, node: NodeID) -> Desired:
    identity: ExecutionID = execution_id(JobID(spec.id), spec.nonce, spec.version, "0", 0)
    return Desired(
        execution_id=identity,
        job_id=spec.id,
        node_id=node,
        version=spec.version,
        wish=Wish.RUN,
        requester="o1",
        nonce="late-1",
        job=spec,
    )
