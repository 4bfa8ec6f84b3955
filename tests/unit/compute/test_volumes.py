"""Inputs are fetched together, and gone together."""

import asyncio

import pytest

from bacalhau_nats.compute import disk
from bacalhau_nats.compute.folders import ExecutionFolder
from bacalhau_nats.compute.volumes import prepare_inputs
from bacalhau_nats.domain.execution import Reason
from bacalhau_nats.domain.ids import ExecutionID
from bacalhau_nats.domain.spec import InputSource, SpecConfig, Task
from bacalhau_nats.ports import Volume, WorkFailed
from bacalhau_nats.testing.storage import RecordedLog


class Scripted:
    """A storage whose sources say what happens: write so many bytes, wait, fail."""

    def __init__(self):
        self.started = []
        self.cancelled = []
        self.all_started = asyncio.Event()
        self.expect = 0

    async def fetch(self, source, target, into, logs):
        self.started.append(target)
        if len(self.started) >= self.expect:
            self.all_started.set()
        try:
            async with asyncio.timeout(5):
                await self.all_started.wait()
            if source.param("Bytes"):
                into.mkdir(parents=True)
                (into / "file").write_bytes(bytes(source.param("Bytes")))
            if source.param("Fail"):
                raise WorkFailed(source.param("Fail"), reason=Reason.INPUT)
            if source.param("Wait"):
                await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.cancelled.append(target)
            raise
        return Volume(into, source.param("Placed", target))


def a_task(*inputs):
    return Task(
        input_sources=tuple(
            InputSource(source=SpecConfig(type=" Scripted ", params=params), target=target)
            for target, params in inputs
        )
    )


@pytest.fixture
def storage():
    return Scripted()


@pytest.fixture
def inputs(storage, tmp_path):
    def prepare(*wanted, **options):
        storage.expect = len(wanted)
        return prepare_inputs(
            a_task(*wanted),
            {"scripted": storage},
            tmp_path / "executions/e/inputs",
            RecordedLog(),
            **options,
        )

    return prepare


@pytest.fixture
def watch(tmp_path):
    folder = ExecutionFolder(tmp_path, ExecutionID("e"))
    return lambda allowed: disk.DiskWatch(folder, allowed, disk.DiskReserve(tmp_path))


async def fails(context, said, reason):
    with pytest.raises(WorkFailed, match=said) as caught:
        async with asyncio.timeout(5), context:
            raise AssertionError("it started")
    assert caught.value.failure.reason is reason
    return caught.value


async def test_no_inputs_touch_no_disk(inputs, tmp_path):
    async with inputs() as got:
        assert got == ()
    assert list(tmp_path.iterdir()) == []


async def test_all_are_fetched_at_once_and_given_in_order(inputs, tmp_path):
    async with inputs(("/a", {"Bytes": 1}), ("/b", {}), ("/c", {"Bytes": 1})) as got:
        assert [volume.target for volume in got] == ["/a", "/b", "/c"]
        assert len({volume.source for volume in got}) == 3
        assert (got[0].source / "file").exists()
    assert not (tmp_path / "executions/e/inputs").exists()


async def test_the_first_failure_ends_the_others_and_leaves_nothing(inputs, storage, tmp_path):
    await fails(
        inputs(("/a", {"Bytes": 9, "Wait": True}), ("/b", {"Fail": "404"}), ("/c", {"Wait": True})),
        "404",
        Reason.INPUT,
    )
    assert sorted(storage.cancelled) == ["/a", "/c"]
    assert not (tmp_path / "executions/e/inputs").exists()


async def test_inputs_are_removed_when_the_work_fails(inputs, tmp_path):
    with pytest.raises(RuntimeError, match="engine"):
        async with inputs(("/a", {"Bytes": 1})):
            raise RuntimeError("engine")
    assert not (tmp_path / "executions/e/inputs").exists()


async def test_cancelling_ends_the_fetches_and_leaves_nothing(inputs, storage, tmp_path):
    async def work():
        async with inputs(("/a", {"Bytes": 1, "Wait": True}), ("/b", {"Wait": True})):
            pass

    task = asyncio.create_task(work())
    await storage.all_started.wait()
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert sorted(storage.cancelled) == ["/a", "/b"]
    assert not (tmp_path / "executions/e/inputs").exists()


async def test_a_bug_in_a_storage_comes_out_as_itself(inputs, storage):
    storage.fetch = None
    with pytest.raises(TypeError):
        async with inputs(("/a", {})):
            pass


@pytest.mark.parametrize("twin", ["/a", "/a/", "/./a"])
async def test_two_inputs_with_one_target_are_invalid(twin, inputs, storage):
    await fails(inputs(("/a", {}), (twin, {})), "two inputs would lie at /a", Reason.INVALID)
    assert storage.started == []


async def test_two_inputs_that_end_up_in_one_place_are_invalid(inputs):
    await fails(inputs(("/a", {"Placed": "/x"}), ("/b", {"Placed": "/x"})), "lie at /x", Reason.INVALID)


async def test_a_type_the_node_lacks_is_named_with_those_it_has(tmp_path):
    context = prepare_inputs(a_task(("/a", {})), {"inline": Scripted()}, tmp_path / "i", RecordedLog())
    await fails(context, "Scripted.*does not have.*inline", Reason.INPUT)


async def test_inputs_that_are_too_large_in_all_fail_the_work(inputs, watch, tmp_path):
    failed = await fails(
        inputs(("/a", {"Bytes": 600}), ("/b", {"Bytes": 600}), watch=watch(1000)), "disk quota", Reason.QUOTA
    )
    assert not failed.failure.retryable
    assert not (tmp_path / "executions/e/inputs").exists()


async def test_inputs_within_the_budget_are_taken(inputs, watch):
    async with inputs(("/a", {"Bytes": 500}), ("/b", {"Bytes": 500}), watch=watch(1000)) as got:
        assert len(got) == 2


async def test_a_download_without_end_is_stopped_by_the_budget(inputs, storage, watch, monkeypatch):
    monkeypatch.setattr(disk, "_LOOK_EVERY", 0.01)
    await fails(inputs(("/a", {"Bytes": 2000, "Wait": True}), watch=watch(1000)), "disk quota", Reason.QUOTA)
    assert storage.cancelled == ["/a"]
