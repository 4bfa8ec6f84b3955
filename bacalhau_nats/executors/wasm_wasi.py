"""The calls of WASI preview 1 that wasmtime's own implementation would get wrong here.

``proc_exit``: wasmtime turns exit codes of 126 and more into a trap that does not say which it was.

``poll_oneoff``: wasmtime interrupts compiled code at its next epoch check, but not a host call: with its own ``poll_oneoff`` a
guest inside ``sleep(3600)`` would hold its thread for an hour. This one waits on an event instead. Sizes and
offsets are those of the preview 1 witx (``subscription`` has 48 bytes, ``event`` 32).

``clock_time_get``, ``clock_res_get`` and ``random_get``, for guests that must do the same each time: see
`define_fixed`.
"""

from __future__ import annotations

import random
import struct
import threading
import time
from collections.abc import Callable
from typing import Final

from wasmtime import Caller, FuncType, Linker, Memory, ValType

MODULE: Final = "wasi_snapshot_preview1"

_SUBSCRIPTION: Final = struct.Struct(
    "<QB7xI4xQQH6x"
)  # userdata, tag, clock id or fd, timeout, precision, flags
_EVENT: Final = struct.Struct("<QHB5xQH6x")  # userdata, error, type, bytes, flags
_COUNT: Final = struct.Struct("<I")
_CLOCK: Final = 0
_REALTIME: Final = 0
_ABSOLUTE: Final = 1
_SUCCESS: Final = 0
_FAULT: Final = 21
_INTERRUPTED: Final = 27
_INVALID: Final = 28
_MASK: Final = 0xFFFFFFFF
_U64: Final = struct.Struct("<Q")
_CLOCKS: Final = 4
_TICK: Final = 1_000_000
"""Nanoseconds that a fixed clock moves with each look, so that a guest that waits for time to pass comes to an end."""
_EPOCH: Final = 946_684_800 * 1_000_000_000
"""What a fixed clock shows first: the beginning of the year 2000."""
_MOST: Final = 4096
"""Subscriptions in one call; more is a confused guest."""


class GuestState:
    """What the host functions share with the machine about its present guest."""

    def __init__(self) -> None:
        self.interrupted = threading.Event()
        """Set to end the guest's waits."""
        self.began = 0
        """`time.monotonic_ns` when the guest started; wasmtime's guests count from there."""
        self.exit_code: int | None = None
        """What the guest gave to ``proc_exit``."""
        self.fixed: FixedWorld | None = None
        """Time and chance of a guest that is to do the same each time; None for the real ones."""


class FixedWorld:
    """A clock and random numbers that depend on nothing but ``seed`` and on what the guest does."""

    def __init__(self, seed: str) -> None:
        self._elapsed = 0
        self._chance = random.Random(seed)  # noqa: S311 - it must be predictable: that is what is asked for

    def now(self, clock: int) -> int:
        """Read a clock, in nanoseconds; each look moves all of them."""
        self._elapsed += _TICK
        return self._elapsed + (_EPOCH if clock == _REALTIME else 0)

    def sleep(self, seconds: float) -> None:
        """Move all clocks."""
        self._elapsed += int(seconds * 1e9)

    def chance(self, size: int) -> bytes:
        """Give the next random bytes."""
        return self._chance.randbytes(size)


def define(linker: Linker, state: GuestState, end: Callable[[], None]) -> None:
    """Put both in place of wasmtime's; ``end`` stops the guest at its next epoch check.

    They never raise: wasmtime-py hands an exception from a host function to whichever thread looks first.
    """
    linker.allow_shadowing = True
    i32 = ValType.i32()
    linker.define_func(MODULE, "proc_exit", FuncType([i32], []), _proc_exit(state, end))
    signature = FuncType([i32] * 4, [i32])
    linker.define_func(MODULE, "poll_oneoff", signature, _poll_oneoff(state), access_caller=True)


def define_fixed(linker: Linker, state: GuestState) -> None:
    """Put the clocks and the random numbers of ``state.fixed`` in place of wasmtime's."""
    i32, i64 = ValType.i32(), ValType.i64()

    def write(caller: Caller, at: int, data: Callable[[], bytes], size: int) -> int:
        memory = caller.get("memory")
        if not isinstance(memory, Memory) or (at & _MASK) + size > memory.data_len(caller):
            return _FAULT
        memory.write(caller, data(), at & _MASK)
        return _SUCCESS

    def time_get(caller: Caller, clock: int, _: int, at: int) -> int:
        fixed = state.fixed
        if fixed is None or not 0 <= clock < _CLOCKS:
            return _INVALID
        return write(caller, at, lambda: _U64.pack(fixed.now(clock)), _U64.size)

    def resolution(caller: Caller, clock: int, at: int) -> int:
        return write(caller, at, lambda: _U64.pack(_TICK), _U64.size) if 0 <= clock < _CLOCKS else _INVALID

    def random_get(caller: Caller, at: int, size: int) -> int:
        fixed, length = state.fixed, size & _MASK
        return _INVALID if fixed is None else write(caller, at, lambda: fixed.chance(length), length)

    for name, signature, call in (
        ("clock_time_get", FuncType([i32, i64, i32], [i32]), time_get),
        ("clock_res_get", FuncType([i32, i32], [i32]), resolution),
        ("random_get", FuncType([i32, i32], [i32]), random_get),
    ):
        linker.define_func(MODULE, name, signature, call, access_caller=True)


def _proc_exit(state: GuestState, end: Callable[[], None]) -> Callable[[int], None]:
    """Make ``proc_exit``: it notes the code and returns into a guest that comes no further.

    Compilers put ``unreachable`` after it, and a loop or call of the guest's own meets the epoch.
    """

    def call(code: int) -> None:
        state.exit_code = code & _MASK
        end()

    return call


def _poll_oneoff(state: GuestState) -> Callable[[Caller, int, int, int, int], int]:
    """Make ``poll_oneoff``, which waits on ``state.interrupted``."""

    def call(caller: Caller, subscriptions: int, events: int, count: int, found: int) -> int:
        if not 0 < count <= _MOST:
            return _INVALID
        memory = caller.get("memory")
        if not isinstance(memory, Memory):
            return _FAULT
        start = subscriptions & _MASK
        stop = start + count * _SUBSCRIPTION.size
        if max(stop, (events & _MASK) + count * _EVENT.size, (found & _MASK) + 4) > memory.data_len(caller):
            return _FAULT
        ready = _wait(bytes(memory.read(caller, start, stop)), state)
        if ready is None:
            return _INTERRUPTED
        memory.write(caller, b"".join(ready), events & _MASK)
        memory.write(caller, _COUNT.pack(len(ready)), found & _MASK)
        return _SUCCESS

    return call


def _wait(raw: bytes, state: GuestState) -> list[bytes] | None:
    """Wait for the first of the subscriptions and give the events of all that are due.

    Descriptors are always ready: a guest has files, an empty stdin, and output whose write may wait.
    """
    ready: list[bytes] = []
    clocks: list[tuple[float, bytes]] = []
    for userdata, tag, target, timeout, _, flags in _SUBSCRIPTION.iter_unpack(raw):
        if tag == _CLOCK:
            began = 0 if not flags & _ABSOLUTE else _now(target, state)
            clocks.append((max((timeout - began) / 1e9, 0.0), _EVENT.pack(userdata, 0, tag, 0, 0)))
        else:
            ready.append(_EVENT.pack(userdata, 0, tag, 1, 0))
    soonest = 0.0 if ready else min(*(seconds for seconds, _ in clocks), threading.TIMEOUT_MAX)
    if state.interrupted.wait(soonest) if soonest > 0 else state.interrupted.is_set():
        return None
    if state.fixed is not None:
        state.fixed.sleep(soonest)
    return ready + [event for seconds, event in clocks if seconds <= soonest]


def _now(clock: int, state: GuestState) -> int:
    """Read the guest's clock, in nanoseconds."""
    if state.fixed is not None:
        return state.fixed.now(clock)
    return time.time_ns() if clock == _REALTIME else time.monotonic_ns() - state.began
