"""The cache stays within its bound and never takes what may be in use."""

import asyncio
import hashlib
import os

import pytest

from bacalhau_nats.storage.cache import GRACE, BlobCache


class Now:
    value = 10_000.0

    def __call__(self):
        return self.value


async def put(cache, data, spare):
    async def content():
        yield data

    return await cache.get(hashlib.sha256(data).hexdigest(), len(data), content, spare)


@pytest.fixture
def now():
    return Now()


@pytest.fixture
def cache(tmp_path, now):
    made = BlobCache(tmp_path / "cache", 100, monotonic=now)
    made.load()
    return made


async def test_the_longest_unused_makes_room(cache, now, tmp_path):
    first = await put(cache, b"1" * 40, tmp_path)
    now.value += 1
    second = await put(cache, b"2" * 40, tmp_path)
    now.value += 1
    await put(cache, b"1" * 40, tmp_path)  # used again
    now.value += GRACE
    third = await put(cache, b"3" * 40, tmp_path)
    assert (first.exists(), second.exists(), third.exists()) == (True, False, True)


async def test_what_was_handed_out_lately_stays(cache, now, tmp_path):
    paths = [await put(cache, bytes([n]) * 50, tmp_path) for n in (1, 2)]
    now.value += GRACE - 1
    spare = await put(cache, b"3" * 50, tmp_path / "spare")
    assert all(path.exists() for path in paths)
    assert spare.parent == tmp_path / "spare"


async def test_a_cancelled_download_gives_its_room_back(cache, tmp_path):
    async def stuck():
        yield b"4"
        await asyncio.Event().wait()

    task = asyncio.create_task(cache.get("0" * 64, 100, stuck, tmp_path))
    await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    path = await put(cache, b"5" * 100, tmp_path / "spare")
    assert path.parent == tmp_path / "cache"
    assert [found.name for found in path.parent.iterdir()] == [path.name]


async def test_a_restarted_process_knows_what_is_there(cache, now, tmp_path):
    path = await put(cache, b"6" * 90, tmp_path)
    later = BlobCache(tmp_path / "cache", 100, monotonic=now)
    later.load()
    new = await put(later, b"7" * 90, tmp_path / "spare")
    assert new.parent == tmp_path / "cache"
    assert not path.exists()


async def adopt(cache, data, folder):
    folder.mkdir(exist_ok=True)
    file = folder / "file"
    file.write_bytes(data)
    return await cache.adopt(file, hashlib.sha256(data).hexdigest(), len(data))


async def test_a_file_that_was_downloaded_moves_in_once(cache, tmp_path):
    digest = hashlib.sha256(b"x" * 40).hexdigest()
    first = await adopt(cache, b"x" * 40, tmp_path / "a")
    second = await adopt(cache, b"x" * 40, tmp_path / "b")
    assert first == second == tmp_path / "cache" / digest
    assert not (tmp_path / "a/file").exists()
    assert await cache.find(digest) == first
    assert await cache.find("0" * 64) is None


async def test_a_file_for_which_there_is_no_room_stays_where_it_is(cache, tmp_path):
    await put(cache, b"1" * 80, tmp_path)
    assert await adopt(cache, b"x" * 40, tmp_path / "a") == tmp_path / "a/file"


async def test_content_that_was_damaged_meanwhile_is_not_handed_out(cache, tmp_path):
    digest = hashlib.sha256(b"x" * 40).hexdigest()
    path = await adopt(cache, b"x" * 40, tmp_path / "a")
    path.chmod(0o644)
    path.write_bytes(b"y" * 40)
    later = BlobCache(tmp_path / "cache", 100)
    later.load()
    assert later.has(digest)
    assert await later.find(digest) is None
    assert not path.exists()


async def test_shrinking_takes_what_nobody_used_lately(cache, now, tmp_path):
    old = await put(cache, b"1" * 40, tmp_path)
    now.value += GRACE
    new = await put(cache, b"2" * 40, tmp_path)
    cache.shrink()
    assert (old.exists(), new.exists()) == (False, True)


async def test_a_later_process_forgets_first_what_was_unused_for_longest(cache, now, tmp_path):
    first = await put(cache, b"1" * 40, tmp_path)
    second = await put(cache, b"2" * 40, tmp_path)
    os.utime(first, (1000, 1000))
    os.utime(second, (2000, 2000))
    now.value += 120
    await put(cache, b"1" * 40, tmp_path)  # used again, which is noted on disk
    later = BlobCache(tmp_path / "cache", 100, monotonic=now)
    later.load()
    await put(later, b"3" * 40, tmp_path)
    assert (first.exists(), second.exists()) == (True, False)
