"""A real IPFS node: jobs read from it and publish to it, and Kubo agrees on every byte and name."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any

import pytest

from bacalhau_nats.client import Client, Job
from bacalhau_nats.domain.ids import NodeID
from bacalhau_nats.domain.spec import SpecConfig
from bacalhau_nats.errors import NotFound, UserError
from bacalhau_nats.ports import PluginContext
from bacalhau_nats.publishers.ipfs import open_ipfs
from bacalhau_nats.testing.publishers import a_work
from bacalhau_nats.testing.server import NatsServer
from tests.support.ipfs import MISSING, IPFSDaemon, kubo
from tests.support.marks import MODULE
from tests.support.nodes import LoopNode
from tests.support.waiting import eventually

pytestmark = pytest.mark.ipfs

CAT = MODULE.with_name("cat.wasm")
DATA = {"a/first.txt": b"first\n", "b.bin": bytes(range(256)) * 4096}


def settings_for(daemon: IPFSDaemon) -> list[str]:
    return [
        f"InputSources.Types.IPFS.Endpoint={daemon.multiaddress}",
        f"Publishers.Types.IPFS.Endpoint={daemon.url}",
        f"Compute.AllowListedLocalPaths={CAT}",
        "InputSources.ReadTimeout=1s",
        "Orchestrator.Scheduler.MaxAttempts=1",
    ]


def cat_job(cid: str) -> Job:
    """Build a job that prints all files of ``cid``, and publishes that."""
    return {
        "Type": "batch",
        "Count": 1,
        "Tasks": [
            {
                "Name": "main",
                "Engine": {"Type": "wasm", "Params": {"EntryModule": "/cat.wasm", "Parameters": ["/in"]}},
                "InputSources": [
                    {"Source": {"Type": "ipfs", "Params": {"CID": cid}}, "Target": "/in"},
                    {"Source": {"Type": "local", "Params": {"SourcePath": str(CAT)}}, "Target": "/cat.wasm"},
                ],
                "Publisher": {"Type": "ipfs"},
            }
        ],
    }


async def stored(client: Client, cid: str) -> tuple[str, str]:
    """Run a job over ``cid``; give its id and the CID of its result."""
    job = (await client.submit(cat_job(cid))).job_id
    done = await client.wait(job, timeout=30)
    assert done["State"]["StateType"] == "Completed", done["State"]
    (result,) = await client.results(job)
    assert result["Type"] == "ipfs"
    return job, str(result["Params"]["CID"])


async def test_a_job_reads_from_ipfs_and_publishes_to_it(ipfs: IPFSDaemon, tmp_path: Path) -> None:
    async with NatsServer() as server:
        node = await LoopNode(
            "n1", tmp_path, server.url, "orchestrator", "compute", settings=settings_for(ipfs)
        ).start()
        async with Client(node.url) as client:
            job, cid = await stored(client, await ipfs.put(**DATA))
            assert await ipfs.cat(f"{cid}/stdout") == b"".join(DATA[name] for name in sorted(DATA))
            assert await ipfs.cat(f"{cid}/exitCode") == b"0"
            assert await ipfs.pinned(cid)

            other, again = await stored(client, await ipfs.put(**DATA))
            assert again != cid, "each result has its own manifest"
            digests = [(await client.results(one))[0]["ResultDigest"] for one in (job, other)]
            assert digests[0]["Outputs"] == digests[1]["Outputs"]

            whole = await client.download(job, tmp_path / "whole", ipfs=ipfs.multiaddress)
            assert (whole.into / "stdout").read_bytes() == b"first\n" + DATA["b.bin"]
            there = {path.name for path in whole.into.iterdir() if not path.name.startswith(".")}
            assert there == {"exitCode", "manifest.json", "stderr", "stdout"}
            assert whole.verified == 1
            one = await client.download(job, tmp_path / "one", path="exitCode", ipfs=ipfs.url)
            assert [path.name for path in one.into.iterdir()] == ["exitCode"]
            assert one.verified == 1
            with pytest.raises(NotFound, match="no result has 'nope'"):
                await client.download(job, tmp_path / "none", path="nope", ipfs=ipfs.url)
            with pytest.raises(UserError, match=cid):
                await client.download(job, tmp_path / "unnamed")
            assert not (tmp_path / "unnamed").exists()
        await node.stop()


async def test_a_job_whose_input_nobody_has_fails_in_words(ipfs: IPFSDaemon, tmp_path: Path) -> None:
    async with NatsServer() as server:
        node = await LoopNode(
            "n1", tmp_path, server.url, "orchestrator", "compute", settings=settings_for(ipfs)
        ).start()
        async with Client(node.url) as client:
            job = (await client.submit(cat_job(MISSING))).job_id
            assert (await client.wait(job, timeout=30))["State"]["StateType"] == "Failed"
            (execution,) = (await client.executions(job))["Items"]
            said = execution["ComputeState"]["Message"]
            assert MISSING in said
            assert ipfs.url in said
        await node.stop()


async def test_ipfs_is_advertised_only_while_its_node_answers(tmp_path: Path) -> None:
    daemon = IPFSDaemon(tmp_path)
    async with NatsServer() as server:
        node = await LoopNode(
            "n1", tmp_path, server.url, "orchestrator", "compute", settings=settings_for(daemon)
        ).start()
        async with Client(node.url) as client:

            async def advertised() -> list[bool]:
                info: dict[str, Any] = (await client.node("n1"))["Info"]["ComputeNodeInfo"]
                return ["ipfs" in info["StorageSources"], "ipfs" in info["Publishers"]]

            async def becomes(wanted: bool) -> None:
                async def is_so() -> bool:
                    return await advertised() == [wanted, wanted]

                await eventually(is_so, within=30)

            assert await advertised() == [False, False]
            try:
                daemon.start()
                await becomes(wanted=True)
                daemon.kill()
                await becomes(wanted=False)
                daemon.start()
                await becomes(wanted=True)
            finally:
                daemon.stop()
        await node.stop()


async def test_kubo_computes_the_same_cid_and_fetches_the_same_bytes(
    ipfs: IPFSDaemon, tmp_path: Path
) -> None:
    """Kubo is another implementation: what it calls this folder, and what it gets for it, is not our doing."""
    results = tmp_path / "results"
    for name in ("stdout", "q", "deep/er/x.bin", "größe +%41&.txt"):
        (results / name).parent.mkdir(parents=True, exist_ok=True)
        (results / name).write_text(name)
    (results / "large.bin").write_bytes(os.urandom(3_000_000))  # a dozen chunks
    (results / "empty").mkdir()
    (results / "nothing").touch()
    many = tmp_path / "many"
    many.mkdir()
    for number in range(1500):
        (many / f"{number:04}").write_text(str(number))
    async with open_ipfs(PluginContext("test", NodeID("n"), tmp_path, {"Endpoint": ipfs.url})) as publisher:
        cids = [
            (await publisher.publish(a_work("e-1"), folder, SpecConfig())).params["CID"]
            for folder in (results, many)
        ]
    assert cids == [await kubo(tmp_path / f"repo-{folder.name}", "cid", folder) for folder in (results, many)]
    got = Path(await kubo(tmp_path / "repo", "get", ipfs.peer, cids[0], tmp_path / "got"))
    assert await asyncio.to_thread(_same, results, got)


def _same(one: Path, other: Path) -> bool:
    def walk(folder: Path) -> dict[str, bytes | None]:
        return {
            path.relative_to(folder).as_posix(): None if path.is_dir() else path.read_bytes()
            for path in folder.rglob("*")
        }

    return walk(one) == walk(other)
