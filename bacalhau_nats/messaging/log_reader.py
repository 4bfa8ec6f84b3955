"""Reading the output of executions: what is stored, then what comes, nothing twice and nothing missing.

::

    listen ──> stored chunks ──> live chunks ──(gap, reconnect)──> stored chunks ──> live ... ──> ended

Live chunks are plain messages: quick, but they may be missed and may be heard before the stored ones are
read. `_Reading` puts both in order by offset. There is no consumer on the server: history is read in batches
by direct gets, and the subscription ends with the iteration.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing, suppress
from typing import Any

import nats.errors

from bacalhau_nats.messages import LogChunk
from bacalhau_nats.messaging import codec, stored
from bacalhau_nats.messaging.bus import Bus, Msg, Subscription
from bacalhau_nats.messaging.log_chunks import data_of, without_head
from bacalhau_nats.messaging.stored import patiently
from bacalhau_nats.messaging.subjects import LOG
from bacalhau_nats.messaging.topology import LOGS
from bacalhau_nats.ports import LogEntry, LogStart

OUTPUT = ("stdout", "stderr")
FROM_THE_BEGINNING = LogStart()
_BATCH, _BATCH_BYTES = 256, 4 * 1024 * 1024
_HEARD_BYTES = (
    4 * 1024 * 1024
)  # of live chunks that wait for a slow reader; then they are read back from the stream
_PATIENCE = 30.0  # seconds without the bus before a reader is told
_HOLE_TRIES = 3  # a chunk is heard a moment before it is stored
_TYPES = codec.by_name(LogChunk)


async def read_logs(
    bus: Bus,
    job: str,
    execution: str | None = None,
    *,
    follow: bool = False,
    tail: int | None = None,
    ended: asyncio.Event | None = None,
    streams: Sequence[str] = OUTPUT,
) -> AsyncGenerator[LogChunk, None]:
    """Give the output of one execution, or of all executions of the job, in the order it was stored.

    ``tail`` skips all but the last so many lines of what is stored (0: all of it). With ``follow`` it goes on
    with what comes, until ``ended`` is set (the caller knows when the execution is terminal) and everything
    stored has been given. Survives reconnects and restarts of the server; raises Unavailable when the bus stays
    away for 30 seconds. Use ``contextlib.aclosing`` when leaving early, so that the subscription ends then.
    """
    entries = read_entries(bus, job, execution, follow=follow, ended=ended, streams=streams, tail=tail)
    async with aclosing(entries):
        async for _, chunk in entries:
            yield chunk


async def read_entries(
    bus: Bus,
    job: str,
    execution: str | None = None,
    *,
    follow: bool = False,
    tail: int | None = None,
    ended: asyncio.Event | None = None,
    streams: Sequence[str] = OUTPUT,
    start: LogStart = FROM_THE_BEGINNING,
) -> AsyncGenerator[LogEntry, None]:
    """Give the same with the sequence of each chunk, from ``start`` on."""
    reading = _Reading(bus, job, execution, streams, start)
    try:
        if follow:
            await reading.listen()
        if tail is None:
            async for entry in reading.stored():
                yield entry
        else:
            for chunk in _last_lines([chunk async for _, chunk in reading.stored()], tail):
                yield LogEntry(0, chunk)
        while follow:
            over = ended is not None and ended.is_set()
            async for entry in reading.heard():
                yield entry
            if over:
                async for entry in reading.rest():
                    yield entry
                return
            await reading.wait(ended)
    finally:
        await reading.close()


async def newest_seq(bus: Bus) -> int:
    """Give the sequence of the newest chunk of any job; 0 when there is none."""
    return await stored.last_seq(bus, bus.cell.stream(LOGS), LOG.any(cell=bus.cell.name))


async def last_offsets(bus: Bus, job: str, execution: str) -> dict[str, int]:
    """Tell how many bytes of each stream of an execution are stored: where a new `LogWriter` goes on."""
    last = await _last_chunks(bus, LOG.any(cell=bus.cell.name, job=job, execution=execution))
    return {chunk.stream: chunk.offset + len(data_of(chunk)) for _, chunk in last or ()}


class _Reading:
    """One iteration of `read_logs`: what has been given, and what has been heard and not given yet."""

    def __init__(
        self,
        bus: Bus,
        job: str,
        execution: str | None,
        streams: Sequence[str],
        start: LogStart = FROM_THE_BEGINNING,
    ) -> None:
        tokens = {"job": job} if execution is None else {"job": job, "execution": execution}
        self._bus = bus
        self._subject = LOG.any(cell=bus.cell.name, **tokens)
        self._streams = frozenset(streams)
        self._seq = 0  # of the stream: everything up to here has been given
        self._start = start
        self._next: dict[tuple[str, str], int] = dict(start.positions)
        self._heard: deque[tuple[LogChunk, int]] = deque()  # with its size as a message
        self._heard_bytes = 0
        self._behind = False
        self._news = asyncio.Event()
        self._subscription: Subscription | None = None
        self._off = _nothing

    async def listen(self) -> None:
        """Hear live chunks from now on."""
        self._subscription = await self._bus.listen(self._subject, self._hear)
        self._off = self._bus.on_reconnect(self._catch_up)
        await self._bus.flush()

    async def close(self) -> None:
        """Hear no more."""
        self._off()
        if self._subscription is not None:
            with suppress(nats.errors.Error):
                await self._subscription.unsubscribe()

    def _hear(self, msg: Msg) -> None:
        chunk = _chunk_of(msg)
        if chunk is None or chunk.stream not in self._streams:
            return
        if self._heard_bytes >= _HEARD_BYTES:
            self._heard.clear()
            self._heard_bytes = 0
            self._behind = True
        self._heard.append((chunk, len(msg.data)))
        self._heard_bytes += len(msg.data)
        self._news.set()

    def _catch_up(self) -> None:
        self._behind = True
        self._news.set()

    async def wait(self, ended: asyncio.Event | None) -> None:
        """Wait until something was heard, or the end."""
        if self._news.is_set():
            return
        waits = [asyncio.ensure_future(self._news.wait())]
        if ended is not None:
            waits.append(asyncio.ensure_future(ended.wait()))
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for waiting in waits:
                waiting.cancel()

    async def heard(self) -> AsyncIterator[LogEntry]:
        """Give what was heard, and what was missed in between."""
        self._news.clear()
        if self._behind:
            self._behind = False
            async for entry in self.stored():
                yield entry
        while self._heard:
            chunk, size = self._heard.popleft()
            self._heard_bytes -= size
            for _ in range(_HOLE_TRIES):
                if chunk.offset <= self._next.get((chunk.execution_id, chunk.stream), 0):
                    break
                async for missed in self.stored():
                    yield missed
                await asyncio.sleep(0.01)
            fresh = self._fresh(chunk)
            if fresh is not None and fresh.time >= self._start.since:
                yield LogEntry(0, fresh)

    async def rest(self) -> AsyncIterator[LogEntry]:
        """Give what is stored and was not heard; reads nothing again when there is no such thing."""
        last = await patiently(lambda: _last_chunks(self._bus, self._subject), _PATIENCE)
        if last is not None and await patiently(self._last_seq, _PATIENCE) <= max(
            (seq for seq, _ in last), default=0
        ):
            ends = [(chunk.offset + len(data_of(chunk)), chunk) for _, chunk in last]
            if all(
                end <= self._next.get((chunk.execution_id, chunk.stream), 0)
                for end, chunk in ends
                if chunk.stream in self._streams
            ):
                return
        async for entry in self.stored():
            yield entry

    async def stored(self) -> AsyncIterator[LogEntry]:
        """Give what is stored and has not been given yet, up to what the leader has now.

        What stands before the start counts as given, so that it is not given when it is heard either.
        """
        target = await patiently(self._last_seq, _PATIENCE)
        while self._seq < target:
            for seq, chunk in await patiently(lambda: self._batch(target), _PATIENCE):
                self._seq = seq
                fresh = self._fresh(chunk) if chunk is not None else None
                if fresh is not None and seq >= self._start.seq and fresh.time >= self._start.since:
                    yield LogEntry(seq, fresh)

    def _fresh(self, chunk: LogChunk) -> LogChunk | None:
        """Give the part of a chunk that is new, and count it as given."""
        if chunk.stream not in self._streams:
            return None
        row = (chunk.execution_id, chunk.stream)
        begin, size = self._next.get(row, 0), len(data_of(chunk))
        if chunk.offset + size <= begin:
            return None
        self._next[row] = chunk.offset + size
        return without_head(chunk, begin - chunk.offset)

    async def _last_seq(self) -> int:
        return await stored.last_seq(self._bus, self._bus.cell.stream(LOGS), self._subject)

    async def _batch(self, target: int) -> list[tuple[int, LogChunk | None]]:
        """Read the next chunks; when there are none up to ``target`` (forgotten since), its end alone."""
        body = {
            "seq": self._seq + 1,
            "next_by_subj": self._subject,
            "batch": _BATCH,
            "max_bytes": _BATCH_BYTES,
        }
        found, status = await _direct_get(self._bus, body)
        if not found and status == "404":
            return [(target, None)]
        return found


async def _last_chunks(bus: Bus, subject: str) -> list[tuple[int, LogChunk]] | None:
    """Give the last stored chunk of each subject; None when there are too many subjects to ask for."""
    found, status = await _direct_get(bus, {"multi_last": [subject]})
    if status == "413":
        return None
    return [(seq, chunk) for seq, chunk in found if chunk is not None]


async def _direct_get(bus: Bus, body: dict[str, Any]) -> tuple[list[tuple[int, LogChunk | None]], str]:
    messages, status = await stored.direct_get(bus, bus.cell.stream(LOGS), body)
    return [(stored.sequence(msg), _chunk_of(msg)) for msg in messages], status


def _chunk_of(msg: Msg) -> LogChunk | None:
    try:
        return codec.decode(msg.data, msg.headers, _TYPES)
    except codec.MalformedMessage as malformed:
        codec.log_dropped((msg.headers or {}).get(codec.SUBJECT, msg.subject), malformed)
        return None


def _last_lines(chunks: list[LogChunk], count: int) -> list[LogChunk]:
    """Keep the last ``count`` lines of what was stored; a line without its end is one too."""
    unfinished = {
        (chunk.execution_id, chunk.stream): not data_of(chunk).endswith(b"\n") for chunk in chunks
    }  # the last chunk of each row decides
    drop = sum(data_of(chunk).count(b"\n") for chunk in chunks) + sum(unfinished.values()) - count
    kept = []
    for chunk in chunks:
        data = data_of(chunk)
        head = 0
        while drop > 0 and head < len(data):
            found = data.find(b"\n", head)
            head = found + 1 or len(data)
            drop -= found >= 0
        if head < len(data):
            kept.append(without_head(chunk, head))
    return kept if count else []


def _nothing() -> None:
    """Stand in until there is something to take off."""
