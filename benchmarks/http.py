"""A keep-alive HTTP/1.1 client that costs next to nothing, so that what is measured is the server."""

from __future__ import annotations

import asyncio
import json
from typing import Any, Self

_LIMIT = 32 * 1024 * 1024


class Connection:
    """One connection, one request at a time."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    @classmethod
    async def open(cls, port: int) -> Self:
        """Connect to a port of this machine."""
        return cls(*await asyncio.open_connection("127.0.0.1", port, limit=_LIMIT))

    @classmethod
    async def open_unix(cls, path: str) -> Self:
        """Connect to a socket file."""
        return cls(*await asyncio.open_unix_connection(path, limit=_LIMIT))

    async def send(self, request: bytes) -> tuple[int, bytes]:
        """Send a whole request; give status and body."""
        self._writer.write(request)
        head = (await self._reader.readuntil(b"\r\n\r\n")).lower()
        status = int(head[9:12])
        if b"transfer-encoding: chunked" in head:
            return status, await self._chunks()
        _, found, rest = head.partition(b"content-length:")
        length = int(rest.partition(b"\r\n")[0]) if found else 0
        return status, await self._reader.readexactly(length)

    async def _chunks(self) -> bytes:
        body = b""
        while size := int(await self._reader.readline(), 16):
            body += await self._reader.readexactly(size)
            await self._reader.readline()
        await self._reader.readline()
        return body

    async def json(self, method: str, path: str, body: Any = None) -> Any:
        """Send a JSON request; give the JSON answer. Raises ValueError with the answer of a refusal."""
        status, answer = await self.send(request(method, path, body))
        if status >= 300:
            raise ValueError(f"{method} {path}: {status} {answer[:500].decode(errors='replace')}")
        return json.loads(answer) if answer else None

    async def close(self) -> None:
        """End the connection."""
        self._writer.close()
        await self._writer.wait_closed()


def request(method: str, path: str, body: Any = None) -> bytes:
    """Write a request with a JSON body."""
    payload = b"" if body is None else json.dumps(body).encode()
    head = f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {len(payload)}\r\n\r\n"
    return head.encode() + payload
