"""The output of an execution on its way through: to the log, to the results folder, and into its record."""

from __future__ import annotations

import asyncio
import codecs
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Protocol, Self

from bacalhau_nats.compute.folders import disk_trouble
from bacalhau_nats.domain.execution import OUTPUT_LIMIT, RunOutput
from bacalhau_nats.domain.ids import ExecutionID, JobID
from bacalhau_nats.ports import LogSink, Stream

FILE_LIMIT = 1024**3
"""Bytes of stdout and of stderr that are published; what follows is in the log only, as far as its quota goes."""

_SMALL = (
    64 * 1024
)  # bytes that are written at once without a thread: the page cache takes them in microseconds


class ExecutionLog(LogSink, Protocol):
    """A log sink with an end."""

    async def close(self) -> None:
        """Store what is left."""
        ...


@dataclass(frozen=True, slots=True)
class Stored:
    """What the log stream has of an execution: bytes per stream, and how each begins."""

    seen: Mapping[Stream, int]
    heads: Mapping[Stream, bytes]


class Logbook(Protocol):
    """Where logs of executions are kept."""

    def open(self, job: JobID, execution: ExecutionID, stored: Stored | None = None) -> ExecutionLog:
        """Open the log of an execution, going on after what is ``stored``."""
        ...

    async def stored(self, job: JobID, execution: ExecutionID) -> Stored:
        """Tell what is stored of an execution."""
        ...


class OutputTee:
    """A LogSink between the engine and the log.

    Keeps the first `OUTPUT_LIMIT` bytes of each stream for the record and, when there is a results folder,
    writes everything to its ``stdout`` and ``stderr``, made at the first byte. A piece is in the file before
    it is in the log, so after a crash the file never lacks what the log has. Use as a context manager: it
    closes the files.
    """

    def __init__(self, log: LogSink, results: Path | None = None, *, limit: int = FILE_LIMIT) -> None:
        self._log = log
        self._outputs = {
            stream: _Output(results / stream.value if results is not None else None, limit)
            for stream in Stream
        }

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for output in self._outputs.values():
            output.close()

    async def write(self, stream: Stream, data: bytes) -> None:
        """Take a piece of output. Raises WorkFailed (reason DISK) when the disk is full."""
        output = self._outputs[stream]
        output.remember(data)
        if output.path is not None:
            await output.store(data)
        await self._log.write(stream, data)

    async def event(self, message: str) -> None:
        """Pass on a line of progress."""
        await self._log.event(message)

    def resume(self, seen: Mapping[Stream, int], heads: Mapping[Stream, bytes] | None = None) -> None:
        """Go on after ``seen`` bytes of each stream, which the log has; the engine sends the rest again.

        The files are cut to that length. Without files, ``heads`` is the beginning of each stream, read back
        from the log. Blocking; call it before the first write.
        """
        for stream, output in self._outputs.items():
            output.resume(seen.get(stream, 0), (heads or {}).get(stream, b""))

    def output(self, exit_code: int) -> RunOutput:
        """Give what goes into the execution's record."""
        out, err = self._outputs[Stream.STDOUT], self._outputs[Stream.STDERR]
        return RunOutput(
            stdout=out.text(),
            stdout_truncated=out.truncated,
            stderr=err.text(),
            stderr_truncated=err.truncated,
            exit_code=exit_code,
        )


class _Output:
    """One stream: its beginning, its length, its file."""

    def __init__(self, path: Path | None, limit: int) -> None:
        self.path = path
        self._limit = limit
        self._head = bytearray()
        self._length = 0
        self._stored = 0
        self._file: IO[bytes] | None = None

    @property
    def truncated(self) -> bool:
        return self._length > len(self._head)

    def remember(self, data: bytes) -> None:
        self._length += len(data)
        if len(self._head) < OUTPUT_LIMIT:
            self._head += data[: OUTPUT_LIMIT - len(self._head)]

    def text(self) -> str:
        """The beginning as text; a character that the limit cuts in two is left out."""
        decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        return decoder.decode(bytes(self._head), final=not self.truncated)

    async def store(self, data: bytes) -> None:
        piece = data[: max(0, self._limit - self._stored)]
        if not piece:
            return
        self._stored += len(piece)
        try:
            if len(piece) <= _SMALL:
                self._append(piece)
            else:
                await asyncio.to_thread(self._append, piece)
        except OSError as error:
            raise disk_trouble(
                f"output could not be written to {self.path}: {error.strerror or error}", error
            ) from error

    def resume(self, seen: int, head: bytes) -> None:
        stored = min(seen, self._limit)
        if self.path is not None and self.path.exists():
            with self.path.open("r+b") as file:
                head = file.read(min(OUTPUT_LIMIT, seen))
                file.truncate(stored)
        self._head = bytearray(head[:OUTPUT_LIMIT])
        self._length = seen
        self._stored = stored

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    def _append(self, piece: bytes) -> None:
        if self._file is None and self.path is not None:
            self.path.parent.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self.path.parent.mkdir(exist_ok=True)
            self._file = self.path.open("ab", buffering=0)
        if self._file is not None:
            left = memoryview(piece)
            while left:
                left = left[self._file.write(left) :]
