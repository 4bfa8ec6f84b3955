"""A results folder survives the way into an archive and back."""

import asyncio
import hashlib
import os
import tarfile
import threading

import pytest

from bacalhau_nats.errors import BadArchive
from bacalhau_nats.publishers import archive as module
from bacalhau_nats.publishers.archive import pack, unpack
from tests.support.tar import member, tar_gz


@pytest.fixture
def results(tmp_path):
    folder = tmp_path / "results"
    (folder / "out/deep").mkdir(parents=True)
    (folder / "empty").mkdir()
    (folder / "stdout").write_bytes(b"hello\n")
    (folder / "out/deep/data").write_bytes(bytes(range(256)) * 1000)
    (folder / "out/run").write_bytes(b"#!")
    (folder / "out/run").chmod(0o750)
    os.utime(folder / "stdout", (1_600_000_000, 1_600_000_000.7))
    return folder


def names(path):
    with tarfile.open(path) as tar:
        return tar.getnames()


async def test_what_goes_in_comes_out(results, tmp_path):
    packed = await pack(results, tmp_path / "new/folder/r.tar.gz")
    got = await unpack(tmp_path / "new/folder/r.tar.gz", tmp_path / "back")
    back = tmp_path / "back"
    assert set(got.files) == {"stdout", "out/run", "out/deep/data"}
    assert (back / "out/deep/data").read_bytes() == bytes(range(256)) * 1000
    assert (back / "out/run").stat().st_mode & 0o777 == 0o750
    assert (back / "stdout").stat().st_mtime == 1_600_000_000
    assert (back / "empty").is_dir()
    data = (tmp_path / "new/folder/r.tar.gz").read_bytes()
    assert (packed.size, packed.sha256) == (len(data), hashlib.sha256(data).hexdigest())


async def test_folders_come_before_their_files_and_names_are_relative(results, tmp_path):
    await pack(results, tmp_path / "r.tar.gz")
    listed = names(tmp_path / "r.tar.gz")
    assert listed[0] == "."
    assert set(listed[1:]) == {"stdout", "empty", "out", "out/run", "out/deep", "out/deep/data"}
    for at, name in enumerate(listed):
        parent = os.path.dirname(name)  # noqa: PTH120 - a name in an archive
        assert not parent or parent in listed[:at]


async def test_the_same_folder_gives_the_same_bytes(results, tmp_path):
    one = await pack(results, tmp_path / "one.tar.gz")
    two = await pack(results, tmp_path / "two.tar.gz")
    assert one == two


async def test_links_are_not_followed_and_special_files_are_left_out(results, tmp_path):
    (tmp_path / "secret").write_text("secret")
    (results / "link").symlink_to(tmp_path / "secret")
    (results / "folder-link").symlink_to("/etc")
    os.mkfifo(results / "pipe")
    await asyncio.wait_for(pack(results, tmp_path / "r.tar.gz"), 5)
    with tarfile.open(tmp_path / "r.tar.gz") as tar:
        assert tar.getmember("link").issym()
        assert tar.getmember("folder-link").issym()
        assert not [name for name in tar.getnames() if name.startswith("folder-link/") or name == "pipe"]
    got = await unpack(tmp_path / "r.tar.gz", tmp_path / "back")
    assert "link" not in got.files
    assert not (tmp_path / "back/link").is_symlink()


async def test_a_file_with_two_names_is_there_twice(results, tmp_path):
    """The public client skips hard links: as one, the second name would be lost."""
    os.link(results / "stdout", results / "twin")
    await pack(results, tmp_path / "r.tar.gz")
    await unpack(tmp_path / "r.tar.gz", tmp_path / "back")
    assert (tmp_path / "back/twin").read_bytes() == (tmp_path / "back/stdout").read_bytes() == b"hello\n"


async def test_names_that_are_no_text_survive(results, tmp_path):
    name = b"\xff\xfe".decode("utf-8", "surrogateescape")
    (results / name).write_bytes(b"1")
    await pack(results, tmp_path / "r.tar.gz")
    await unpack(tmp_path / "r.tar.gz", tmp_path / "back")
    assert (tmp_path / "back" / name).read_bytes() == b"1"


async def test_a_failed_pack_leaves_neither_archive_nor_draft(tmp_path):
    with pytest.raises(FileNotFoundError):
        await pack(tmp_path / "missing", tmp_path / "out/r.tar.gz")
    assert list((tmp_path / "out").iterdir()) == []


async def test_a_failed_pack_keeps_the_archive_that_was_there(results, tmp_path):
    await pack(results, tmp_path / "r.tar.gz")
    before = (tmp_path / "r.tar.gz").read_bytes()
    with pytest.raises(FileNotFoundError):
        await pack(tmp_path / "missing", tmp_path / "r.tar.gz")
    assert (tmp_path / "r.tar.gz").read_bytes() == before


async def test_cancelling_stops_the_thread_before_it_returns(results, tmp_path, monkeypatch):
    reached, go = threading.Event(), threading.Event()
    add = module._add

    def slow(*args):
        reached.set()
        go.wait(5)
        add(*args)

    monkeypatch.setattr(module, "_add", slow)
    task = asyncio.create_task(pack(results, tmp_path / "out/r.tar.gz"))
    await asyncio.to_thread(reached.wait, 5)
    task.cancel()
    await asyncio.sleep(0)
    go.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert list((tmp_path / "out").iterdir()) == []


async def test_a_hostile_result_is_refused(tmp_path):
    (tmp_path / "r.tar.gz").write_bytes(tar_gz(member("../escape", b"x")))
    with pytest.raises(BadArchive, match="out of its folder"):
        await unpack(tmp_path / "r.tar.gz", tmp_path / "back")
    assert not (tmp_path / "escape").exists()
