"""Storing the output of one execution while it runs.

::

    write ──> buffer per stream ──(2 ms, or 32 KiB)──> queue ──(16 in flight)──> LOGS stream

A task that exists only once there is output moves bytes along. Chunks go out in order and those not
acknowledged go out again in order, so that what is stored has repetitions at worst, never a hole, and
the last stored message of a stream tells where it ends. While a window waits for its
acknowledgements, new output gathers in the buffers: the slower the server, the bigger the chunks.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections import deque
from collections.abc import Mapping
from itertools import islice

from bacalhau_nats.errors import BacalhauError, InternalError
from bacalhau_nats.messages import LogChunk
from bacalhau_nats.messaging import codec, jsapi
from bacalhau_nats.messaging.bus import Bus
from bacalhau_nats.messaging.log_chunks import CHUNK_BYTES, make_chunk, take_chunk
from bacalhau_nats.messaging.rate import Rate
from bacalhau_nats.messaging.subjects import LOG

log = logging.getLogger(__name__)

MIB = 1024 * 1024
DEFAULT_QUOTA = 64 * MIB  # bytes of output stored per execution
DEFAULT_RATE = 8 * MIB  # bytes a second per execution
EVENT = "event"

_COALESCE = 0.002  # seconds
_IN_FLIGHT = 16  # chunks
_HELD_BYTES = MIB  # accepted and not yet stored: beyond it, write() waits
_BURST = MIB  # bytes that may go at once after a pause
_ACK_WAIT = 5.0  # seconds
_RETRY = 0.1  # seconds
_EVENT_BYTES = 4096


class LogWriter:
    """The log of one execution; a `LogSink` with an end.

    ``start`` gives, per stream, how many bytes are stored already (see `last_offsets`): the first byte
    written is taken to be the one after them. After ``quota`` bytes in all, one event line says so and the
    rest is dropped. ``rate`` bytes a second (bursts of 1 MiB) is the most it sends; `write` waits.

    When nothing could be stored for ``patience`` seconds, output is dropped (with a warning in our log) rather
    than holding the job up for ever. One process writes the log of an execution at a time.
    """

    def __init__(
        self,
        bus: Bus,
        job: str,
        execution: str,
        *,
        start: Mapping[str, int] | None = None,
        quota: int = DEFAULT_QUOTA,
        rate: int = DEFAULT_RATE,
        patience: float = 30.0,
    ) -> None:
        self._bus = bus
        self._job = job
        self._execution = execution
        self._offsets = dict(start or {})
        self._left = quota - sum(size for stream, size in self._offsets.items() if stream != EVENT)
        self._quota = quota
        self._rate = Rate(rate, _BURST, time.monotonic())
        self._patience = patience
        self._full_said = self._left <= 0
        self._buffers: dict[str, bytearray] = {}
        self._queue: deque[LogChunk] = deque()
        self._held = 0
        self._failing_since = 0.0
        self._gave_up = False
        self._closing = False
        self._dirty = asyncio.Event()
        self._hurry = asyncio.Event()
        self._room = asyncio.Event()
        self._pump: asyncio.Task[None] | None = None

    async def write(self, stream: str, data: bytes) -> None:
        """Take a piece of output; returns when there is room for more. Order is kept per stream."""
        view = memoryview(data)
        for begin in range(0, len(view), CHUNK_BYTES):
            piece = view[begin : begin + CHUNK_BYTES]
            if len(piece) > self._left:
                piece = piece[: max(0, self._left)]
            if piece:
                self._left -= len(piece)
                if pause := self._rate.take(len(piece), time.monotonic()):
                    await asyncio.sleep(pause)
                await self._append(stream, piece)
            if self._left <= 0 and not self._full_said and begin + len(piece) < len(view):
                self._full_said = True
                await self.event(
                    f"output limit of {self._quota / MIB:g} MiB reached: the rest is not in the log, only in the results"
                )
            if self._left <= 0:
                return

    async def event(self, message: str) -> None:
        """Say what is going on, one line for people, in the stream ``event``."""
        line = " ".join(message.split()).encode()[:_EVENT_BYTES].decode(errors="ignore")
        await self._append(EVENT, memoryview(f"{line}\n".encode()))

    async def close(self) -> None:
        """Store what is left and mark the ends; nothing at all is sent when there was no output.

        Returns when it is stored, or given up after ``patience`` seconds. Cancelling it gives up at once.
        """
        if self._pump is None:
            return
        self._closing = True
        self._dirty.set()
        self._hurry.set()
        try:
            await self._pump
        finally:
            self._pump.cancel()

    async def _append(self, stream: str, data: memoryview) -> None:
        if self._closing:
            raise InternalError(f"output of {self._execution} after its log was closed")
        buffer = self._buffers.setdefault(stream, bytearray())
        buffer += data
        self._held += len(data)
        self._dirty.set()
        if len(buffer) >= CHUNK_BYTES:
            self._hurry.set()
        if self._pump is None:
            self._pump = asyncio.create_task(self._run(), name=f"log-{self._execution}")
        while self._held > _HELD_BYTES:
            self._room.clear()
            await self._room.wait()

    async def _run(self) -> None:
        while not self._closing:
            await self._dirty.wait()
            try:
                async with asyncio.timeout(_COALESCE):
                    await self._hurry.wait()
            except TimeoutError:
                pass
            self._dirty.clear()
            self._hurry.clear()
            final = self._closing
            self._cut(final=final)
            await self._send()
            if final:
                return
        self._cut(final=True)
        await self._send()

    def _cut(self, *, final: bool) -> None:
        now = time.time_ns()
        for stream, buffer in self._buffers.items():
            while data := take_chunk(buffer, final=final):
                self._enqueue(stream, data, now, end=final and not buffer)
                if final and not buffer:
                    break
            else:
                if final:
                    self._enqueue(stream, b"", now, end=True)

    def _enqueue(self, stream: str, data: bytes, now: int, *, end: bool) -> None:
        offset = self._offsets.get(stream, 0)
        self._queue.append(make_chunk(self._execution, stream, offset, data, time=now, end=end))
        self._offsets[stream] = offset + len(data)

    async def _send(self) -> None:
        while self._queue:
            window = list(islice(self._queue, _IN_FLIGHT))
            answers = await asyncio.gather(*map(self._store, window))
            stored = next((i for i, problem in enumerate(answers) if problem), len(window))
            for _ in range(stored):
                self._queue.popleft()
            if stored:
                self._failing_since, self._gave_up = 0.0, False
            if stored < len(window):
                await self._after_failure(answers[stored])
            self._held = sum(map(len, self._buffers.values())) + CHUNK_BYTES * len(self._queue)
            self._room.set()

    async def _store(self, chunk: LogChunk) -> Exception | None:
        subject = LOG(cell=self._bus.cell.name, job=self._job, execution=self._execution, stream=chunk.stream)
        payload, headers = codec.encode(chunk)
        try:
            reply = await self._bus.request(subject, payload, headers, within=_ACK_WAIT)
            error = json.loads(reply.data).get("error")
        except (BacalhauError, ValueError) as problem:
            return problem
        return jsapi.failure(subject, error) if error else None

    async def _after_failure(self, problem: Exception | None) -> None:
        now = time.monotonic()
        self._failing_since = self._failing_since or now
        if self._gave_up or now - self._failing_since >= self._patience:
            if not self._gave_up:
                log.warning(
                    "output of %s is dropped: %s", self._execution, problem, extra={"action": "log_dropped"}
                )
            self._gave_up = True
            self._queue.clear()
            return
        await asyncio.sleep(_RETRY)
