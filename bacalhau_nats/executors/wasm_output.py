"""Carries the output of guests from a thread to the log while it appears.

A guest writes into a pipe (wasmtime opens it by name), the event loop reads it. A log that does not keep up
stops the reading, the pipe fills, and the guest waits in its write: back-pressure without a buffer that
grows. The pipe outlives the guest and serves the next one of the same lane.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable

from bacalhau_nats.ports import LogSink, Stream

_CHUNK = 65536


class Tap:
    """One pipe: its ``path`` is for the guest, what comes out goes to the sink of the present run."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._loop = asyncio.get_running_loop()
        self._reader, self._writer = os.pipe()
        os.set_blocking(self._reader, False)
        self.path = f"/dev/fd/{self._writer}"
        self._sink: LogSink | None = None
        self._pump: asyncio.Task[None] | None = None
        self._failed: Callable[[], None] = _ignore
        self._failure: Exception | None = None
        self._closed = False
        self._loop.add_reader(self._reader, self._on_readable)

    def open(self, sink: LogSink, failed: Callable[[], None]) -> None:
        """Send output to ``sink`` from now on; ``failed`` is called when it raises, to end the guest."""
        self._sink, self._failed, self._failure = sink, failed, None

    async def drain(self) -> None:
        """Hand over what is left once the guest has ended. Raises what the sink has raised."""
        if self._pump:
            await self._pump
        sink = self._sink
        while sink and (data := self._read()):
            await sink.write(self._stream, data)
        self._sink = None
        if self._failure:
            raise self._failure

    def discard(self) -> None:
        """Throw away what comes from now on, so that a guest waiting in a write can come to its end."""
        self._sink = None
        if self._pump:
            self._pump.cancel()
        else:
            self._on_readable()

    def close(self) -> None:
        """Give the descriptors back. No guest may have the pipe any more."""
        self.discard()
        self._closed = True
        self._failed = _ignore  # it holds on to the lane, and the lane to its engine
        self._loop.remove_reader(self._reader)
        os.close(self._reader)
        os.close(self._writer)

    def _on_readable(self) -> None:
        if self._sink is None:
            self._read()
        elif self._pump is None:
            self._loop.remove_reader(self._reader)  # until the sink has taken what is there
            self._pump = self._loop.create_task(self._carry(self._sink))
            self._pump.add_done_callback(self._on_carried)

    async def _carry(self, sink: LogSink) -> None:
        while data := self._read():
            await sink.write(self._stream, data)
            await asyncio.sleep(0)  # a guest that floods must not keep the loop for itself

    def _on_carried(self, pump: asyncio.Task[None]) -> None:
        self._pump = None
        error = None if pump.cancelled() else pump.exception()
        if error is not None:
            self._sink = None
            self._failure = error if isinstance(error, Exception) else RuntimeError(str(error))
            self._failed()
        if not self._closed:
            self._loop.add_reader(self._reader, self._on_readable)

    def _read(self) -> bytes:
        """Read what is there; empty when there is nothing now (the pipe has no end: we hold its writer)."""
        try:
            return os.read(self._reader, _CHUNK)
        except BlockingIOError:
            return b""


def _ignore() -> None:
    pass
