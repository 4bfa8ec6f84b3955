"""What the executor suite is made of: an engine described by its programs, a log to look into, Work to run."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

from bacalhau_nats.domain.ids import ExecutionID, JobID
from bacalhau_nats.domain.resources import NOTHING, Resources
from bacalhau_nats.domain.spec import InputSource, JobSpec, ResultPath, SpecConfig, Task
from bacalhau_nats.ports import Executor, LogSink, Outcome, Stream, Volume, Work

_PATIENCE = 60.0


@dataclass(frozen=True, slots=True)
class Program:
    """Something an engine can run: its engine parameters, and inputs it needs besides the check's own."""

    engine: SpecConfig
    inputs: tuple[Volume, ...] = ()


async def _nothing() -> Sequence[str]:
    return ()


@dataclass(frozen=True, slots=True)
class EngineCase:
    """How an engine does what the checks ask for."""

    say: Callable[[str], Program]
    """Prints this text on stdout, with no line end or with one, and ends with exit code 0."""
    exit_with: Callable[[int], Program]
    """Ends with this exit code."""
    sleep: Callable[[float], Program]
    """Sleeps that many seconds."""
    cannot_start: Program
    """Needs something that is not there: an image, an entry point."""
    cat: Callable[[str], Program] | None = None
    """Copies the file at this path inside the execution to stdout."""
    show: Callable[[Sequence[str]], Program] | None = None
    """Prints these arguments, and its environment as NAME=value, on stdout, and something on stderr."""
    write: Callable[[str, str], Program] | None = None
    """Writes to the file at this path this text; its exit code is not 0 when it cannot."""
    spin: Program | None = None
    """Computes for ever."""
    leftovers: Callable[[], Awaitable[Sequence[str]]] = _nothing
    """Names what the engine has left behind now: containers, networks, busy threads."""


class RecordingSink(LogSink):
    """Remembers all output and events; ``pause`` seconds after each write make it a slow one."""

    def __init__(self, *, pause: float = 0.0) -> None:
        self.output: dict[Stream, bytearray] = {stream: bytearray() for stream in Stream}
        self.arrivals: list[tuple[float, Stream, bytes]] = []
        self.events: list[str] = []
        self._pause = pause
        self._arrived = asyncio.Event()

    @property
    def stdout(self) -> bytes:
        """All of stdout so far."""
        return bytes(self.output[Stream.STDOUT])

    @property
    def stderr(self) -> bytes:
        """All of stderr so far."""
        return bytes(self.output[Stream.STDERR])

    async def write(self, stream: Stream, data: bytes) -> None:
        """Keep it, with the time of its arrival."""
        self.output[stream] += data
        self.arrivals.append((time.monotonic(), stream, data))
        self._arrived.set()
        if self._pause:
            await asyncio.sleep(self._pause)

    async def event(self, message: str) -> None:
        """Keep it."""
        self.events.append(message)

    async def arrival(self) -> None:
        """Wait for the first output."""
        async with asyncio.timeout(_PATIENCE):
            await self._arrived.wait()


@dataclass(frozen=True, slots=True)
class Extras:
    """What a check adds to a program."""

    env: Mapping[str, str] = field(default_factory=dict)
    inputs: tuple[Volume, ...] = ()
    outputs: tuple[Volume, ...] = ()
    resources: Resources = NOTHING


def make_work(program: Program, folder: Path, extras: Extras | None = None) -> Work:
    """Build the Work of one execution that runs ``program``, its scratch folder below ``folder``."""
    extras = extras or Extras()
    # Engines are shared: no two processes may make the same execution.
    execution = ExecutionID(f"e-{uuid4()}")
    scratch = folder / execution
    scratch.mkdir(parents=True)
    inputs = (*program.inputs, *extras.inputs)
    task = Task(
        engine=program.engine,
        env=dict(extras.env),
        input_sources=tuple(InputSource(target=volume.target) for volume in inputs),
        result_paths=tuple(ResultPath(name=v.source.name, path=v.target) for v in extras.outputs),
    )
    job = JobSpec(id=JobID(f"j-{uuid4()}"), name="conformance", tasks=(task,))
    return Work(
        execution_id=execution,
        job=job,
        task=task,
        partition=0,
        resources=extras.resources,
        env=extras.env,
        inputs=inputs,
        outputs=extras.outputs,
        scratch=scratch,
    )


async def run(executor: Executor, work: Work, logs: LogSink | None = None) -> Outcome:
    """Run ``work``, but not for ever."""
    async with asyncio.timeout(_PATIENCE):
        return await executor.run(work, logs or RecordingSink())


async def stop(running: asyncio.Future[Outcome]) -> None:
    """Cancel a run, and wait for its end."""
    running.cancel()
    await asyncio.wait({running}, timeout=_PATIENCE)
    require(running.cancelled(), f"a cancelled run must end with CancelledError, not {running!r}")


@asynccontextmanager
async def sooner_than(measure: Coroutine[Any, Any, Outcome], message: str) -> AsyncIterator[None]:
    """Require the body to end before ``measure`` does, a run that only sleeps: a slow machine slows both."""
    task = asyncio.ensure_future(measure)
    try:
        yield
        require(not task.done(), message)
    finally:
        task.cancel()
        await asyncio.wait({task}, timeout=_PATIENCE)


def require(holds: bool, message: str) -> None:
    """Raise AssertionError with ``message`` unless it holds."""
    if not holds:
        raise AssertionError(message)
