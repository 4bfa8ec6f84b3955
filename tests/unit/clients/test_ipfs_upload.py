"""Folders are sent to IPFS nodes that answer early, late, slowly or not at all."""

from __future__ import annotations

import asyncio
import os
import resource
from contextlib import asynccontextmanager, closing, suppress
from pathlib import Path
from urllib.parse import unquote_to_bytes

import pytest

from bacalhau_nats.clients.ipfs_address import parse_endpoint
from bacalhau_nats.clients.ipfs_upload import _multipart, add
from bacalhau_nats.errors import BacalhauError, Unavailable

ROOT = b'{"Name":"results","Hash":"Qm-root"}\n'
HEAD = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Stream-Error\r\n\r\n"


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


@asynccontextmanager
async def node(handle):
    """An IPFS node that does as ``handle`` says; give its address."""
    tasks = set()

    async def serve(reader, writer):
        tasks.add(asyncio.current_task())
        with closing(writer), suppress(ConnectionError, asyncio.IncompleteReadError, ValueError):
            await reader.readuntil(b"\r\n\r\n")
            await handle(reader, writer)
            await writer.drain()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield parse_endpoint(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def body_of(reader) -> bytes:
    body = b""
    while size := int(await reader.readline(), 16):
        body += await reader.readexactly(size)
        await reader.readline()
    await reader.readline()
    return body


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "results/sub").mkdir(parents=True)
    (tmp_path / "results/a").write_bytes(b"1")
    return tmp_path / "results"


async def test_a_node_that_waits_until_its_answers_are_read_gets_all(folder):
    """It takes a piece, answers eight times as much, and takes no more until that is gone."""
    (folder / "large").write_bytes(bytes(8_000_000))
    taken = 0

    async def minds_back_pressure(reader, writer):
        nonlocal taken
        writer.transport.set_write_buffer_limits(high=0)
        writer.write(HEAD)
        last = b""
        while not last.endswith(b"\r\n0\r\n\r\n"):
            data = await reader.read(65536)
            taken, last = taken + len(data), (last + data)[-16:]
            writer.write(chunk(b'{"Name":"results/x","Hash":"Qm-x"}\n' * (len(data) * 8 // 35 + 1)))
            await writer.drain()
        writer.write(chunk(ROOT) + b"0\r\n\r\n")

    async with node(minds_back_pressure) as endpoint:
        assert await add(endpoint, folder, idle=20) == "Qm-root"
    assert taken > 8_000_000


async def test_an_error_in_the_trailer_is_told(folder):
    for trailer in (b'{"Message":"the disk is full","Code":0}', b"the disk is full"):

        async def fails_late(reader, writer, trailer=trailer):
            await body_of(reader)
            writer.write(HEAD + chunk(b'{"Name":"results/a","Hash":"Qm-a"}\n'))
            writer.write(b"0\r\nX-Stream-Error: " + trailer + b"\r\n\r\n")

        async with node(fails_late) as endpoint:
            with pytest.raises(BacalhauError, match=f"{endpoint.url} says: the disk is full$"):
                await add(endpoint, folder, idle=20)


async def test_a_refusal_is_told_although_the_node_takes_no_more(folder):
    (folder / "large").write_bytes(bytes(8_000_000))

    async def refuses(_reader, writer):
        writer.write(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 19\r\n\r\n403 - not from here")

    async with node(refuses) as endpoint:
        with pytest.raises(BacalhauError, match=r"not from here|reset") as caught:
            await add(endpoint, folder, idle=20)
    assert endpoint.url in caught.value.message


async def test_a_refusal_without_a_word_is_told_at_once_by_its_status(folder):
    (folder / "large").write_bytes(bytes(20_000_000))

    async def refuses(_reader, writer):
        writer.write(b"HTTP/1.1 507 Insufficient Storage\r\nContent-Length: 0\r\n\r\n")
        await writer.drain()
        await asyncio.Event().wait()

    async with node(refuses) as endpoint:
        with pytest.raises(BacalhauError, match=r"says: HTTP status 507$"):
            await add(endpoint, folder, idle=60)


@pytest.mark.parametrize(
    "end", [b"", chunk(b'{"Name":"results/a","Hash":"Qm-a"}\n') + b"0\r\n\r\n", chunk(ROOT[:9])]
)
async def test_a_node_that_breaks_off_is_told(end, folder):
    async def breaks_off(reader, writer):
        await body_of(reader)
        writer.write(HEAD + end)

    async with node(breaks_off) as endpoint:
        with pytest.raises(Unavailable, match=endpoint.url):
            await add(endpoint, folder, idle=20)


@pytest.mark.parametrize("reads", [True, False], ids=["does not answer", "does not read"])
async def test_a_node_that_does_nothing_is_given_up(reads, folder):
    (folder / "large").write_bytes(bytes(20_000_000))

    async def hangs(reader, _writer):
        if reads:
            await body_of(reader)
        await asyncio.Event().wait()

    async with node(hangs) as endpoint:
        with pytest.raises(Unavailable, match=r"made no progress within 0\.5 s"):
            await add(endpoint, folder, idle=0.5)


async def test_a_folder_that_cannot_be_read_ends_the_upload(folder):
    async def waits(reader, _writer):
        await body_of(reader)

    async with node(waits) as endpoint:
        with pytest.raises(FileNotFoundError):
            await add(endpoint, folder / "missing", idle=20)


async def test_nobody_there_is_told(folder):
    with pytest.raises(Unavailable, match=r"http://127.0.0.1:9 cannot be used: Connect call failed"):
        await add(parse_endpoint("/ip4/127.0.0.1/tcp/9"), folder, idle=20)


def test_links_and_pipes_are_left_out_and_every_name_is_kept(folder, tmp_path):
    (tmp_path / "secret").write_text("secret")
    (folder / "link").symlink_to(tmp_path / "secret")
    (folder / "sub/up").symlink_to("..")
    os.mkfifo(folder / "pipe")
    names = ['a+b %41"&;=', "größe", "x", "with\nline"]
    for name in names:
        (folder / "sub" / name).write_text(name)
    os.close(os.open(os.fsencode(folder) + b"/\xff\xfe", os.O_CREAT))
    body = b"".join(_multipart(folder, "BOUNDARY"))
    heads = [part.partition(b"\r\n\r\n")[0] for part in body.split(b"--BOUNDARY")[1:-1]]
    sent = [unquote_to_bytes(head.partition(b'filename="')[2].partition(b'"')[0]) for head in heads]
    wanted = [
        b"results",
        b"results/a",
        b"results/sub",
        *(b"results/sub/" + os.fsencode(n) for n in sorted(names)),
    ]
    assert sent == [*wanted, b"results/\xff\xfe"]
    assert b"secret" not in body


def test_one_file_is_open_at_a_time(folder):
    for number in range(300):
        (folder / f"{number:03}").write_bytes(b"content")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (len(list(Path("/proc/self/fd").iterdir())) + 20, hard))
    try:
        pieces = list(_multipart(folder, "BOUNDARY"))
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert pieces.count(b"content") == 300
