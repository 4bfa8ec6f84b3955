"""What the `ipfs` input source does when its IPFS node, or the content, is not as it should be."""

from __future__ import annotations

import asyncio
import json
import shutil
import tarfile
from collections import namedtuple
from contextlib import asynccontextmanager

import pytest

from bacalhau_nats.clients.ipfs import IPFSNode
from bacalhau_nats.clients.ipfs_address import parse_endpoint
from bacalhau_nats.domain.execution import Reason
from bacalhau_nats.domain.ids import NodeID
from bacalhau_nats.domain.locality import MOST, SMALL, input_digest
from bacalhau_nats.domain.spec import SpecConfig
from bacalhau_nats.errors import InvalidSettings
from bacalhau_nats.ports import WHOLE, Divisible, Holder, PluginContext, Share, WorkFailed
from bacalhau_nats.storage.ipfs import open_ipfs
from bacalhau_nats.storage.ipfs_held import HeldContent
from bacalhau_nats.testing.storage import RecordedLog
from tests.support.http_server import breaks_off, http_server, says
from tests.support.tar import member, tar

CID = "QmSBkVYvBhU9LAADgAw1viBdrZUjBbS5fchxZJ2FXzWvwP"
SOURCE = SpecConfig(type="ipfs", params={"CID": CID})
JSON = "Content-Type: application/json"
FOLDER = tar(member(CID, type=tarfile.DIRTYPE, mode=0o755), member(f"{CID}/a", b"1"))


def stat(size=1000, kind="directory"):
    said = {"Hash": CID, "Size": 0, "CumulativeSize": size, "Type": kind}
    return says(json.dumps(said).encode(), "200 OK", JSON)


def local(there):
    said = {"Hash": CID, "CumulativeSize": 1, "Type": "file", "WithLocality": True, "Local": there}
    return says(json.dumps(said).encode(), "200 OK", JSON)


def error(message):
    said = {"Message": message, "Code": 0, "Type": "error"}
    return says(json.dumps(said).encode(), "500 Internal Server Error", JSON)


async def silent(_writer):
    await asyncio.Event().wait()


@pytest.fixture
async def ipfs():
    async with http_server() as server:
        server.on("/api/v0/files/stat", stat())
        server.on("/api/v0/get", says(FOLDER))
        yield server


def asked(server, call):
    return sum(head.startswith(f"POST /api/v0/{call}") for head in server.requests)


@asynccontextmanager
async def opened(server, folder, **settings):
    given = {"Endpoint": server.url(""), "RetryWait": 0, **settings}
    async with open_ipfs(PluginContext("test", NodeID("n"), folder, given)) as storage:
        yield storage


async def fetched(server, tmp_path, **settings):
    async with opened(server, tmp_path, **settings) as storage:
        return await storage.fetch(SOURCE, "/in", tmp_path / "into", RecordedLog())


async def failure(server, tmp_path, **settings):
    with pytest.raises(WorkFailed) as caught:
        await fetched(server, tmp_path, **settings)
    return caught.value.failure


async def test_a_folder_lies_at_its_target(ipfs, tmp_path):
    volume = await fetched(ipfs, tmp_path)
    assert (volume.target, volume.read_only) == ("/in", True)
    assert (volume.source / "a").read_bytes() == b"1"


async def test_what_is_too_large_is_refused_before_anything_is_written(ipfs, tmp_path):
    ipfs.on("/api/v0/files/stat", stat(size=5_000_001))
    failed = await failure(ipfs, tmp_path, MaxSize=5_000_000)
    assert (failed.reason, failed.retryable) == (Reason.INPUT, False)
    assert CID in failed.message
    assert "at most 5.0 MB" in failed.message
    assert not (tmp_path / "into").exists()
    assert asked(ipfs, "get") == 0


async def test_what_is_more_than_the_disk_of_its_execution_is_refused_before_any_download(ipfs, tmp_path):
    async with opened(ipfs, tmp_path) as storage:
        assert isinstance(storage, Divisible)
        with pytest.raises(
            WorkFailed, match=r"1\.0 kB of disk, more than the 999 B of this execution"
        ) as caught:
            await storage.share(Share(budget=999)).fetch(SOURCE, "/in", tmp_path / "into", RecordedLog())
        assert (caught.value.failure.reason, caught.value.failure.retryable) == (Reason.DISK, False)
        assert asked(ipfs, "get") == 0
        await storage.share(Share(budget=1000)).fetch(SOURCE, "/in", tmp_path / "into", RecordedLog())


async def test_what_the_disk_has_no_room_for_is_refused_and_may_go_elsewhere(ipfs, tmp_path, monkeypatch):
    usage = namedtuple("usage", "total used free")  # noqa: PYI024 - as shutil has it
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(1000, 1, 999))
    failed = await failure(ipfs, tmp_path)
    assert (failed.reason, failed.retryable) == (Reason.DISK, True)
    assert asked(ipfs, "get") == 0


async def test_content_that_is_larger_than_said_is_stopped(ipfs, tmp_path):
    ipfs.on("/api/v0/get", says(tar(member(CID, b"x" * 200_000))))
    failed = await failure(ipfs, tmp_path, MaxSize=100_000, MaxRetryCount=0)
    assert "larger than the 100000 bytes" in failed.message


async def test_content_that_nobody_has_is_told_with_its_cid_and_who_was_asked(ipfs, tmp_path):
    ipfs.on("/api/v0/files/stat", silent)
    failed = await failure(ipfs, tmp_path, ReadTimeout=0.2)
    assert f"nobody gave {CID} to the IPFS node at {ipfs.url('')} within 0.2 s" in failed.message
    assert (failed.reason, failed.retryable) == (Reason.INPUT, True)
    assert "connected" in failed.hint
    assert asked(ipfs, "files/stat") == 1


async def test_content_that_is_cut_off_is_fetched_again(ipfs, tmp_path):
    between_members = FOLDER[:1024]
    ipfs.on(
        "/api/v0/get",
        breaks_off(FOLDER[:1500], len(FOLDER)),
        says(FOLDER[:700]),
        says(between_members),
        says(FOLDER),
    )
    volume = await fetched(ipfs, tmp_path)
    assert (volume.source / "a").read_bytes() == b"1"
    assert asked(ipfs, "get") == 4


async def test_content_that_stops_coming_is_given_up_in_words(ipfs, tmp_path):
    async def stalls(writer):
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n200\r\n" + FOLDER[:512])
        await asyncio.Event().wait()

    ipfs.on("/api/v0/get", stalls)
    failed = await failure(ipfs, tmp_path, ReadTimeout=0.3, MaxRetryCount=1)
    assert f"nothing came from the IPFS node at {ipfs.url('')} within 0.3 s" in failed.message
    assert "gave up after 2 tries" in failed.message


@pytest.mark.parametrize(
    "members",
    [
        [member("../escape", b"x")],
        [member(CID, linkname="/etc/passwd", type=tarfile.SYMTYPE)],
        [member(f"{CID}/a", b"1"), member("second", b"2")],
        [],
    ],
    ids=["climbs", "link", "two roots", "nothing"],
)
async def test_hostile_content_does_no_harm(members, ipfs, tmp_path):
    ipfs.on("/api/v0/get", says(tar(*members)))
    failed = await failure(ipfs, tmp_path, MaxRetryCount=0)
    assert failed.reason is Reason.INPUT
    assert not (tmp_path / "escape").exists()


async def test_what_the_ipfs_node_says_is_passed_on(ipfs, tmp_path):
    ipfs.on("/api/v0/files/stat", error("merkledag: is not feeling well"))
    assert "merkledag: is not feeling well" in (await failure(ipfs, tmp_path)).message
    assert asked(ipfs, "files/stat") == 1


@pytest.mark.parametrize(
    "answer",
    [says(b"<html>", "200 OK", "Content-Type: text/html"), says(b"", "404 Not Found"), says(b"[", "500 No")],
)
async def test_what_is_no_ipfs_node_is_told(answer, ipfs, tmp_path):
    ipfs.on("/api/v0/version", answer)
    ipfs.on("/api/v0/files/stat", answer)
    async with opened(ipfs, tmp_path) as storage:
        health = await storage.check()
        assert (health.ok, ipfs.url("") in health.why) == (False, True)
    assert ipfs.url("") in (await failure(ipfs, tmp_path, MaxRetryCount=0)).message


async def test_an_ipfs_node_that_is_not_there_is_tried_again_and_told(ipfs, tmp_path):
    port = ipfs.port
    async with opened(ipfs, tmp_path, Endpoint="/ip4/127.0.0.1/tcp/9", MaxRetryCount=2) as storage:
        health = await storage.check()
        assert not health.ok
        logs = RecordedLog()
        with pytest.raises(WorkFailed, match=r"127.0.0.1:9 cannot be reached \(gave up after 3 tries\)"):
            await storage.fetch(SOURCE, "/in", tmp_path / "into", logs)
        assert sum("trying again" in event for event in logs.events) == 2
    assert port == ipfs.port


async def test_a_fetch_that_is_cancelled_while_nothing_comes_ends_at_once(ipfs, tmp_path):
    begun = asyncio.Event()

    async def stalls(writer):
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n200\r\n" + FOLDER[:512])
        begun.set()
        await asyncio.Event().wait()

    ipfs.on("/api/v0/get", stalls)
    running = asyncio.create_task(fetched(ipfs, tmp_path))
    await begun.wait()
    running.cancel()
    done, _ = await asyncio.wait({running}, timeout=5)
    assert running in done
    assert running.cancelled()


@pytest.mark.parametrize(
    ("pin", "here", "has"), [(True, False, True), (False, True, True), (False, False, False)]
)
async def test_it_knows_what_its_ipfs_node_holds_itself(pin, here, has, ipfs, tmp_path):
    pinned = says(json.dumps({"Keys": {CID: {"Type": "recursive"}}}).encode(), "200 OK", JSON)
    ipfs.on("/api/v0/pin/ls", pinned if pin else error(f"path '{CID}' is not pinned"))
    ipfs.on("/api/v0/files/stat", local(here))
    async with opened(ipfs, tmp_path) as storage:
        assert await storage.has(SOURCE) is has
        assert await storage.has(SpecConfig(type="ipfs", params={"CID": "nonsense"})) is False


async def test_what_was_fetched_is_held_until_its_ipfs_node_has_it_no_more(ipfs, tmp_path):
    ipfs.on("/api/v0/pin/ls", says(b'{"Keys": {}}', "200 OK", JSON))
    ipfs.on("/api/v0/files/stat", stat(size=1_000_000))
    async with opened(ipfs, tmp_path) as storage:
        assert isinstance(storage, Holder)
        assert storage.held() == {}
        await storage.share(WHOLE).fetch(SOURCE, "/in", tmp_path / "into", RecordedLog())
        assert storage.held() == {input_digest(SOURCE): 1_000_000}
    held = HeldContent(IPFSNode(parse_endpoint(ipfs.url(""))))
    held.note(SOURCE, CID, 1_000_000)
    ipfs.on("/api/v0/pin/ls", says(b'{"Keys": {}}', "200 OK", JSON), error("not pinned"))
    ipfs.on("/api/v0/files/stat", local(True))
    await held.look()
    assert held.held() == {input_digest(SOURCE): 1_000_000}
    ipfs.on("/api/v0/pin/ls", says(b"", "503 Away"))
    await held.look()
    assert held.held() == {input_digest(SOURCE): 1_000_000}
    ipfs.on("/api/v0/pin/ls", says(b'{"Keys": {}}', "200 OK", JSON), error("not pinned"))
    ipfs.on("/api/v0/files/stat", local(False))
    await held.look()
    assert held.held() == {}


async def test_what_is_pinned_is_held_with_its_size_asked_once(ipfs):
    ipfs.on(
        "/api/v0/pin/ls", says(json.dumps({"Keys": {CID: {"Type": "recursive"}}}).encode(), "200 OK", JSON)
    )
    ipfs.on("/api/v0/files/stat", stat(size=700_000))
    held = HeldContent(IPFSNode(parse_endpoint(ipfs.url(""))))
    await held.look()
    await held.look()
    assert held.held() == {input_digest(SOURCE): 700_000}
    assert asked(ipfs, "files/stat") == 1


def test_of_too_much_the_largest_is_remembered():
    held = HeldContent(IPFSNode(parse_endpoint("http://127.0.0.1:9")))
    sizes = [SMALL + (number * 7919) % 1000 for number in range(MOST + 50)]
    for number, size in enumerate([*sizes, SMALL - 1]):
        held.note(SpecConfig(type="ipfs", params={"CID": str(number)}), str(number), size)
    assert sorted(held.held().values()) == sorted(sizes)[-MOST:]


async def test_an_address_that_cannot_be_used_is_told_with_its_key(ipfs, tmp_path):
    with pytest.raises(InvalidSettings, match=r"InputSources\.Types\.IPFS\.Endpoint: 'localhost:5001'"):
        await fetched(ipfs, tmp_path, Endpoint="localhost:5001")
