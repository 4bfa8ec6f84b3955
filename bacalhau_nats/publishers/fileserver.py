"""A file server as small as can be: GET and HEAD of the files directly in one folder.

Each connection serves one request. The names that exist are those of `Files.name`; there are no listings, no
folders and no way to name anything else. Ranges are served, so that a broken download can go on.
"""

from __future__ import annotations

import asyncio
import logging
import os
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import IO
from urllib.parse import unquote

import httptools

from bacalhau_nats.publishers.ranges import NotSatisfiable, wanted_bytes

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*\.tar\.gz")
"""What may be asked for: the archive of an execution."""

_HEAD_LIMIT = 16 * 1024
_HEAD_SECONDS = 10.0
_STALL_SECONDS = 60.0  # a client that takes nothing for so long is gone
_CHUNK = 256 * 1024
_log = logging.getLogger(__name__)


@asynccontextmanager
async def serve_files(folder: Path, host: str, port: int) -> AsyncIterator[int]:
    """Serve ``folder`` on ``host`` and give the port; 0 takes any free one. Raises OSError.

    At the end, downloads under way are broken off.
    """
    connections: set[asyncio.Task[None]] = set()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is not None:
            connections.add(task)
            task.add_done_callback(connections.discard)
        await _Connection(folder, reader, writer).run()

    server = await asyncio.start_server(accept, host, port, limit=_HEAD_LIMIT)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in connections:
            task.cancel()
        await asyncio.gather(*connections, return_exceptions=True)
        await server.wait_closed()


@dataclass(slots=True)
class _Request:
    """What the parser understood; the attribute and method names are its own."""

    url: bytes = b""
    range: str = ""
    if_range: str = ""

    def on_url(self, url: bytes) -> None:
        self.url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        if name.lower() == b"range":
            self.range = value.decode("latin-1")
        elif name.lower() == b"if-range":
            self.if_range = value.decode("latin-1")


class _Refused(Exception):
    def __init__(self, status: HTTPStatus, *headers: str) -> None:
        super().__init__(status.phrase)
        self.status = status
        self.headers = headers


class _Connection:
    def __init__(self, folder: Path, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._folder = folder
        self._reader = reader
        self._writer = writer

    async def run(self) -> None:
        """Serve one request; whatever goes wrong with it ends here."""
        try:
            await self._answer()
        except _Refused as refused:
            text = f"{refused.status.value} {refused.status.phrase}\n".encode()
            self._head(refused.status, len(text), "Content-Type: text/plain; charset=utf-8", *refused.headers)
            self._writer.write(text)
        except (OSError, EOFError, TimeoutError) as error:
            _log.debug("download broken off: %s", error)
            self._writer.transport.abort()
        finally:
            self._writer.close()

    async def _answer(self) -> None:
        method, name, request = await self._request()
        try:
            file = await asyncio.to_thread((self._folder / name).open, "rb")
        except FileNotFoundError:
            raise _Refused(HTTPStatus.NOT_FOUND) from None
        try:
            status = os.fstat(file.fileno())
            size, tag = status.st_size, f'"{status.st_ino:x}-{status.st_mtime_ns:x}-{status.st_size:x}"'
            try:
                start, end = wanted_bytes(request.range, size, if_range=request.if_range, tag=tag)
            except NotSatisfiable:
                raise _Refused(
                    HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE, f"Content-Range: bytes */{size}"
                ) from None
            file.seek(start)
            headers = ["Content-Type: application/gzip", "Accept-Ranges: bytes", f"ETag: {tag}"]
            if (start, end) != (0, size):
                self._head(
                    HTTPStatus.PARTIAL_CONTENT,
                    end - start,
                    *headers,
                    f"Content-Range: bytes {start}-{end - 1}/{size}",
                )
            else:
                self._head(HTTPStatus.OK, size, *headers)
            if method == "GET":
                await self._send(file, end - start)
            await self._drain()
        finally:
            file.close()

    async def _request(self) -> tuple[str, str, _Request]:
        """Read the head of a request: method, file name, and the rest."""
        request = _Request()
        parser = httptools.HttpRequestParser(request)
        try:
            async with asyncio.timeout(_HEAD_SECONDS):
                parser.feed_data(await self._reader.readuntil(b"\r\n\r\n"))
            path = unquote(httptools.parse_url(request.url).path.decode("ascii"))
        except asyncio.LimitOverrunError:
            raise _Refused(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE) from None
        except (httptools.HttpParserError, UnicodeError):
            raise _Refused(HTTPStatus.BAD_REQUEST) from None
        method = parser.get_method().decode("ascii")
        if method not in ("GET", "HEAD"):
            raise _Refused(HTTPStatus.METHOD_NOT_ALLOWED, "Allow: GET, HEAD")
        name = path.removeprefix("/")
        if NAME.fullmatch(name) is None:
            raise _Refused(HTTPStatus.NOT_FOUND)
        return method, name, request

    def _head(self, status: HTTPStatus, length: int, *headers: str) -> None:
        # No Content-Encoding: clients would unpack the archive on the way and then fail to unpack it.
        lines = [
            f"HTTP/1.1 {status.value} {status.phrase}",
            f"Content-Length: {length}",
            *headers,
            "Connection: close",
        ]
        self._writer.write("\r\n".join([*lines, "", ""]).encode("ascii"))

    async def _send(self, file: IO[bytes], size: int) -> None:
        while size > 0:
            chunk = await asyncio.to_thread(file.read, min(size, _CHUNK))
            if not chunk:
                raise EOFError("the file became shorter")
            size -= len(chunk)
            self._writer.write(chunk)
            await self._drain()

    async def _drain(self) -> None:
        async with asyncio.timeout(_STALL_SECONDS):
            await self._writer.drain()
