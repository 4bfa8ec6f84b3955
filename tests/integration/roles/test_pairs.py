"""One job for each kind of input with each kind of publisher: what arrives is what was there, byte by byte."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import random
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import pytest
import pytest_asyncio

from bacalhau_nats.client import Client, Job, SyncClient
from bacalhau_nats.client.wire import job_state
from bacalhau_nats.domain.manifest import MANIFEST, Entry, decode
from bacalhau_nats.testing.server import NatsServer
from tests.support.http_server import http_server, says
from tests.support.ipfs import IPFSDaemon
from tests.support.nodes import NodeProcess
from tests.support.seaweed import S3Server

pytestmark = [pytest.mark.ipfs, pytest.mark.asyncio(loop_scope="module")]

CAT = Path(__file__).parents[3] / "wasm" / "built" / "cat.wasm"
FILES = {name: random.Random(name).randbytes(size) for name, size in {"a": 70_001, "b": 1, "c": 0}.items()}
ALL = b"".join(FILES[name] for name in sorted(FILES))
BUCKET, OWN_BUCKET = "pairs", "pairs-managed"
AS_TOLD = {
    "local": "urlDownload",
    "nats": "urlDownload",
    "s3": "s3PreSigned",
    "s3, plain": "s3",
    "s3managed": "s3PreSigned",
    "ipfs": "ipfs",
}
"""How the server tells where each kind of result is."""


@dataclass(frozen=True)
class World:
    """A node with all that it can read from and publish to; ``sources`` are inputs with what is in them."""

    client: Client
    sources: dict[str, tuple[dict[str, Any], bytes]]
    bucket: dict[str, str]  # where publishers of type s3 put things
    reading: dict[str, Any]  # what its user has to say to fetch results from anywhere

    def publisher(self, name: str) -> dict[str, Any]:
        """Give the publisher of a name in `AS_TOLD`."""
        kind, _, encoding = name.partition(", ")
        params = self.bucket | {"Encoding": encoding or "gzip"} if kind == "s3" else {}
        return {"Type": kind, "Params": params}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(
    s3: S3Server, ipfs: IPFSDaemon, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[World]:
    folder = tmp_path_factory.mktemp("pairs")
    data = folder / "data"
    data.mkdir()
    for name, content in FILES.items():
        (data / name).write_bytes(content)
    s3.bucket(BUCKET, {f"in/{name}": content for name, content in FILES.items()})
    s3.bucket(OWN_BUCKET)
    settings = [
        f"Compute.AllowListedLocalPaths={CAT},{data}",
        "Publishers.Disabled=",
        "Publishers.Types.Local.Port=0",
        f"InputSources.Types.IPFS.Endpoint={ipfs.url}",
        f"Publishers.Types.IPFS.Endpoint={ipfs.url}",
        f"Publishers.Types.S3Managed.Bucket={OWN_BUCKET}",
        f"Publishers.Types.S3Managed.Endpoint={s3.endpoint}",
    ]
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(NatsServer())
        web = await stack.enter_async_context(http_server())
        node = await stack.enter_async_context(
            NodeProcess(
                "n1", folder, server.url, "orchestrator", "compute", settings=settings, env=s3.owner.env
            )
        )
        inline = f"data:application/octet-stream;base64,{base64.b64encode(FILES['a']).decode()}"
        yield World(
            await stack.enter_async_context(Client(node.url)),
            {
                "inline": ({"URL": inline}, FILES["a"]),
                "urlDownload": ({"URL": web.on("/file", says(FILES["a"]))}, FILES["a"]),
                "localDirectory": ({"SourcePath": str(data)}, ALL),
                "s3": ({"Bucket": BUCKET, "Key": "in/", "Endpoint": s3.endpoint}, ALL),
                "ipfs": ({"CID": await ipfs.put(**FILES)}, ALL),
            },
            {"Bucket": BUCKET, "Key": "out/{executionID}", "Endpoint": s3.endpoint},
            {"ipfs": ipfs.multiaddress, "environ": s3.reader.env},
        )


@pytest.mark.parametrize("publisher", AS_TOLD)
@pytest.mark.parametrize("source", ["inline", "urlDownload", "localDirectory", "s3", "ipfs"])
async def test_what_a_job_reads_is_what_its_user_gets(
    source: str, publisher: str, world: World, tmp_path: Path
) -> None:
    params, expected = world.sources[source]
    sent = await world.client.submit(reading(source, params, world.publisher(publisher)))
    ended = await world.client.wait(sent.job_id, timeout=30)
    assert job_state(ended) == "Completed", ended["State"]

    got = await sent.results(tmp_path, **world.reading)
    assert (got.results, got.fetched, got.verified) == (1, 1, 1)
    assert (tmp_path / "stdout").read_bytes() == expected
    listed = decode((tmp_path / MANIFEST).read_bytes()).files
    assert Entry("stdout", len(expected), hashlib.sha256(expected).hexdigest()) in listed
    assert (tmp_path / "exitCode").read_bytes() == b"0"
    (result,) = await world.client.results(sent.job_id)
    assert result["Type"] == AS_TOLD[publisher]


@pytest.mark.parametrize("publisher", ["s3, plain", "ipfs"])
async def test_the_client_without_await_fetches_from_there_too(
    publisher: str, world: World, tmp_path: Path
) -> None:
    params, expected = world.sources["inline"]
    sent = await world.client.submit(reading("inline", params, world.publisher(publisher)))
    await sent.wait(timeout=30)

    def fetch() -> int:
        with SyncClient(world.client.base_url) as client:
            return client.job(sent.id).results(tmp_path, **world.reading).verified

    assert await asyncio.to_thread(fetch) == 1
    assert (tmp_path / "stdout").read_bytes() == expected


def reading(kind: str, params: dict[str, Any], publisher: dict[str, Any]) -> Job:
    """A job that prints all that it is given."""
    task = {
        "Name": "main",
        "Engine": {"Type": "wasm", "Params": {"EntryModule": "/cat.wasm", "Parameters": ["/in"]}},
        "InputSources": [
            {"Target": "/cat.wasm", "Source": {"Type": "localDirectory", "Params": {"SourcePath": str(CAT)}}},
            {"Target": "/in", "Source": {"Type": kind, "Params": params}},
        ],
        "Publisher": publisher,
    }
    return cast("Job", {"Name": "", "Type": "batch", "Count": 1, "Tasks": [task]})
