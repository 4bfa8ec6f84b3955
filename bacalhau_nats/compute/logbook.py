"""Logs of executions in the log stream, as the runner wants them (`results.Logbook`)."""

from __future__ import annotations

from contextlib import aclosing

from bacalhau_nats.compute.results import ExecutionLog, Stored
from bacalhau_nats.domain.execution import OUTPUT_LIMIT
from bacalhau_nats.domain.ids import ExecutionID, JobID
from bacalhau_nats.messaging.bus import Bus
from bacalhau_nats.messaging.log_chunks import data_of
from bacalhau_nats.messaging.log_writer import DEFAULT_RATE
from bacalhau_nats.messaging.logs import LogWriter, last_offsets, read_logs
from bacalhau_nats.ports import Stream


class StreamLogbook:
    """``quota`` bytes are kept of each execution; ``rate`` is bytes a second (0: the default)."""

    def __init__(self, bus: Bus, *, quota: int, rate: int = 0) -> None:
        self._bus, self._quota, self._rate = bus, quota, rate or DEFAULT_RATE

    def open(self, job: JobID, execution: ExecutionID, stored: Stored | None = None) -> ExecutionLog:
        """Open the log of an execution."""
        start = {s.value: n for s, n in stored.seen.items()} if stored else None
        return LogWriter(self._bus, job, execution, start=start, quota=self._quota, rate=self._rate)

    async def stored(self, job: JobID, execution: ExecutionID) -> Stored:
        """Tell how much of each stream is stored, and how it begins."""
        offsets = await last_offsets(self._bus, job, execution)
        heads: dict[Stream, bytes] = {}
        async with aclosing(read_logs(self._bus, job, execution)) as chunks:
            async for chunk in chunks:
                stream = Stream(chunk.stream)
                heads[stream] = (heads.get(stream, b"") + data_of(chunk))[:OUTPUT_LIMIT]
                if all(len(head) >= OUTPUT_LIMIT for head in heads.values()) and len(heads) == len(Stream):
                    break
        return Stored({s: offsets.get(s.value, 0) for s in Stream}, heads)
