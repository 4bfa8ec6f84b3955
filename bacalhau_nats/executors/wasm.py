"""The ``wasm`` engine: runs WASI preview 1 modules with wasmtime, in this process.

Guests are kept apart by the WASM sandbox: they see their inputs (read-only unless asked otherwise), their
output folders, their environment and arguments, and no network. Several run at once, each on a thread of its
own; Python's lock is not held while they run. Memory is limited as the job asks, CPU is not.

The rooms: `wasm_spec` reads the job, `wasm_modules` keeps compiled code, `wasm_machine` runs one guest,
`wasm_lane` gives guests their threads, `wasm_output` carries what they print.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from pydantic import Field, ValidationError

from bacalhau_nats.domain.execution import Reason
from bacalhau_nats.domain.ids import ExecutionID
from bacalhau_nats.domain.model import Model
from bacalhau_nats.errors import InvalidSettings, StartFailed
from bacalhau_nats.executors.wasm_lane import Lanes
from bacalhau_nats.executors.wasm_modules import ModuleStore
from bacalhau_nats.ports import Failure, Health, LogSink, Outcome, PluginContext, Stream, Work

_HEALTHY = Health(ok=True)


class WasmSettings(Model):
    """The section ``wasm`` of a node's executors."""

    max_instances: int = Field(256, gt=0, description="guests that run at once; more wait")
    cache_bytes: int = Field(1024**3, gt=0, description="disk for compiled modules, in bytes")


class WasmExecutor:
    """Runs WASM modules. Made by `open_wasm`."""

    def __init__(self, lanes: Lanes) -> None:
        self._lanes = lanes

    async def check(self) -> Health:
        """Say yes: the runtime is part of this process."""
        return _HEALTHY

    async def run(self, work: Work, logs: LogSink) -> Outcome:
        """Run the module to its end; see `wasm_machine` for what its exit code is.

        Raises WorkFailed with reason INVALID when it cannot be started on any node, MEMORY when its initial
        memory is above the limit.
        """
        ended = await self._lanes.run(work, logs)
        if not ended.trap:
            return Outcome(exit_code=ended.exit_code, program=ended.program)
        await logs.write(Stream.STDERR, f"{ended.trap}\n".encode())
        why = f"the module trapped: {_cause(ended.trap)}"
        hint = "the backtrace is at the end of its stderr"
        return Outcome(ended.exit_code, Failure(why, Reason.ENGINE, retryable=False, hint=hint))

    async def attach(self, work: Work, logs: LogSink, *, seen: Mapping[Stream, int]) -> None:  # noqa: ARG002 - the port's signature
        """Find nothing: a guest dies with the process it runs in."""
        return

    async def sweep(self, keep: Sequence[ExecutionID]) -> int:  # noqa: ARG002 - the port's signature
        """Find nothing: a guest's files are in the scratch folder of its execution, which is not ours."""
        return 0


def _cause(trap: str) -> str:
    """Give the line of a trap's report that names the cause: the last, after the backtrace."""
    lines = [line.strip() for line in trap.splitlines() if line.strip()]
    return lines[-1].removeprefix("wasm trap: ") if lines else "unknown cause"


@asynccontextmanager
async def open_wasm(context: PluginContext) -> AsyncIterator[WasmExecutor]:
    """Open the engine; closing it stops everything that runs.

    Raises InvalidSettings for a setting that cannot be used, StartFailed where /dev/fd is missing.
    """
    try:
        settings = WasmSettings.model_validate(dict(context.settings))
    except ValidationError as error:
        first = error.errors()[0]
        raise InvalidSettings(f"wasm engine: {first['loc'][0]}: {first['msg']}") from None
    lanes = Lanes(_module_store(context, settings), settings.max_instances)
    try:
        yield WasmExecutor(lanes)
    finally:
        await lanes.close()


def _module_store(context: PluginContext, settings: WasmSettings) -> ModuleStore:
    if not Path("/dev/fd").exists():
        raise StartFailed("wasm engine: /dev/fd is missing, guests could not print", hint="mount /proc")
    return ModuleStore(context.data_dir / "wasm" / "modules", settings.cache_bytes)
