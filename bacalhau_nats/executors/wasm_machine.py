"""Runs one guest at a time on an engine of its own. Blocking; each machine belongs to one thread.

Wasmtime stops a guest when the epoch of its *engine* passes the store's deadline. With one engine per machine
the epoch moves only to stop this guest: there is no ticker, a stop is immediate, and nobody else notices. An
engine with its linker costs 0.13 ms once, a warm run 0.05 ms.

What ends a guest, and what is made of it:

* the entry function returns: exit code 0 (Bacalhau 1.9 says -1);
* ``proc_exit(n)``: exit code n;
* a trap: failed, as in Bacalhau, with exit code 1 and the backtrace on stderr; another try would trap again;
* memory beyond the limit: ``memory.grow`` answers -1 and ``malloc`` fails; the guest decides what then;
* it cannot start at all (no such entry point, a missing import, more initial memory than the limit):
  WorkFailed, not worth another try.
"""

from __future__ import annotations

import re
import threading
import time
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from wasmtime import (
    Config,
    Engine,
    Func,
    FuncType,
    Instance,
    InstancePre,
    Linker,
    Module,
    Store,
    Trap,
    WasiConfig,
    WasmtimeError,
)

from bacalhau_nats.domain.execution import Reason
from bacalhau_nats.domain.resources import show_bytes
from bacalhau_nats.executors import wasm_wasi
from bacalhau_nats.executors.wasm_modules import ModuleStore, digest_of
from bacalhau_nats.executors.wasm_spec import PAGE, GuestPlan, ModuleFile, invalid, plan_guest
from bacalhau_nats.ports import Work, WorkFailed

_STACK: Final = 1024 * 1024
_TABLE_ELEMENTS: Final = 1_000_000
_TABLES: Final = 10
_MODULES: Final = 8
"""Modules a machine keeps ready to be instantiated."""

_TURN: Final = 0.05
"""Seconds a guest waits for its turn to be set up."""

_turn = threading.Lock()
_TOO_BIG = re.compile(r"memory minimum size of (\d+) pages exceeds memory limits")
_INITIALIZE: Final = "_initialize"


@dataclass(frozen=True, slots=True)
class Ended:
    """How a guest ended; ``trap`` is what it died of, for its stderr; interrupted ones have no exit code.

    ``program`` is the digest of the entry module.
    """

    exit_code: int = 0
    trap: str = ""
    interrupted: bool = False
    program: str = ""


@dataclass(frozen=True, slots=True)
class _Ready:
    """A module with its imports resolved, and the functions it exports with whether they take arguments."""

    module: Module
    digest: str
    pre: InstancePre | None
    functions: dict[str, bool]


class Machine:
    """An engine, its linker, and the modules it has ready."""

    def __init__(self, modules: ModuleStore) -> None:
        self._modules = modules
        self._engine = Engine(_config())
        self._state = wasm_wasi.GuestState()
        self._linker = self._new_linker()
        self._fixed_linker: Linker | None = None
        self._ready: OrderedDict[str, _Ready] = OrderedDict()

    def arm(self) -> None:
        """Forget an earlier `interrupt`. Call it while no guest runs."""
        self._state.interrupted.clear()

    def interrupt(self) -> None:
        """End the present guest, in its code or in a sleep. From any thread; harmless when there is none."""
        self._state.interrupted.set()
        self._engine.increment_epoch()

    def execute(self, work: Work, stdout: str, stderr: str) -> Ended:
        """Run the guest to its end, its output going to the files ``stdout`` and ``stderr``.

        Raises WorkFailed when it cannot be started.
        """
        plan = plan_guest(work)
        wasm = plan.entry.path.read_bytes()
        ready = self._prepare(plan, wasm)
        _check_entrypoint(plan, ready)
        with _taking_turns():
            store, wasi = Store(self._engine), _wasi(plan, stdout, stderr)
        with store:
            store.set_wasi(wasi)
            self._state.began, self._state.exit_code = time.monotonic_ns(), None
            self._state.fixed = None if plan.seed is None else wasm_wasi.FixedWorld(plan.seed)
            parts = 1 + len(plan.libraries)
            store.set_limits(plan.memory, _TABLE_ELEMENTS, parts * 2, parts * _TABLES, parts)
            store.set_epoch_deadline(1)
            if self._state.interrupted.is_set():  # after the deadline is set: a later one will trap
                return Ended(interrupted=True)
            return self._call(plan, ready, store)

    def _call(self, plan: GuestPlan, ready: _Ready, store: Store) -> Ended:
        started = False
        try:
            instance = ready.pre.instantiate(store) if ready.pre else self._link(plan, ready, store)
            started = True
            exports = instance.exports(store)
            for name in _calls(plan.entrypoint):
                function = exports.get(name)
                if isinstance(function, Func) and self._state.exit_code is None:
                    function(store)
        except (Trap, WasmtimeError) as error:
            if self._state.exit_code is not None:
                return Ended(exit_code=self._state.exit_code, program=f"sha256:{ready.digest}")
            if self._state.interrupted.is_set():
                return Ended(interrupted=True)
            if isinstance(error, Trap) or started:
                return Ended(exit_code=1, trap=str(error).strip())
            raise _cannot_start(plan, error) from None
        return Ended(exit_code=self._state.exit_code or 0, program=f"sha256:{ready.digest}")

    def _prepare(self, plan: GuestPlan, wasm: bytes) -> _Ready:
        """Give the entry module with its imports resolved, from memory if it was used lately."""
        digest = digest_of(wasm)
        key = f"{digest} {'linked' if plan.libraries else ''} {'' if plan.seed is None else 'fixed'}"
        if found := self._ready.get(key):
            self._ready.move_to_end(key)
            return found
        module = self._modules.load(self._engine, wasm, digest, plan.entry.target)
        functions = {e.name: bool(e.type.params) for e in module.exports if isinstance(e.type, FuncType)}
        try:
            pre = None if plan.libraries else self._linker_of(plan).instantiate_pre(module)
        except WasmtimeError as error:
            raise _cannot_start(plan, error) from None
        self._ready[key] = ready = _Ready(module, digest, pre, functions)
        if len(self._ready) > _MODULES:
            self._ready.popitem(last=False)
        return ready

    def _link(self, plan: GuestPlan, ready: _Ready, store: Store) -> Instance:
        """Instantiate the entry module on top of those of ImportModules it needs, deepest first."""
        linker = self._new_linker(fixed=plan.seed is not None)
        loaded = {library.target: self._load(library) for library in plan.libraries}
        defined: set[str] = set()

        def define(module: Module, importers: tuple[str, ...]) -> None:
            for name in dict.fromkeys(wanted.module for wanted in module.imports):
                library = next((each for each in plan.libraries if name in each.names), None)
                if library is None or name in defined or name == wasm_wasi.MODULE:
                    continue
                if name in importers:
                    raise invalid(f"ImportModules import each other in a circle: {' → '.join(importers)}")
                define(loaded[library.target], (*importers, name))
                linker.define_module(store, name, loaded[library.target])
                defined.add(name)

        define(ready.module, ())
        return linker.instantiate(store, ready.module)

    def _load(self, library: ModuleFile) -> Module:
        wasm = library.path.read_bytes()
        return self._modules.load(self._engine, wasm, digest_of(wasm), library.target)

    def _linker_of(self, plan: GuestPlan) -> Linker:
        if plan.seed is None:
            return self._linker
        if self._fixed_linker is None:
            self._fixed_linker = self._new_linker(fixed=True)
        return self._fixed_linker

    def _new_linker(self, *, fixed: bool = False) -> Linker:
        linker = Linker(self._engine)
        linker.define_wasi()
        wasm_wasi.define(linker, self._state, self._engine.increment_epoch)
        if fixed:
            wasm_wasi.define_fixed(linker, self._state)
        return linker


@contextmanager
def _taking_turns() -> Iterator[None]:
    """Let one guest be set up at a time, within reason.

    Setting up is a dozen short calls into wasmtime, each of which gives up Python's lock and wants it back.
    Four threads doing that at once took 600 µs of CPU for a guest, one after the other 120 µs. Nothing
    depends on the turn, so a folder that is slow to open (a network file system) does not stop the others.
    """
    mine = _turn.acquire(timeout=_TURN)
    try:
        yield
    finally:
        if mine:
            _turn.release()


def _config() -> Config:
    config = Config()
    config.epoch_interruption = True
    config.max_wasm_stack = _STACK
    config.wasm_threads = False  # shared memory would escape the memory limit
    config.wasm_multi_memory = False  # and so would several memories
    return config


def _wasi(plan: GuestPlan, stdout: str, stderr: str) -> WasiConfig:
    wasi = WasiConfig()
    wasi.argv = list(plan.argv)
    wasi.env = plan.env
    wasi.stdout_file = stdout
    wasi.stderr_file = stderr
    for folder in plan.preopens:
        try:
            wasi.preopen_dir(str(folder.source), folder.guest, folder.writable)
        except WasmtimeError:
            raise WorkFailed(
                f"wasm engine: the folder for {folder.guest!r} cannot be opened on this node",
                reason=Reason.INPUT,
            ) from None
    return wasi


def _calls(entrypoint: str) -> tuple[str, ...]:
    """Name the functions to call: a library is initialised before one of its own functions is called."""
    return (entrypoint,) if entrypoint in ("_start", _INITIALIZE) else (_INITIALIZE, entrypoint)


def _check_entrypoint(plan: GuestPlan, ready: _Ready) -> None:
    takes_arguments = ready.functions.get(plan.entrypoint)
    if takes_arguments is False:
        return
    callable_names = ", ".join(name for name, takes in ready.functions.items() if not takes) or "none"
    problem = "has no function" if takes_arguments is None else "needs arguments for its function"
    raise invalid(
        f"module {plan.entry.target} {problem} {plan.entrypoint!r}",
        f"functions it exports that can be an Entrypoint: {callable_names}",
    )


def _cannot_start(plan: GuestPlan, error: Exception) -> WorkFailed:
    reason = str(error).partition("\n")[0]
    if found := _TOO_BIG.search(reason):
        needed = int(found[1]) * PAGE
        return WorkFailed(
            f"module {plan.entry.target} needs {show_bytes(needed)} of memory to start, "
            f"the job may have {show_bytes(plan.memory)}",
            reason=Reason.MEMORY,
            retryable=False,
            hint="raise Resources.Memory of the task",
        )
    imports = ", ".join(library.target for library in plan.libraries) or "none"
    return invalid(
        f"module {plan.entry.target} cannot be linked: {reason}",
        f"it may import WASI preview 1 and the modules in ImportModules (of this job: {imports})",
    )
