"""From the engine's multiplexed stream to the log sink: every byte once, in order.

A frame is 8 bytes (stream number, three zeros, length in big-endian) and its payload; see "Stream format" of
``POST /containers/{id}/attach`` in the Engine API. Frames are cut anywhere by the socket.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Protocol

from bacalhau_nats.ports import LogSink, Stream

STALL = 1.0
"""Seconds a sink may take for one piece of output while the container is attached.

The engine holds the lock of a container that ends while somebody attached does not read: killing, removing or
even listing it then hangs (seen on 20.10; later engines drop the rest of the output instead). So a sink that is
slower is taken off the live stream, and the output is read from the engine's log file after that.
"""

_HEADER = 8
_STREAMS = {1: Stream.STDOUT, 2: Stream.STDERR}


class Readable(Protocol):
    """What output is read from."""

    def close(self) -> None:
        """End it; called while nobody reads."""
        ...


class Demultiplexer:
    """Takes the stream in pieces of any size, gives the output in them."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._stream: Stream | None = None
        self._left = 0  # bytes of the present frame that have not come yet

    def feed(self, data: bytes) -> list[tuple[Stream, bytes]]:
        """Give what can be given; neighbours of one stream are joined, for fewer and larger writes."""
        self._buffer += data
        pieces: list[tuple[Stream, bytearray]] = []
        at = 0
        while at < len(self._buffer):
            if not self._left:
                if len(self._buffer) - at < _HEADER:
                    break
                self._stream = _STREAMS.get(self._buffer[at])
                self._left = int.from_bytes(self._buffer[at + 4 : at + _HEADER], "big")
                at += _HEADER
                continue
            piece = self._buffer[at : at + self._left]
            at += len(piece)
            self._left -= len(piece)
            if self._stream is None:
                continue  # stdin echoed, or the engine's own words: not output
            if pieces and pieces[-1][0] is self._stream:
                pieces[-1][1].extend(piece)
            else:
                pieces.append((self._stream, piece))
        del self._buffer[:at]
        return [(stream, bytes(piece)) for stream, piece in pieces]


class Output:
    """Writes the output of one container to its sink and knows how far it has come."""

    def __init__(
        self, logs: LogSink, seen: Mapping[Stream, int] | None = None, *, stall: float = STALL
    ) -> None:
        self._logs = logs
        self._stall = stall
        self.written = {stream: (seen or {}).get(stream, 0) for stream in Stream}

    async def live(self, source: Readable, read: Callable[[], Awaitable[bytes]]) -> bool:
        """Write what comes, to the end. False when the sink stalled and ``source`` was closed for that."""
        loop = asyncio.get_running_loop()
        demultiplexer = Demultiplexer()
        stalled = False

        def let_go() -> None:
            nonlocal stalled
            stalled = True
            source.close()

        while data := await read():
            for stream, piece in demultiplexer.feed(data):
                watchdog = loop.call_later(self._stall, let_go)
                try:
                    await self._write(stream, piece)
                finally:
                    watchdog.cancel()
            if stalled:
                return False
        return True

    async def replay(self, read: Callable[[], Awaitable[bytes]]) -> None:
        """Write what comes from the first byte of the log on, leaving out what is written already."""
        demultiplexer = Demultiplexer()
        position = dict.fromkeys(Stream, 0)
        while data := await read():
            for stream, piece in demultiplexer.feed(data):
                fresh = piece[max(0, self.written[stream] - position[stream]) :]
                position[stream] += len(piece)
                if fresh:
                    await self._write(stream, fresh)

    async def _write(self, stream: Stream, piece: bytes) -> None:
        await self._logs.write(stream, piece)
        self.written[stream] += len(piece)
