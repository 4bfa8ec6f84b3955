"""A TCP proxy that can hold back or cut off what is sent through it, to catch a sender in the middle."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress


class Proxy:
    """Passes on everything, until a connection has brought ``hold_after`` bytes; that one is then stuck.

    ``cuts`` connections are closed instead, when they have brought ``cut_after`` bytes.
    """

    def __init__(self, host: str, port: int) -> None:
        self._to = host, port
        self._tasks: set[asyncio.Task[None]] = set()
        self.port = 0
        self.hold_after: int | None = None
        self.holding = asyncio.Event()
        self.cut_after = 0
        self.cuts = 0

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        with suppress(OSError, asyncio.CancelledError):
            to_reader, to_writer = await asyncio.open_connection(*self._to)
            try:
                async with asyncio.TaskGroup() as group:
                    back = group.create_task(self._pump(to_reader, writer))
                    await self._pump(reader, to_writer, held=True)
                    back.cancel()
            finally:
                to_writer.close()
                writer.close()

    async def _pump(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, held: bool = False
    ) -> None:
        passed = 0
        with suppress(OSError):
            while data := await reader.read(65536):
                passed += len(data)
                if held and self.cuts and passed > self.cut_after:
                    self.cuts -= 1
                    return
                if held and self.hold_after is not None and passed > self.hold_after:
                    self.holding.set()
                    while await reader.read(65536):  # swallowed, until the sender gives up
                        pass
                    return
                writer.write(data)
                await writer.drain()

    def close(self) -> None:
        for task in self._tasks:
            task.cancel()


@asynccontextmanager
async def proxy_to(url: str) -> AsyncIterator[Proxy]:
    """Run a proxy to an ``http://host:port``."""
    host, _, port = url.removeprefix("http://").partition(":")
    proxy = Proxy(host, int(port))
    server = await asyncio.start_server(proxy.accept, "127.0.0.1", 0)
    proxy.port = server.sockets[0].getsockname()[1]
    try:
        yield proxy
    finally:
        server.close()
        proxy.close()
        await server.wait_closed()
