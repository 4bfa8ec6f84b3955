"""A `Blobs` in memory, for tests of what uses one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

from bacalhau_nats.errors import NotFound, StorageFull


class MemoryBlobs:
    def __init__(self, **stored: bytes) -> None:
        self.stored = dict(stored)
        self.reads = 0
        self.full = False

    async def put(self, name: str, source: Path | bytes) -> int:
        if self.full:
            raise StorageFull("the stream is full")
        self.stored[name] = (
            source if isinstance(source, bytes) else await asyncio.to_thread(source.read_bytes)
        )
        return len(self.stored[name])

    async def get(self, name: str) -> AsyncIterator[bytes]:
        self.reads += 1
        content = await self._content(name)
        for start in range(0, len(content), 1000):
            yield content[start : start + 1000]

    async def size(self, name: str) -> int:
        return len(await self._content(name))

    async def delete(self, name: str) -> None:
        self.stored.pop(name, None)

    async def _content(self, name: str) -> bytes:
        if name not in self.stored:
            raise NotFound(f"no blob {name}")
        return self.stored[name]
