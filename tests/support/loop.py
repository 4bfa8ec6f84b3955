"""An event loop whose clock jumps: a minute of simulated time costs only the work done in it.

Nothing in a simulated world does I/O, so when nothing is ready the loop moves its clock to the next timer
instead of waiting. Order of callbacks is the loop's own and thus the same for the same seed.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any


class Deadlock(AssertionError):
    """Everybody waits and no timer is set."""


class _Jumping(selectors.SelectSelector):
    def __init__(self) -> None:
        super().__init__()
        self.loop: VirtualLoop | None = None

    def select(self, timeout: float | None = None):  # type: ignore[no-untyped-def]
        if timeout is None:
            msg = "nothing is ready and no timer is set"
            raise Deadlock(msg)
        if timeout > 0 and self.loop is not None:
            self.loop.moment += timeout
        return []  # nothing here does I/O: a real select would only cost time


class VirtualLoop(asyncio.SelectorEventLoop):
    """A loop with its own time, in seconds since it was made."""

    def __init__(self) -> None:
        selector = _Jumping()
        super().__init__(selector)
        selector.loop = self
        self.moment = 1_000.0
        self._clock_resolution = 1e-9

    def time(self) -> float:
        return self.moment


def run_virtually(main: Coroutine[Any, Any, Any]) -> Any:
    """Run a coroutine on a virtual loop to its end."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(main)
