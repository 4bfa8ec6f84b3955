"""Add a folder to an IPFS node, streamed: memory does not grow with it, and one file is open at a time.

The node answers, a line for each file, while it is still being sent to. A client that first sends and then reads
(httpx) gets stuck when the node waits for its answers to be read, and one that stops sending when an answer comes
(aiohttp from 3.12 on) never ends. So this reads while it sends, on a bare connection. It also hears how the answer
ended: an error after the first line is in the trailer (``X-Stream-Error``), which other clients do not give.
"""

from __future__ import annotations

import asyncio
import json
import os
import ssl
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote, urlencode
from uuid import uuid4

from bacalhau_nats.blocking import in_thread
from bacalhau_nats.clients.ipfs_address import Endpoint
from bacalhau_nats.errors import BacalhauError, Unavailable

if TYPE_CHECKING:
    import h11

_CHUNK = 256 * 1024
_BATCH = 1024 * 1024
_CONNECT_LIMIT = 10.0
_ROOT = "results"  # one letter would do, but not for js-ipfs, which takes no name of a single character
_OK = 200

ADD = {
    "pin": "true",
    "cid-version": "0",
    "hash": "sha2-256",
    "chunker": "size-262144",
    "raw-leaves": "false",
    "wrap-with-directory": "false",
    "progress": "false",
}
"""How content becomes a CID, spelt out: any IPFS node that is told the same gives the same CID, and these are what
Kubo does by itself."""


async def add(endpoint: Endpoint, folder: Path, *, idle: float) -> str:
    """Add ``folder`` with all in it, pin it, and give its CID (of version 0).

    Links are not followed and not kept, nor are pipes, sockets and devices. ``idle`` is how many seconds may pass
    without progress. Raises Unavailable, BacalhauError with the node's word when it refuses, and OSError when the
    folder cannot be read.
    """
    import h11  # noqa: PLC0415 - only where IPFS is used

    boundary, answer = uuid4().hex, _Answer(endpoint)
    request = h11.Request(
        method="POST",
        target=f"/api/v0/add?{urlencode(ADD)}",
        headers=[
            ("Host", endpoint.url.partition("://")[2]),
            ("Content-Type", f"multipart/form-data; boundary={boundary}"),
            ("Transfer-Encoding", "chunked"),
            ("Connection", "close"),
        ],
    )
    try:
        await _exchange(endpoint, request, _in_batches(_multipart(folder, boundary)), answer, idle)
    except TimeoutError:
        raise Unavailable(f"the IPFS node at {endpoint.url} made no progress within {idle:g} s") from None
    except (ConnectionError, ssl.SSLError, h11.ProtocolError) as error:
        raise Unavailable(f"the IPFS node at {endpoint.url} cannot be used: {error}") from error
    return answer.root()


class _Answer:
    """What the node says: a line for each file and folder, the root last; or an error, at any time."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._url = endpoint.url
        self._status = 0
        self._cid = ""
        self._rest = b""

    def begins(self, status: int) -> None:
        self._status = status

    def takes(self, data: bytes) -> None:
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            self._line(line)

    def ends(self, trailer: bytes) -> None:
        if trailer:
            raise self._says(_message(trailer))

    def root(self) -> str:
        """Give the CID of the whole. Raises BacalhauError, or Unavailable when it never came."""
        self._line(self._rest)
        if not self._cid:
            raise Unavailable(f"the IPFS node at {self._url} broke off before it had stored all")
        return self._cid

    def _line(self, line: bytes) -> None:
        if self._status != _OK:
            raise self._says(_message(line) or f"HTTP status {self._status}")
        if not line.strip():
            return
        try:
            entry = json.loads(line)
        except ValueError:
            raise self._says(_message(line)) from None
        if not isinstance(entry, dict) or "Hash" not in entry:
            raise self._says(_message(line))
        if entry.get("Name") == _ROOT:
            self._cid = str(entry["Hash"])

    def _says(self, what: str) -> BacalhauError:
        return BacalhauError(f"the IPFS node at {self._url} says: {what}")


def _message(said: bytes) -> str:
    """Read an error: js-ipfs gives JSON throughout, Kubo plain text in a trailer."""
    with suppress(ValueError, KeyError, TypeError):
        return str(json.loads(said)["Message"])
    return said.decode(errors="replace").strip()


# --- the connection -------------------------------------------------------------------------------------


async def _exchange(
    endpoint: Endpoint, request: h11.Request, body: AsyncIterator[bytes], answer: _Answer, idle: float
) -> None:
    import h11  # noqa: PLC0415 - loaded already

    secure = ssl.create_default_context() if endpoint.scheme == "https" else None
    async with asyncio.timeout(min(idle, _CONNECT_LIMIT)):
        reader, writer = await _connect(endpoint, secure)
    connection = h11.Connection(h11.CLIENT)
    writer.write(connection.send(request) or b"")
    sending = asyncio.create_task(_send(connection, writer, body, idle), name="ipfs-add")
    receiving = asyncio.create_task(_receive(connection, reader, answer, sending, idle))
    try:
        await asyncio.wait({sending, receiving}, return_when=asyncio.FIRST_COMPLETED)
        if not receiving.done():
            sending.result()  # a folder that cannot be read ends the exchange
            await asyncio.wait({receiving})
        receiving.result()  # and an answer that is complete ends the body, sent or not
    finally:
        for task in (sending, receiving):
            task.cancel()
        await asyncio.gather(sending, receiving, return_exceptions=True)
        writer.transport.abort()


async def _connect(
    endpoint: Endpoint, secure: ssl.SSLContext | None
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    try:
        return await asyncio.open_connection(endpoint.host, endpoint.port, ssl=secure)
    except OSError as error:  # a name that is not known is no ConnectionError
        raise ConnectionError(error.strerror or str(error)) from error


async def _send(
    connection: h11.Connection, writer: asyncio.StreamWriter, body: AsyncIterator[bytes], idle: float
) -> None:
    import h11  # noqa: PLC0415 - loaded already

    with suppress(ConnectionError):  # why the node wants no more is what its answer says
        async for data in body:
            writer.write(connection.send(h11.Data(data=data)) or b"")
            async with asyncio.timeout(idle):
                await writer.drain()
        writer.write(connection.send(h11.EndOfMessage()) or b"")


async def _receive(
    connection: h11.Connection,
    reader: asyncio.StreamReader,
    answer: _Answer,
    sending: asyncio.Task[None],
    idle: float,
) -> None:
    import h11  # noqa: PLC0415 - loaded already

    while True:
        event = connection.next_event()
        if event is h11.NEED_DATA:
            connection.receive_data(await _more(reader, sending, idle))
        elif isinstance(event, h11.Response):
            answer.begins(event.status_code)
        elif isinstance(event, h11.Data):
            answer.takes(bytes(event.data))
        elif isinstance(event, h11.EndOfMessage):
            return answer.ends(dict(event.headers).get(b"x-stream-error", b""))
        elif isinstance(event, h11.ConnectionClosed):
            return None


async def _more(reader: asyncio.StreamReader, sending: asyncio.Task[None], idle: float) -> bytes:
    """Read on; as long as the body is on its way, it is the sender that sees to the time."""
    reading = asyncio.ensure_future(reader.read(_CHUNK))
    try:
        await asyncio.wait({reading, sending}, return_when=asyncio.FIRST_COMPLETED)
        async with asyncio.timeout(None if reading.done() else idle):
            return await reading
    finally:
        reading.cancel()


# --- the body -------------------------------------------------------------------------------------------


async def _in_batches(pieces: Iterator[bytes]) -> AsyncIterator[bytes]:
    """Read on in a thread, a megabyte at a time: a folder may have a hundred thousand small files."""

    def batch(_stopped: Callable[[], bool]) -> bytes:
        out = bytearray()
        for piece in pieces:
            out += piece
            if len(out) >= _BATCH:
                break
        return bytes(out)

    while data := await in_thread(batch):
        yield data


def _multipart(folder: Path, boundary: str) -> Iterator[bytes]:
    """Write the folder as RFC 7578 has it, each folder before all that is in it, as Kubo wants it."""
    pending = [(os.fspath(folder), _ROOT)]
    while pending:
        path, name = pending.pop()
        # The names are encoded: Kubo and js-ipfs decode them.
        filename = quote(os.fsencode(name), safe="")
        head = f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="{filename}"'
        if name == _ROOT or Path(path).is_dir():  # no link gets here
            yield f"{head}\r\nContent-Type: application/x-directory\r\n\r\n\r\n".encode()
            with os.scandir(path) as entries:
                kept = sorted((e for e in entries if _is_kept(e)), key=lambda e: e.name, reverse=True)
            pending += [(entry.path, f"{name}/{entry.name}") for entry in kept]
        else:
            yield f"{head}\r\nContent-Type: application/octet-stream\r\n\r\n".encode()
            yield from _content(path)
            yield b"\r\n"
    yield f"--{boundary}--\r\n".encode()


def _is_kept(entry: os.DirEntry[str]) -> bool:
    return entry.is_dir(follow_symlinks=False) or entry.is_file(follow_symlinks=False)


def _content(path: str) -> Iterator[bytes]:
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW), "rb") as source:
        while data := source.read(_CHUNK):
            yield data
