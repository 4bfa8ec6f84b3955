"""The object store, against a real server."""

from __future__ import annotations

import asyncio
import hashlib
import os
import tracemalloc
from base64 import urlsafe_b64encode

import nats.js.errors
import pytest

from bacalhau_nats.errors import NotFound, StorageFull, Unavailable
from bacalhau_nats.messaging.blobs import ObjectStore
from tests.support.waiting import eventually

MIB = 1024 * 1024


@pytest.fixture
def store(bus):
    return ObjectStore(bus, bus.cell.bucket("results"), max_bytes=100 * MIB)


async def _get(store, name) -> bytes:
    return b"".join([chunk async for chunk in store.get(name)])


async def _messages(bus) -> int:
    return (await bus.jetstream.stream_info(f"OBJ_{bus.cell.bucket('results')}")).state.messages


@pytest.mark.parametrize("size", [0, 1, 128 * 1024, 128 * 1024 + 1, 3 * MIB + 7])
async def test_bytes_come_back_as_they_were_put(store, size):
    data = os.urandom(size)
    assert await store.put("a/b c.bin", data) == size
    assert await _get(store, "a/b c.bin") == data
    assert await store.size("a/b c.bin") == size


async def test_other_nats_clients_read_our_objects_and_we_theirs(store, bus):
    data = os.urandom(300_000)
    await store.put("ours", data)
    theirs = await bus.jetstream.object_store(bus.cell.bucket("results"))
    assert (await theirs.get("ours")).data == data
    await theirs.put("theirs", data[::-1])
    assert await _get(store, "theirs") == data[::-1]
    await theirs.delete("theirs")
    with pytest.raises(NotFound):
        await store.size("theirs")
    assert set(await store.names()) == {"ours"}


async def test_fifty_megabytes_stream_through_little_memory(store, tmp_path):
    path, wanted = tmp_path / "big", hashlib.sha256()
    with path.open("wb") as file:
        for _ in range(50):
            block = os.urandom(MIB)
            wanted.update(block)
            file.write(block)
    tracemalloc.start()
    try:
        assert await store.put("big", path) == 50 * MIB
        found = hashlib.sha256()
        async for chunk in store.get("big"):
            found.update(chunk)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert found.digest() == wanted.digest()
    assert peak < 12 * MIB


async def test_what_is_not_there_is_not_found(store):
    for _ in range(2):  # without a bucket, and with one
        with pytest.raises(NotFound, match="nothing"):
            await _get(store, "nothing")
        with pytest.raises(NotFound):
            await store.size("nothing")
        await store.delete("nothing")
        assert await store.names() == {}
        assert await store.sweep(0) == 0
        await store.ensure()


async def test_putting_again_replaces_and_frees_the_old_chunks(store, bus):
    await store.put("x", os.urandom(MIB))
    await store.put("x", b"new")
    assert await _get(store, "x") == b"new"
    assert await _messages(bus) == 2


async def test_deleting_leaves_nothing(store, bus):
    await store.put("x", os.urandom(MIB))
    await store.delete("x")
    assert await _messages(bus) == 0
    with pytest.raises(NotFound):
        await store.size("x")


async def test_names_tells_sizes_and_times_of_many(store):
    await asyncio.gather(*(store.put(f"n{number}", b"x" * number) for number in range(300)))
    names = await store.names()
    assert {name: info.size for name, info in names.items()} == {
        f"n{number}": number for number in range(300)
    }
    assert all(info.mtime > 1.7e9 for info in names.values())


async def test_a_put_that_is_cancelled_leaves_the_old_object(store, bus, tmp_path):
    await store.put("x", b"old")
    path = tmp_path / "big"
    path.write_bytes(os.urandom(30 * MIB))
    putting = asyncio.create_task(store.put("x", path))

    async def begun():
        return await _messages(bus) > 10

    await eventually(begun)
    putting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await putting
    assert await _get(store, "x") == b"old"
    assert await _messages(bus) == 2


async def test_chunks_of_a_killed_put_are_never_seen_and_are_swept(store, bus):
    await store.put("x", b"whole")
    orphan = f"$O.{bus.cell.bucket('results')}.C.dead"
    await bus.jetstream.publish(orphan, b"half")
    assert set(await store.names()) == {"x"}
    assert await store.sweep(3600) == 0
    assert await store.sweep(0) == 1
    assert await _messages(bus) == 2
    assert await _get(store, "x") == b"whole"


async def test_a_full_bucket_says_so_and_keeps_what_it_has(bus):
    store = ObjectStore(bus, bus.cell.bucket("results"), max_bytes=2 * MIB)
    await store.put("small", b"x")
    with pytest.raises(StorageFull):
        await store.put("large", os.urandom(4 * MIB))
    with pytest.raises(NotFound):
        await store.size("large")
    await store.put("medium", os.urandom(MIB))
    assert set(await store.names()) == {"small", "medium"}


async def test_changed_bytes_are_noticed(store, bus):
    await store.put("x", b"honest")
    info = (await store.names())["x"]
    chunks = f"$O.{bus.cell.bucket('results')}.C.{info.nuid}"
    stream = f"OBJ_{bus.cell.bucket('results')}"
    await bus.jetstream.purge_stream(stream, subject=chunks)
    await bus.jetstream.publish(chunks, b"forged")
    with pytest.raises(Unavailable, match="another digest"):
        await _get(store, "x")
    await bus.jetstream.purge_stream(stream, subject=chunks)
    with pytest.raises(Unavailable, match="not whole"):
        await _get(store, "x")
    assert urlsafe_b64encode(hashlib.sha256(b"honest").digest()).decode() in info.digest


async def test_a_restart_of_the_server_is_waited_for(own_bus, own_server, tmp_path):
    store = ObjectStore(own_bus, own_bus.cell.bucket("results"), max_bytes=100 * MIB)
    path = tmp_path / "big"
    path.write_bytes(os.urandom(20 * MIB))
    putting = asyncio.create_task(store.put("x", path))

    async def begun():
        try:
            return await _messages(own_bus) > 10
        except nats.js.errors.NotFoundError:
            return False

    await eventually(begun)
    await own_server.restart(kill=True)
    async with asyncio.timeout(20):
        assert await putting == 20 * MIB
        assert await _get(store, "x") == path.read_bytes()


async def test_a_file_that_is_not_there_is_an_error_and_stores_nothing(store, tmp_path):
    with pytest.raises(FileNotFoundError):
        await store.put("x", tmp_path / "missing")
    assert await store.names() == {}
