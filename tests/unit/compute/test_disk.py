"""What one execution may take of the disk, and what the node keeps."""

import asyncio
import errno
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bacalhau_nats.compute import disk
from bacalhau_nats.compute.disk import DiskReserve, DiskWatch, can_fill, disk_use, verdict, watched
from bacalhau_nats.compute.folders import ExecutionFolder
from bacalhau_nats.domain.execution import Reason
from bacalhau_nats.domain.ids import ExecutionID
from bacalhau_nats.domain.spec import InputSource, ResultPath, SpecConfig, Task
from bacalhau_nats.ports import Volume, WorkFailed

amounts = st.integers(0, 10**6)


@given(amounts, amounts, amounts, st.sampled_from(["", "is full"]))
def test_a_verdict_falls_exactly_beyond_the_quota_or_for_writing_on_a_full_disk(
    used, before, allowed, missing
):
    found = verdict(used, before, allowed, missing)
    over = 0 < allowed < used
    assert (found is not None and found.reason is Reason.QUOTA) == over
    assert (found is not None and found.reason is Reason.DISK) == (
        not over and bool(missing) and used > before
    )


@given(amounts, amounts, amounts, st.floats(0.01, 100), st.floats(0, 10))
def test_looks_are_neither_too_rare_nor_too_costly(used, before, allowed, since, took):
    found = disk.pause(used, before, allowed, since=since, took=took)
    assert found >= 20 * took
    assert 0.05 <= found <= max(0.5, 20 * took)


@given(st.integers(1, 10**6), st.integers(1, 10**6))
def test_at_the_pace_it_has_an_execution_does_not_reach_its_quota_unseen(grown, left):
    found = disk.pause(grown, 0, grown + left, since=1.0, took=0.0)
    assert found == 0.05 or grown * found <= left


@pytest.fixture
def folder(tmp_path):
    made = ExecutionFolder(tmp_path, ExecutionID("e-1"))
    for part in (made.inputs, made.outputs, made.results, made.scratch):
        part.mkdir(parents=True)
    return made


def test_inputs_outputs_and_kept_output_count_and_the_engines_own_files_do_not(folder, tmp_path):
    (folder.inputs / "a").write_bytes(bytes(10))
    (folder.outputs / "b").write_bytes(bytes(100))
    (folder.results / "stdout").write_bytes(bytes(1000))
    (folder.scratch / "d").write_bytes(bytes(10**6))
    DiskWatch(folder, 1110, DiskReserve(tmp_path)).look()
    with pytest.raises(WorkFailed, match=r"takes 1.1 kB of disk and may take 1.1 kB|disk quota"):
        DiskWatch(folder, 1109, DiskReserve(tmp_path)).look()


def test_inputs_in_a_cache_count_and_lent_ones_do_not(folder, tmp_path):
    data, lent = tmp_path / "data", tmp_path / "lent"
    (data / "cache").mkdir(parents=True)
    lent.mkdir()
    for path in (data / "cache/x", lent / "y"):
        path.write_bytes(bytes(500))
    watch = DiskWatch(folder, 499, DiskReserve(tmp_path))
    watch.share([Volume(lent / "y", "/y")], data)
    watch.look()
    watch.share([Volume(data / "cache/x", "/x"), Volume(lent / "y", "/y")], data)
    with pytest.raises(WorkFailed, match="disk quota"):
        watch.look()


def test_a_file_with_two_names_counts_once_and_links_are_not_followed(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a/x").write_bytes(bytes(300))
    os.link(tmp_path / "a/x", tmp_path / "a/y")
    (tmp_path / "a/loop").symlink_to(tmp_path / "a")
    assert disk_use(tmp_path / "a") == 300
    assert disk_use(tmp_path / "a/x") == 300
    assert disk_use(tmp_path / "nothing") == 0


def test_a_reserve_is_missing_while_less_is_free(tmp_path):
    assert DiskReserve(tmp_path, 100, lambda _: 100).missing() == ""
    assert "has no disk to spare" in DiskReserve(tmp_path, 100, lambda _: 99).missing()
    assert DiskReserve(tmp_path).missing() == ""
    gone = OSError(errno.EIO, "Input/output error")
    assert "Input/output error" in DiskReserve(tmp_path, 1, lambda _: raises(gone)).missing()
    assert DiskReserve(tmp_path, 1).missing() == ""  # the real one


def raises(error):
    raise error


async def test_work_is_cancelled_before_its_failure_is_told(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(disk, "_LOOK_EVERY", 0.01)
    steps = []

    async def run():
        (folder.outputs / "a").write_bytes(bytes(10))
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            steps.append("removed")

    with pytest.raises(WorkFailed, match="disk quota"):
        await watched(run(), DiskWatch(folder, 5, DiskReserve(tmp_path)))
    assert steps == ["removed"]


async def test_cancelling_ends_the_work_first(folder, tmp_path):
    ended = asyncio.Event()

    async def run():
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    task = asyncio.create_task(watched(run(), DiskWatch(folder, 5, DiskReserve(tmp_path))))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert ended.is_set()


async def test_what_the_work_says_comes_out_when_there_is_disk(folder, tmp_path):
    async def good():
        return 7

    async def bad():
        raise WorkFailed("no")

    watch = DiskWatch(folder, 5, DiskReserve(tmp_path))
    assert await watched(good(), watch) == await watched(good(), None) == 7
    with pytest.raises(WorkFailed, match="no"):
        await watched(bad(), watch)


def test_only_what_can_fill_a_disk_is_watched():
    assert not can_fill(Task(), 0)
    assert not can_fill(Task(input_sources=(InputSource(source=SpecConfig(type="inline")),)), 0)
    assert can_fill(Task(), 1)
    assert can_fill(Task(result_paths=(ResultPath(name="a", path="/a"),)), 0)
    assert can_fill(Task(input_sources=(InputSource(source=SpecConfig(type="urlDownload")),)), 0)
