"""Whole jobs whose inputs and results are in S3 buckets: real nodes, a real server, every byte compared."""

from __future__ import annotations

import base64
import random
from pathlib import Path
from typing import Any

import pytest

from bacalhau_nats.client.wire import job_state
from bacalhau_nats.errors import BacalhauError, NotFound, UserError
from bacalhau_nats.messaging.bus import connect
from bacalhau_nats.messaging.subjects import Cell
from tests.support.proxy import proxy_to
from tests.support.seaweed import OWNER, S3Server
from tests.support.waiting import eventually

from .conftest import Site, all_end, states

pytestmark = pytest.mark.xdist_group("s3")
CAT = Path(__file__).parents[3] / "wasm" / "built" / "cat.wasm"
ALLOW = f"Compute.AllowListedLocalPaths={CAT}"
NOISE = {f"in/{name}": random.Random(name).randbytes(70_000) for name in "abcdefgh"}


def a_job(s3: S3Server, bucket: str, publisher: dict[str, Any], **more: Any) -> dict[str, Any]:
    """Build a job that prints its share of what is below ``in/``."""
    source = {"Bucket": bucket, "Key": "in/", "Endpoint": s3.endpoint, "Partition": {"Type": "object"}}
    inputs = [
        {"Target": "/cat.wasm", "Source": {"Type": "localDirectory", "Params": {"SourcePath": str(CAT)}}},
        {"Target": "/in", "Source": {"Type": "s3", "Params": source}},
    ]
    task = {
        "Name": "main",
        "Engine": {"Type": "wasm", "Params": {"EntryModule": "/cat.wasm", "Parameters": ["/in"]}},
        "InputSources": inputs,
        "Publisher": publisher,
    }
    return {"Name": "s3", "Type": "batch", "Count": 1, "Tasks": [task]} | more


def without_s3(job: dict[str, Any], text: str) -> dict[str, Any]:
    """Let the job print what it is given instead."""
    (task,) = job["Tasks"]
    task["InputSources"] = []
    task["Engine"] = {"Type": "noop", "Params": {"Output": text}}
    return job


def to_bucket(s3: S3Server, bucket: str, **more: str) -> dict[str, Any]:
    params = {"bucket": bucket, "key": "out/{executionID}", "endpoint": s3.endpoint, **more}
    return {"Type": "s3", "Params": params}


async def results_of(client: Any, job: str, folder: Path) -> list[bytes]:
    """Download as the command line does; give stdout of every execution."""
    await client.download(job, folder, raw=True)
    from bacalhau_nats.publishers.archive import unpack  # noqa: PLC0415 - used here only

    found = []
    for n, archive in enumerate(sorted((folder / "raw").iterdir())):
        await unpack(archive, folder / str(n))
        found.append((folder / str(n) / "stdout").read_bytes())
    return found


async def test_partitions_read_their_objects_and_their_results_come_back(
    site: Site, s3: S3Server, tmp_path: Path
) -> None:
    bucket = s3.bucket("jobs-through", NOISE)
    node = await site.process("n1", "orchestrator", "compute", settings=[ALLOW], env=s3.owner.env)
    client = await site.client(node)
    job = (await client.submit(a_job(s3, bucket, to_bucket(s3, bucket), Count=3))).job_id
    assert await all_end(client, [job]) == {"Completed"}

    assert len(s3.keys(bucket, "out/")) == 3
    found = await results_of(client, job, tmp_path / "got")
    assert sum(map(len, found)) == sum(map(len, NOISE.values()))
    assert all(sum(content in output for output in found) == 1 for content in NOISE.values())
    assert OWNER.secret_key not in node.log.read_text()


async def test_a_result_that_is_a_folder_is_fetched_with_ones_own_credentials_and_proven(
    site: Site, s3: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket = s3.bucket("jobs-plain")
    client = await site.client(await site.process("n1", "orchestrator", "compute", env=s3.owner.env))
    job = writing("größe +%41&.txt", "what was written", to_bucket(s3, bucket, encoding="plain"))
    handle = await client.submit(job)
    await handle.wait(timeout=30)
    name = "out/größe +%41&.txt"

    missing = r"s3://jobs-plain/out/e-.*/ at http://.* cannot be fetched"
    with pytest.raises(UserError, match=missing) as caught:
        await handle.results(tmp_path / "stranger", environ={"HOME": str(tmp_path)})
    assert "AWS credentials" in caught.value.hint
    assert not (tmp_path / "stranger").exists()

    whole = await handle.results(tmp_path / "whole", environ=s3.reader.env)
    assert (whole.fetched, whole.verified) == (1, 1)
    assert (tmp_path / "whole" / name).read_text() == "what was written"
    there = {path.name for path in whole.into.iterdir() if not path.name.startswith(".")}
    assert there == {"exitCode", "manifest.json", "out", "stderr", "stdout"}
    for number, path in enumerate((name, "out")):
        part = await handle.results(tmp_path / f"part-{number}", path=path, environ=s3.reader.env)
        files = [one.relative_to(part.into).as_posix() for one in part.into.rglob("*") if one.is_file()]
        assert (files, part.verified) == ([name], 1)
    with pytest.raises(NotFound, match="no result has 'ou'"):
        await handle.results(tmp_path / "none", path="ou", environ=s3.reader.env)
    (manifest,) = (await client.manifests(handle.id, environ=s3.reader.env)).values()
    assert name in {entry.path for entry in manifest.files}

    (key,) = [key for key in s3.keys(bucket) if key.endswith(".txt")]
    s3.put(bucket, key, b"what was changed")
    for path in ("", name):
        with pytest.raises(BacalhauError, match="not what their nodes published") as failed:
            await handle.results(tmp_path / "altered", path=path, environ=s3.reader.env)
        assert name in failed.value.message
    assert not (tmp_path / "altered").exists()
    for name_of, value in s3.reader.env.items():
        monkeypatch.setenv(name_of, value)
    again = await handle.results(tmp_path / "whole")
    assert (again.fetched, again.verified) == (0, 1)


def writing(name: str, text: str, publisher: dict[str, Any]) -> dict[str, Any]:
    """Build a job that writes one file below its result path."""
    module = base64.b64encode(CAT.with_name("write.wasm").read_bytes()).decode()
    source = {"Type": "inline", "Params": {"URL": f"data:application/wasm;base64,{module}"}}
    task = {
        "Name": "main",
        "Engine": {
            "Type": "wasm",
            "Params": {"EntryModule": "/write.wasm", "Parameters": [f"/out/{name}", text]},
        },
        "InputSources": [{"Target": "/write.wasm", "Source": source}],
        "ResultPaths": [{"Name": "out", "Path": "/out"}],
        "Publisher": publisher,
    }
    return {"Type": "batch", "Count": 1, "Tasks": [task]}


async def test_a_managed_result_comes_from_a_node_without_credentials(
    site: Site, s3: S3Server, tmp_path: Path
) -> None:
    bucket = s3.bucket("jobs-managed")
    managed = [f"Publishers.Types.S3Managed.{k}={v}" for k, v in
               {"Bucket": bucket, "Key": "all", "Endpoint": s3.endpoint}.items()]  # fmt: skip
    orchestrator = await site.process("o1", "orchestrator", settings=managed, env=s3.owner.env)
    heard: list[bytes] = []
    async with connect([site.server.url], cell=Cell("main"), name="ear") as bus:
        await bus.listen(">", lambda msg: heard.append(msg.data + str(msg.headers).encode()))
        compute = await site.process("c1", "compute")
        client = await site.client(orchestrator)
        job = without_s3(a_job(s3, bucket, {"Type": "s3managed"}), "kept by the orchestrator")
        done = (await client.submit(job)).job_id
        assert await all_end(client, [done]) == {"Completed"}
    (execution,) = (await client.executions(done))["Items"]
    assert s3.keys(bucket) == [f"all/{done}/{execution['ID']}.tar.gz"]
    assert await results_of(client, done, tmp_path / "got") == [b"kept by the orchestrator"]

    info = (await client.node("c1"))["Info"]["ComputeNodeInfo"]
    assert "s3managed" in info["Publishers"]
    assert "s3" not in info["Publishers"]
    assert "s3" not in info["StorageSources"]
    told = b"".join(heard) + orchestrator.log.read_bytes() + compute.log.read_bytes()
    assert OWNER.secret_key.encode() not in told
    facts = [data for data in heard if b"X-Amz-Signature" in data]
    assert len(facts) <= 1, "the signed URL is in the answer to the node that asked, and nowhere else"


async def test_where_nobody_has_a_bucket_a_managed_job_fails_at_once_and_says_so(
    site: Site, s3: S3Server
) -> None:
    client = await site.client(await site.node("n1", "orchestrator", "compute"))
    job = without_s3(a_job(s3, "none", {"Type": "s3managed"}), "for nobody")
    done = (await client.submit(job)).job_id
    assert await all_end(client, [done]) == {"Failed"}
    assert "s3managed" in (await client.get(done))["Job"]["State"]["Message"]
    assert await states(client, done) == []


async def test_a_job_with_a_missing_bucket_fails_with_its_cause(site: Site, s3: S3Server) -> None:
    node = await site.process("n1", "orchestrator", "compute", settings=[ALLOW], env=s3.reader.env)
    client = await site.client(node)
    job = (await client.submit(a_job(s3, "no-such-bucket", {"Type": "noop"}))).job_id
    assert await all_end(client, [job]) == {"Failed"}
    message = (await client.get(job))["Job"]["State"]["Message"]
    assert "NoSuchBucket" in message
    assert "s3://no-such-bucket/in/" in message
    assert s3.endpoint in message


@pytest.mark.slow
async def test_a_node_that_is_killed_while_it_publishes_has_published_nothing(
    site: Site, s3: S3Server, tmp_path: Path
) -> None:
    noise = random.Random(1).randbytes(20_000_000)
    bucket = s3.bucket("jobs-killed", {"in/noise": noise})
    patient = ["Orchestrator.NodeManager.DisconnectTimeout=2m"]
    client = await site.client(await site.process("o1", "orchestrator", settings=patient, env=s3.reader.env))
    node = await site.process("c1", "compute", settings=[ALLOW], env=s3.owner.env)
    async with proxy_to(s3.endpoint) as proxy:
        proxy.hold_after = 3_000_000
        publisher = to_bucket(s3, bucket, endpoint=f"http://127.0.0.1:{proxy.port}")
        job = (await client.submit(a_job(s3, bucket, publisher))).job_id
        await proxy.holding.wait()
        await node.kill()
        assert len(s3.unfinished(bucket)) == 1
        assert s3.keys(bucket, "out/") == []
        assert job_state((await client.get(job))["Job"]) == "Running"
        assert await client.results(job) == []

        proxy.hold_after = None
        await node.start()
        ended = await client.wait(job, timeout=60)
        assert job_state(ended) == "Completed", ended["State"]
        assert await states(client, job) == [("c1", "Failed"), ("c1", "Completed")]
        (_, second) = (await client.executions(job))["Items"]
        assert s3.keys(bucket, "out/") == [f"out/{second['ID']}.tar.gz"]
        assert await results_of(client, job, tmp_path / "got") == [noise]
        await eventually(lambda: s3.unfinished(bucket) == [])
