"""A job goes to the node where its data lies."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, cast

import pytest

from bacalhau_nats.client import Client, Job
from bacalhau_nats.client.wire import job_state
from bacalhau_nats.domain.facts import report_key
from bacalhau_nats.domain.ids import NodeID
from bacalhau_nats.domain.locality import input_key
from bacalhau_nats.domain.node import NodeReport
from bacalhau_nats.domain.spec import SpecConfig
from bacalhau_nats.messaging.bus import connect
from bacalhau_nats.messaging.records import JetRecords
from bacalhau_nats.messaging.subjects import Cell
from tests.support.http_server import Server, http_server, says
from tests.support.ipfs import IPFSDaemon
from tests.support.waiting import eventually

from .conftest import Site, states

CAT = Path(__file__).parents[3] / "wasm" / "built" / "cat.wasm"
SIZE = 200_000
NODES = ("c1", "c2", "c3")


@pytest.fixture
async def web() -> AsyncIterator[Server]:
    async with http_server() as running:
        yield running


def reading(source: dict[str, Any], target: str, path: str) -> Job:
    """A job that prints a file of its input."""
    module = f"data:application/wasm;base64,{base64.b64encode(CAT.read_bytes()).decode()}"
    task = {
        "Name": "main",
        "Engine": {"Type": "wasm", "Params": {"EntryModule": "/main.wasm", "Parameters": [path]}},
        "InputSources": [
            {"Target": "/main.wasm", "Source": {"Type": "inline", "Params": {"URL": module}}},
            {"Target": target, "Source": source},
        ],
    }
    return cast("Job", {"Name": "", "Type": "batch", "Count": 1, "Tasks": [task]})


async def runs_on(client: Client, job: Job) -> str:
    """Run a job to its good end and give its node."""
    job_id = (await client.submit(job)).job_id
    ended = await client.wait(job_id, timeout=30)
    assert job_state(ended) == "Completed", ended["State"]
    ((node, _),) = await states(client, job_id)
    return node


async def test_the_second_job_on_a_url_goes_to_the_node_that_has_it(site: Site, web: Server) -> None:
    await site.node("o1", "orchestrator")
    client = await site.client(await site.node("o2", "orchestrator"))
    for name in NODES:
        await site.node(name, "compute")
    body = bytes(SIZE)
    url = web.on("/data", says(body, "200 OK", 'ETag: "v1"'), says(b"", "304 Not Modified"))
    job = reading({"Type": "urlDownload", "Params": {"URL": url}}, "/in", "/in/data")
    first = await runs_on(client, job)
    async with connect(site.server.url, cell=Cell("main"), name="test") as bus:
        records = JetRecords(bus)

        async def holders() -> set[str]:
            facts = {name: await records.get(report_key(NodeID(name))) for name in NODES}
            reports = {name: fact.record for name, fact in facts.items() if fact is not None}
            return {name for name, one in reports.items() if isinstance(one, NodeReport) and one.holds}

        async def told() -> bool:
            return await holders() == {first}

        await eventually(told, within=15)
    # One after the other on idle nodes: without what they hold, each would have its turn.
    assert {await runs_on(client, job) for _ in range(6)} == {first}
    assert len([head for head in web.requests if "if-none-match" not in head.lower()]) == 1


@pytest.mark.ipfs
async def test_a_job_goes_to_the_node_whose_ipfs_node_has_its_input(
    site: Site, ipfs: IPFSDaemon, tmp_path: Path
) -> None:
    other = IPFSDaemon(tmp_path)
    other.start()
    try:
        pinned, loose = [await other.put(data=bytes([number]) * SIZE) for number in range(2)]
        (await other.ask("pin/add", arg=pinned)).raise_for_status()
        client = await site.client(await site.node("o1", "orchestrator"))
        for name, daemon in (("c1", ipfs), ("c2", other), ("c3", ipfs)):
            ask = f"InputSources.Types.IPFS.Endpoint={daemon.url}"
            await site.node(name, "compute", settings=[ask, "InputSources.ReadTimeout=1s"])
        async with connect(site.server.url, cell=Cell("main"), name="test") as bus:
            records = JetRecords(bus)

            async def told(cid: str) -> None:
                name = input_key(SpecConfig(type="ipfs", params={"CID": cid}))

                async def is_so() -> bool:
                    fact = await records.get(report_key(NodeID("c2")))
                    return (
                        fact is not None and isinstance(fact.record, NodeReport) and name in fact.record.holds
                    )

                await eventually(is_so, within=15)

            # No other IPFS node has it: an execution elsewhere would fail, and be seen.
            for cid in (pinned, loose):
                job = reading({"Type": "ipfs", "Params": {"CID": cid}}, "/in", "/in/data")
                if cid == loose:
                    await finally_runs(client, job)
                await told(cid)
                assert {await runs_on(client, job) for _ in range(4)} == {"c2"}
    finally:
        other.stop()


async def finally_runs(client: Client, job: Job) -> None:
    """Run a job that may fail on some nodes first."""
    ended = await client.wait((await client.submit(job)).job_id, timeout=60)
    assert job_state(ended) == "Completed", ended["State"]


async def test_a_job_on_local_data_goes_to_the_only_node_that_has_it(site: Site) -> None:
    client = await site.client(await site.node("o1", "orchestrator"))
    for name in NODES:
        folder = site.folder / f"disk-of-{name}"
        folder.mkdir()
        await site.node(name, "compute", settings=[f"Compute.AllowListedLocalPaths={folder}/**"])
    data = site.folder / "disk-of-c2" / "data"
    job = reading({"Type": "localDirectory", "Params": {"SourcePath": str(data)}}, "/in", "/in/file")
    refused = await client.wait((await client.submit(job)).job_id, timeout=30)
    assert job_state(refused) == "Failed"
    assert f"does not have the local input {data}" in refused["State"]["Message"]

    data.mkdir()
    (data / "file").write_text("here")
    assert {await runs_on(client, job) for _ in range(3)} == {"c2"}


async def test_a_node_that_wants_its_data_local_leaves_the_rest_to_others(site: Site, web: Server) -> None:
    client = await site.client(await site.node("o1", "orchestrator"))
    await site.node("picky", "compute", settings=["JobAdmissionControl.Locality=local"])
    url = web.on("/data", says(b"data"))
    job = reading({"Type": "urlDownload", "Params": {"URL": url}}, "/in", "/in/data")
    refused = await client.wait((await client.submit(job)).job_id, timeout=30)
    assert "takes only jobs whose inputs it holds, and does not hold /in" in refused["State"]["Message"]
    await site.node("open", "compute")
    assert await runs_on(client, job) == "open"
