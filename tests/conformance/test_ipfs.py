"""Input source and publisher `ipfs` do what every one must, with a real IPFS node."""

import io
import tarfile

import pytest

from bacalhau_nats.domain.ids import NodeID
from bacalhau_nats.domain.spec import SpecConfig
from bacalhau_nats.plugins import PUBLISHERS, STORAGE, find
from bacalhau_nats.ports import PluginContext
from bacalhau_nats.publishers.archive import pack
from bacalhau_nats.testing.publishers import check_publisher
from bacalhau_nats.testing.storage import StorageCase, check_storage
from tests.support.ipfs import MISSING

pytestmark = pytest.mark.ipfs


def _spec(**params):
    return SpecConfig(type="ipfs", params=params)


async def test_the_input_source(ipfs, tmp_path):
    folder = await ipfs.put(**{"a/b.txt": b"1", "c.bin": bytes(range(256)) * 2000})
    file = (await ipfs.ask("resolve", arg=f"/ipfs/{folder}/c.bin")).json()["Path"].removeprefix("/ipfs/")
    settings = {"Endpoint": ipfs.multiaddress, "ReadTimeout": 1, "MaxRetryCount": 0}
    await check_storage(
        find(STORAGE, "ipfs"),
        PluginContext("test", NodeID("n"), tmp_path, settings),
        [
            StorageCase(_spec(CID=folder), {"a/b.txt": b"1", "c.bin": bytes(range(256)) * 2000}),
            StorageCase(_spec(cid=file), bytes(range(256)) * 2000, target="/in/c.bin"),
        ],
        [_spec(CID=MISSING), _spec(CID="Qm1"), _spec(CID=f"{folder}/c.bin"), _spec(CID=7), _spec()],
    )


async def test_the_publisher(ipfs, tmp_path):
    async def download(result, path):
        got = await ipfs.ask("get", arg=result.params["CID"], archive="true")
        with tarfile.open(fileobj=io.BytesIO(got.content)) as tar:
            tar.extractall(path.parent, filter="data")
        await pack(path.parent / result.params["CID"], path)

    context = PluginContext("test", NodeID("n"), tmp_path, {"Endpoint": ipfs.url})
    await check_publisher(find(PUBLISHERS, "ipfs"), context, download, by_content=True)
