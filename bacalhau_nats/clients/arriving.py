"""Bytes that arrive in the event loop, read by a thread."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

_LOOK_EVERY = 0.1


class Arriving:
    """A `tarballs.Readable` over chunks that come in ``loop``; the next is asked for when one is used up.

    Read it in a thread. ``stopped`` is asked while nothing comes, so that the thread ends although the other
    side says nothing; reading then gives the end.
    """

    def __init__(
        self, loop: asyncio.AbstractEventLoop, chunks: AsyncIterator[bytes], stopped: Callable[[], bool]
    ) -> None:
        self._loop = loop
        self._chunks = chunks
        self._stopped = stopped
        self._rest = memoryview(b"")

    def read(self, size: int, /) -> bytes:
        """Give up to ``size`` bytes, none at the end. Raises what the chunks raise. Blocking."""
        if not self._rest:
            self._rest = memoryview(self._next())
        data, self._rest = self._rest[:size], self._rest[size:]
        return bytes(data)

    def _next(self) -> bytes:
        coming = asyncio.run_coroutine_threadsafe(self._pull(), self._loop)
        while True:
            try:
                return coming.result(_LOOK_EVERY)
            except TimeoutError:
                if coming.done():
                    raise
                if self._stopped():
                    coming.cancel()
                    return b""

    async def _pull(self) -> bytes:
        async for chunk in self._chunks:
            if chunk:
                return chunk
        return b""
