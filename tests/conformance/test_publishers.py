"""The publishers that come with the project do what every publisher must."""

from contextlib import asynccontextmanager

import httpx
import pytest

from bacalhau_nats.clients.denied import DeniedNetworks
from bacalhau_nats.clients.s3 import Place, S3Clients
from bacalhau_nats.clients.s3_signing import ManagedBucket, ResultSigner, SigningSettings
from bacalhau_nats.domain.ids import NodeID
from bacalhau_nats.domain.spec import SpecConfig
from bacalhau_nats.plugins import PUBLISHERS, find
from bacalhau_nats.ports import Health, PluginContext
from bacalhau_nats.publishers.archive import pack
from bacalhau_nats.testing.publishers import check_publisher
from tests.support.memory_blobs import MemoryBlobs


async def test_noop(tmp_path):
    await check_publisher(find(PUBLISHERS, "noop"), PluginContext("test", NodeID("n"), tmp_path), None)


async def test_nats(tmp_path):
    store = MemoryBlobs()

    async def download(result, path):
        path.write_bytes(store.stored[result.params["Key"]])

    await check_publisher(
        find(PUBLISHERS, "nats"), PluginContext("test", NodeID("n"), tmp_path, results=store), download
    )


async def test_local(tmp_path):
    async def download(result, path):
        async with httpx.AsyncClient(trust_env=False) as client:
            path.write_bytes((await client.get(result.params["URL"])).raise_for_status().content)

    await check_publisher(
        find(PUBLISHERS, "local"), PluginContext("test", NodeID("n"), tmp_path, {"Port": 0}), download
    )


@pytest.mark.xdist_group("s3")
async def test_s3(s3, tmp_path, monkeypatch):
    for name, value in s3.owner.env.items():
        monkeypatch.setenv(name, value)
    bucket = s3.bucket("conformance-out")

    async def download(result, path):
        path.write_bytes(s3.read(result.params["Bucket"], result.params["Key"]))

    params = {"bucket": bucket, "key": "{jobID}/{executionID}", "endpoint": s3.endpoint}
    context = PluginContext("test", NodeID("n"), tmp_path)
    await check_publisher(find(PUBLISHERS, "s3"), context, download, SpecConfig(type="s3", params=params))


@pytest.mark.xdist_group("s3")
async def test_s3managed(s3, tmp_path):
    bucket = ManagedBucket(s3.bucket("conformance-managed"), "all", Place(s3.endpoint))
    clients = S3Clients(s3.owner.env, DeniedNetworks())
    signer = ResultSigner(clients, SigningSettings(managed=bucket))

    async def upload_url(job, execution):
        return await signer.upload_url(job, execution) if execution else ""

    async def download(result, path):
        signed = await signer.signed(result)
        async with httpx.AsyncClient(trust_env=False) as client:
            path.write_bytes((await client.get(signed.params["PreSignedURL"])).raise_for_status().content)

    context = PluginContext("test", NodeID("n"), tmp_path, upload_url=upload_url)
    await check_publisher(find(PUBLISHERS, "s3managed"), context, download)
    clients.close()


@pytest.mark.parametrize(
    ("flaw", "said"),
    [
        ("ill", "no network"),
        ("one place", "one of them is lost"),
        ("untyped", "no Type"),
        ("damages", "changed the folder"),
        ("lies", "gave"),
    ],
)
async def test_the_suite_catches_a_publisher_that_is(flaw, said, tmp_path):
    class Careless:
        async def check(self):
            return Health(ok=flaw != "ill", why="no network")

        async def publish(self, work, results, spec):
            name = "all" if flaw == "one place" else work.execution_id
            if flaw != "lies" or results.exists():
                await pack(results, tmp_path / f"kept/{name}")
            if flaw == "damages":
                (results / "stdout").unlink(missing_ok=True)
            return SpecConfig(type="" if flaw == "untyped" else "mine", params={"Name": name})

    @asynccontextmanager
    async def opened(_):
        yield Careless()

    async def download(result, path):
        path.write_bytes((tmp_path / "kept" / result.params["Name"]).read_bytes())

    with pytest.raises(AssertionError, match=said):
        await check_publisher(opened, PluginContext("test", NodeID("n"), tmp_path / "work"), download)
