"""The ``noop`` engine: does what its parameters say and nothing else, for tests and benchmarks.

Params, all optional: ``Output`` (text for stdout), ``Sleep`` (seconds, may be a fraction), ``ExitCode``, and
``Fail`` (a message: the work fails with it). They happen in that order.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager

from bacalhau_nats.domain.execution import Reason
from bacalhau_nats.domain.ids import ExecutionID
from bacalhau_nats.domain.spec import SpecConfig
from bacalhau_nats.ports import Health, LogSink, Outcome, PluginContext, Stream, Work, WorkFailed

_HEALTHY = Health(ok=True)


class NoopExecutor:
    """An engine that needs nothing and leaves nothing."""

    async def check(self) -> Health:
        """Say yes."""
        return _HEALTHY

    async def run(self, work: Work, logs: LogSink) -> Outcome:
        """Print, wait and end as told. Raises WorkFailed when told to, or when a parameter is no number."""
        engine = work.task.engine
        sleep, exit_code = _number(engine, "Sleep"), _number(engine, "ExitCode")
        if output := engine.param("Output"):
            await logs.write(Stream.STDOUT, str(output).encode())
        if sleep:
            await asyncio.sleep(sleep)
        if message := engine.param("Fail"):
            raise WorkFailed(str(message))
        return Outcome(exit_code=int(exit_code))

    async def attach(self, work: Work, logs: LogSink, *, seen: Mapping[Stream, int]) -> None:  # noqa: ARG002 - the port's signature
        """Find nothing: this work lives and dies with its process."""
        return

    async def sweep(self, keep: Sequence[ExecutionID]) -> int:  # noqa: ARG002 - the port's signature
        """Find nothing to remove."""
        return 0


@asynccontextmanager
async def open_noop(context: PluginContext) -> AsyncIterator[NoopExecutor]:  # noqa: ARG001 - needs nothing
    """Open the engine; it has no settings."""
    yield NoopExecutor()


def _number(engine: SpecConfig, name: str) -> float:
    value = engine.param(name, 0)
    if isinstance(value, bool) or not isinstance(value, int | float) or value < 0:
        raise WorkFailed(
            f"noop engine: {name} must be a number, zero or more, not {value!r}",
            reason=Reason.INVALID,
            retryable=False,
        )
    return value
