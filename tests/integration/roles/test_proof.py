"""Results that were altered are found out: on their way by `job get`, at the source by `job verify`."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any, cast

import pytest

from bacalhau_nats.client import Client, Job
from bacalhau_nats.client.verify import Verification, verify
from bacalhau_nats.domain.agreement import VERIFIES
from bacalhau_nats.errors import BacalhauError, Conflict, UserError
from bacalhau_nats.publishers.archive import pack, unpack
from tests.support.marks import noop

from .conftest import Site, states

WRITE = Path(__file__).parents[3] / "wasm" / "built" / "write.wasm"
ON_BUS = "Publishers.Disabled=local"
SERVED = ["Publishers.Disabled=", "Publishers.Types.Local.Port=0"]


def writing(text: str = "honest", **more: Any) -> Job:
    """A job that writes one file below its result path."""
    module = f"data:application/wasm;base64,{base64.b64encode(WRITE.read_bytes()).decode()}"
    task = {
        "Name": "main",
        "Engine": {
            "Type": "wasm",
            "Params": {"EntryModule": "/main.wasm", "Parameters": ["/out/file", text]},
        },
        "InputSources": [{"Target": "/main.wasm", "Source": {"Type": "inline", "Params": {"URL": module}}}],
        "ResultPaths": [{"Name": "out", "Path": "/out"}],
    } | more.pop("task", {})
    return cast("Job", {"Name": "", "Type": "batch", "Count": 1, "Tasks": [task], **more})


async def done(client: Client, job: Job) -> str:
    job_id = (await client.submit(job)).job_id
    ended = await client.wait(job_id, timeout=30)
    assert ended["State"]["StateType"] == "Completed", ended["State"]
    return job_id


def told(found: Verification) -> list[tuple[str, bool]]:
    """Node and whether its run is odd, of all runs."""
    return [(r.node, r.execution in one.judgement.odd) for one in found.partitions for r in one.runs]


async def test_bytes_that_were_altered_after_publishing_are_found_by_the_next_fetch(
    site: Site, tmp_path: Path
) -> None:
    client = await site.client(await site.node("o1", "orchestrator"))
    await site.node("c1", "compute", settings=SERVED)
    job = await done(client, writing(task={"Publisher": {"Type": "local"}}))
    (one,) = (await client.executions(job))["Items"]
    archive = site.folder / "c1" / "results" / f"{one['ID']}.tar.gz"
    good = await client.download(job, tmp_path / "good")
    assert (good.verified, (tmp_path / "good/out/file").read_text()) == (1, "honest")

    await unpack(archive, tmp_path / "unpacked")
    (tmp_path / "unpacked/out/file").write_text("altered")
    await pack(tmp_path / "unpacked", archive)
    with pytest.raises(BacalhauError, match="out/file has 7 bytes instead of 6"):
        await client.download(job, tmp_path / "new")
    again = await client.download(job, tmp_path / "good")
    assert (again.fetched, (tmp_path / "good/out/file").read_text()) == (0, "honest")


async def test_reruns_on_other_nodes_agree_and_are_jobs_that_say_what_they_are(site: Site) -> None:
    client = await site.client(await site.node("o1", "orchestrator"))
    for name in ("c1", "c2", "c3"):
        await site.node(name, "compute")
    job = await done(client, writing())
    history = await client.history(job)
    found = await verify(client, job, nodes=2)
    assert found.agrees
    assert found.whole
    assert sorted(node for node, _ in told(found)) == ["c1", "c2", "c3"]
    for number, rerun in enumerate(found.reruns, 1):
        shown = (await client.get(rerun))["Job"]
        assert shown["Labels"] == {VERIFIES: job, "bacalhau-verify/run": str(number)}
        assert shown["Name"].startswith(f"verify-{job[:10]}-{number}-")
    assert await client.history(job) == history
    with pytest.raises(BacalhauError, match="rerun"):  # there is no fourth node
        await verify(client, job, nodes=3)


async def test_a_node_that_lies_at_the_source_is_named_with_its_files(site: Site) -> None:
    client = await site.client(await site.node("o1", "orchestrator"))
    liar = site.make("liar", "compute")
    liar.program = "tests.support.liar"
    await liar.start()
    job = await done(client, writing())
    assert await states(client, job) == [("liar", "Completed")]
    for name in ("c1", "c2"):
        await site.node(name, "compute")

    undecided = await verify(client, job, nodes=1)
    assert not undecided.agrees
    assert not undecided.partitions[0].judgement.decided

    found = await verify(client, job, nodes=2)
    assert sorted(told(found)) == [("c1", False), ("c2", False), ("liar", True)]
    (one,) = found.partitions
    assert one.judgement.decided
    ((difference,),) = one.files.values()
    assert (difference.path, difference.what) == ("out/file", "has 19 bytes instead of 6")


async def test_a_job_without_results_is_compared_by_what_its_record_holds(site: Site) -> None:
    client = await site.client(await site.node("o1", "orchestrator"))
    for name in ("c1", "c2"):
        await site.node(name, "compute")
    job = await done(client, noop())
    found = await verify(client, job)
    assert found.agrees
    assert not found.whole


async def test_what_cannot_be_compared_is_refused(site: Site) -> None:
    client = await site.client(await site.node("o1", "orchestrator"))
    await site.node("c1", "compute")
    with pytest.raises(UserError, match="ops"):
        await verify(client, await done(client, noop(Type="ops")))
    with pytest.raises(Conflict, match="not Completed"):
        await verify(client, (await client.submit(noop(30))).job_id)
