"""The two calls of WASI preview 1 that wasmtime's own implementation would get wrong here.

``proc_exit``: wasmtime turns exit codes of 126 and more into a trap that does not say which it was.

``poll_oneoff``: wasmtime interrupts compiled code at its next epoch check, but not a host call: with its own ``poll_oneoff`` a
guest inside ``sleep(3600)`` would hold its thread for an hour. This one waits on an event instead. Sizes and
offsets are those of the preview 1 witx (``subscription`` has 48 bytes, ``event`` 32).
"""

from __future__ import annotations

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


def define(linker: Linker, state: GuestState, end: Callable[[], None]) -> None:
    """Put both in place of wasmtime's; ``end`` stops the guest at its next epoch check.

    They never raise: wasmtime-py hands an exception from a host function to whichever thread looks first.
    """
    linker.allow_shadowing = True
    i32 = ValType.i32()
    linker.define_func(MODULE, "proc_exit", FuncType([i32], []), _proc_exit(state, end))
    signature = FuncType([i32] * 4, [i32])
    linker.define_func(MODULE, "poll_oneoff", signature, _poll_oneoff(state), access_caller=True)


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
    return ready + [event for seconds, event in clocks if seconds <= soonest]


def _now(clock: int, state: GuestState) -> int:
    """Read the guest's clock, in nanoseconds."""
    return time.time_ns() if clock == _REALTIME else time.monotonic_ns() - state.began
