"""Content that the job carries becomes files."""

import asyncio
import base64
import hashlib

import pytest

from bacalhau_nats.domain.execution import Reason
from bacalhau_nats.domain.ids import NodeID
from bacalhau_nats.domain.spec import SpecConfig
from bacalhau_nats.ports import PluginContext, WorkFailed
from bacalhau_nats.storage.inline import open_inline
from bacalhau_nats.testing.storage import RecordedLog
from tests.support.memory_blobs import MemoryBlobs
from tests.support.tar import member, tar_gz


def data_url(data, media_type="application/octet-stream"):
    return SpecConfig(
        type="inline", params={"URL": f"data:{media_type};base64,{base64.b64encode(data).decode()}"}
    )


def stored(data, media_type="application/wasm", **changes):
    params = {
        "Digest": f"sha256:{hashlib.sha256(data).hexdigest()}",
        "MediaType": media_type,
        "Size": len(data),
    }
    return SpecConfig(type="inline", params=params | changes)


def blobs_of(*contents):
    return MemoryBlobs(**{hashlib.sha256(content).hexdigest(): content for content in contents})


def context(tmp_path, blobs=None, **settings):
    return PluginContext("test", NodeID("n-1"), tmp_path / "data", settings, blobs=blobs)


async def fetch(storage, source, into, target="/in/file"):
    return await storage.fetch(source, target, into, RecordedLog())


@pytest.mark.parametrize(
    ("url", "content"),
    [
        ("data:,hello%20world", b"hello world"),
        ("data:text/plain;charset=utf-8,%C3%BC", b"\xc3\xbc"),
        ("data:;base64,aGk=", b"hi"),
        ("data:text/plain;base64,aGk%3D", b"hi"),
        ('DATA:application/json,{"a":1}', b'{"a":1}'),
        ("data:,", b""),
    ],
)
async def test_a_data_url_is_a_read_only_file_at_its_target(url, content, tmp_path):
    async with open_inline(context(tmp_path)) as storage:
        volume = await fetch(storage, SpecConfig(type="inline", params={"url": url}), tmp_path / "into")
    assert volume.source.read_bytes() == content
    assert (volume.target, volume.read_only) == ("/in/file", True)
    assert volume.source.stat().st_mode & 0o222 == 0


@pytest.mark.parametrize("url", ["http://x/y", "data:text/plain", "data:;base64,a", "data:;base64,%%%", ""])
async def test_what_is_no_data_url_is_invalid(url, tmp_path):
    async with open_inline(context(tmp_path)) as storage:
        with pytest.raises(WorkFailed, match="not a data URL") as caught:
            await fetch(storage, SpecConfig(type="inline", params={"URL": url}), tmp_path / "into")
    assert caught.value.failure.reason is Reason.INVALID
    assert not caught.value.failure.retryable


async def test_the_same_small_file_costs_an_execution_no_disk(tmp_path):
    async with open_inline(context(tmp_path)) as storage:
        first = await fetch(storage, data_url(b"module"), tmp_path / "one")
        second = await fetch(storage, data_url(b"module"), tmp_path / "two")
    assert first.source == second.source
    assert not (tmp_path / "one").exists()
    assert not (tmp_path / "two").exists()


async def test_an_archive_is_unpacked_for_each_execution(tmp_path):
    source = data_url(tar_gz(member("a/x", b"1"), member("b", b"2")), "application/gzip")
    async with open_inline(context(tmp_path)) as storage:
        one = await fetch(storage, source, tmp_path / "one", "/in")
        two = await fetch(storage, source, tmp_path / "two", "/in")
    (one.source / "b").unlink()
    assert (two.source / "b").read_bytes() == b"2"
    assert (two.source / "a/x").read_bytes() == b"1"


@pytest.mark.parametrize(
    ("target", "is_file"),
    [
        ("/in/main.wasm", True),
        ("main.wasm", True),
        ("/other.wasm", True),
        ("/in", False),
        ("/in/main.wasm/", False),
    ],
)
async def test_an_archive_of_one_file_is_that_file_when_target_names_one(target, is_file, tmp_path):
    source = data_url(tar_gz(member("main.wasm", b"\0asm")), "application/gzip")
    async with open_inline(context(tmp_path)) as storage:
        volume = await fetch(storage, source, tmp_path / "into", target)
    assert volume.source.is_file() is is_file
    assert volume.target == target


async def test_a_hostile_archive_fails_the_work_and_writes_nothing_outside(tmp_path):
    source = data_url(tar_gz(member("../escape", b"x")), "application/gzip")
    async with open_inline(context(tmp_path)) as storage:
        with pytest.raises(WorkFailed, match="out of its folder") as caught:
            await fetch(storage, source, tmp_path / "into")
    assert caught.value.failure.reason is Reason.INVALID
    assert list(tmp_path.rglob("escape")) == []


async def test_an_archive_may_not_unpack_to_more_than_the_setting(tmp_path):
    source = data_url(tar_gz(member("zeros", bytes(10_000))), "application/gzip")
    async with open_inline(context(tmp_path, MaxSize=9_999)) as storage:
        with pytest.raises(WorkFailed, match="9999 bytes"):
            await fetch(storage, source, tmp_path / "into")


async def test_stored_content_is_fetched_once_for_many_at_once(tmp_path):
    blobs = blobs_of(b"x" * 50_000)
    async with open_inline(context(tmp_path, blobs)) as storage:
        volumes = await asyncio.gather(
            *(fetch(storage, stored(b"x" * 50_000), tmp_path / str(n)) for n in range(10))
        )
    assert blobs.reads == 1
    assert {volume.source.read_bytes() for volume in volumes} == {b"x" * 50_000}


async def test_a_stored_archive_is_unpacked(tmp_path):
    data = tar_gz(member("a/x", b"1"))
    async with open_inline(context(tmp_path, blobs_of(data))) as storage:
        volume = await fetch(storage, stored(data, "application/gzip"), tmp_path / "into", "/in")
    assert (volume.source / "a/x").read_bytes() == b"1"


async def test_wrong_content_is_not_handed_out_and_not_kept(tmp_path):
    blobs = blobs_of(b"right")
    digest = next(iter(blobs.stored))
    async with open_inline(context(tmp_path, blobs)) as storage:
        for wrong in (b"wrong", b"rig", b"right, and more"):
            blobs.stored[digest] = wrong
            with pytest.raises(WorkFailed, match="is not it") as caught:
                await fetch(storage, stored(b"right"), tmp_path / "into")
            assert caught.value.failure.reason is Reason.INPUT
        blobs.stored[digest] = b"right"
        assert (await fetch(storage, stored(b"right"), tmp_path / "into")).source.read_bytes() == b"right"
    assert [path.name for path in (tmp_path / "data/cache/inline").iterdir()] == [digest]


async def test_missing_content_names_the_input(tmp_path):
    async with open_inline(context(tmp_path, MemoryBlobs())) as storage:
        with pytest.raises(WorkFailed, match="/in/file: no blob"):
            await fetch(storage, stored(b"gone"), tmp_path / "into")
    async with open_inline(context(tmp_path)) as storage:
        with pytest.raises(WorkFailed, match="no object store"):
            await fetch(storage, stored(b"gone"), tmp_path / "into")


@pytest.mark.parametrize(
    "params",
    [
        {},
        {"URL": 5},
        {"Digest": "md5:abc"},
        {"Digest": "sha256:" + "../" * 21 + "a"},
        {"Digest": "sha256:" + "0" * 64},
    ],
)
async def test_parameters_that_cannot_work_are_refused(params, tmp_path):
    async with open_inline(context(tmp_path)) as storage:
        assert storage.refuses(SpecConfig(type="inline", params=params))
        with pytest.raises(WorkFailed):
            await fetch(storage, SpecConfig(type="inline", params=params), tmp_path / "into")


async def test_a_cache_entry_that_went_bad_is_fetched_again_after_a_restart(tmp_path):
    blobs = blobs_of(b"right")
    for _ in range(2):
        async with open_inline(context(tmp_path, blobs)) as storage:
            volume = await fetch(storage, stored(b"right"), tmp_path / "into")
        assert volume.source.read_bytes() == b"right"
        volume.source.chmod(0o644)
        volume.source.write_bytes(b"rotten")
    assert blobs.reads == 2


async def test_what_a_dead_process_left_half_written_is_removed(tmp_path):
    draft = tmp_path / "data/cache/inline/abc.part"
    draft.parent.mkdir(parents=True)
    draft.write_bytes(b"half")
    async with open_inline(context(tmp_path)):
        assert not draft.exists()


async def test_what_does_not_fit_into_the_cache_goes_to_the_execution(tmp_path):
    async with open_inline(context(tmp_path, CacheSize=10)) as storage:
        small = await fetch(storage, data_url(b"12345678"), tmp_path / "one")
        large = await fetch(storage, data_url(b"123456789"), tmp_path / "two")
    assert not (tmp_path / "one").exists()
    assert large.source.is_relative_to(tmp_path / "two")
    # The first was handed out a moment ago: it is still there for its execution.
    assert small.source.read_bytes() == b"12345678"
    cached = list((tmp_path / "data/cache/inline").iterdir())
    assert cached == [small.source]
