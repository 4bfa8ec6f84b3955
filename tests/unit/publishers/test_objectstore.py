"""Results go into the object store, whole or not at all."""

import hashlib

import pytest

from bacalhau_nats.domain.execution import Reason
from bacalhau_nats.domain.ids import NodeID
from bacalhau_nats.domain.spec import SpecConfig
from bacalhau_nats.ports import PluginContext, WorkFailed
from bacalhau_nats.publishers.objectstore import open_objectstore
from bacalhau_nats.testing.publishers import a_work
from tests.support.memory_blobs import MemoryBlobs


@pytest.fixture
def results(tmp_path):
    (tmp_path / "results").mkdir()
    (tmp_path / "results/stdout").write_text("hi")
    return tmp_path / "results"


def context(tmp_path, store):
    return PluginContext("test", NodeID("n-1"), tmp_path / "data", results=store)


async def test_the_result_names_what_is_stored(results, tmp_path):
    store = MemoryBlobs()
    async with open_objectstore(context(tmp_path, store)) as publisher:
        result = await publisher.publish(a_work("e-1"), results, SpecConfig())
    data = store.stored["e-1.tar.gz"]
    sha256 = hashlib.sha256(data).hexdigest()
    assert result.to_wire() == {
        "Type": "nats",
        "Params": {"Key": "e-1.tar.gz", "Size": len(data), "SHA256": sha256},
    }
    assert list((tmp_path / "data/publishing").iterdir()) == []


async def test_a_full_store_fails_the_work_and_leaves_no_draft(results, tmp_path):
    store = MemoryBlobs()
    store.full = True
    async with open_objectstore(context(tmp_path, store)) as publisher:
        with pytest.raises(WorkFailed, match="the stream is full") as caught:
            await publisher.publish(a_work("e-1"), results, SpecConfig())
    assert caught.value.failure.reason is Reason.PUBLISH
    assert caught.value.failure.retryable
    assert list((tmp_path / "data/publishing").iterdir()) == []


async def test_without_a_store_it_says_so(results, tmp_path):
    async with open_objectstore(context(tmp_path, None)) as publisher:
        assert "no object store" in (await publisher.check()).why
        with pytest.raises(WorkFailed, match="no object store"):
            await publisher.publish(a_work("e-1"), results, SpecConfig())


async def test_what_a_dead_process_left_is_removed(tmp_path):
    draft = tmp_path / "data/publishing/e-1.tar.gz"
    draft.parent.mkdir(parents=True)
    draft.write_text("half")
    async with open_objectstore(context(tmp_path, MemoryBlobs())):
        assert not draft.exists()
