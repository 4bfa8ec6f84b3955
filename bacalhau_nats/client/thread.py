"""An event loop on a thread of its own, for callers that have none to spare: scripts, threads, notebooks."""

from __future__ import annotations

import asyncio
import threading
import weakref
from collections.abc import AsyncGenerator, AsyncIterator, Coroutine, Iterator
from concurrent.futures import wait
from contextlib import suppress
from typing import Any, Final, TypeVar

T = TypeVar("T")

_SIGNALS_EVERY = 1.0  # seconds


class _End:
    """Stands for the end of an iterator, which a future cannot carry as an exception."""


_END: Final = _End()


class LoopThread:
    """Runs coroutines for any number of threads. The thread starts with the first one and ends with `close`."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = threading.current_thread()
        self._end: weakref.finalize[[asyncio.AbstractEventLoop, threading.Thread], LoopThread] | None = None

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run ``work`` and give its result. What interrupts the caller, Ctrl-C above all, cancels it."""
        try:
            loop = self._running()
        except BaseException:
            work.close()
            raise
        future = asyncio.run_coroutine_threadsafe(work, loop)
        try:
            while not future.done():
                # A signal that another thread took is only seen when this one wakes up.
                wait((future,), timeout=_SIGNALS_EVERY)
            return future.result()
        except BaseException:
            future.cancel()
            raise

    def each(self, items: AsyncIterator[T]) -> Iterator[T]:
        """Give the items of an asynchronous iterator, asking for each when it is wanted."""
        try:
            while not isinstance(item := self.run(_next(items)), _End):
                yield item
        finally:
            # A garbage collector may finish this on any thread, also the loop's own: nothing is waited for.
            if isinstance(items, AsyncGenerator) and self._loop is not None:
                with suppress(RuntimeError):  # the loop has ended, and the generator with it
                    self._loop.call_soon_threadsafe(_close, items)

    def close(self) -> None:
        """Cancel what still runs and end the thread. A later `run` starts another; closing twice is harmless."""
        with self._lock:
            end, self._end, self._loop = self._end, None, None
        if end is not None:
            end()

    def _running(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._loop is None:
                loop = asyncio.new_event_loop()
                thread = threading.Thread(target=_live, args=(loop,), name="bacalhau client", daemon=True)
                thread.start()
                self._loop, self._thread = loop, thread
                # Also when nobody closes it: with the last reference, and at the end of the program.
                self._end = weakref.finalize(self, _stop, loop, thread)
            elif self._thread is threading.current_thread():
                raise RuntimeError("a SyncClient was called from its own event loop: use Client there")
            elif not self._thread.is_alive():
                raise RuntimeError("a SyncClient does not survive a fork: make one in each process")
            return self._loop


def _live(loop: asyncio.AbstractEventLoop) -> None:
    with asyncio.Runner(loop_factory=lambda: loop) as runner:  # ends what is left at the end
        runner.get_loop().run_forever()


def _stop(loop: asyncio.AbstractEventLoop, thread: threading.Thread) -> None:
    with suppress(RuntimeError):  # it has ended
        loop.call_soon_threadsafe(loop.stop)
    if thread is not threading.current_thread():
        thread.join()


async def _next(items: AsyncIterator[T]) -> T | _End:
    return await anext(items, _END)


_closing: set[asyncio.Task[None]] = set()


def _close(items: AsyncGenerator[Any, None]) -> None:
    task = asyncio.get_running_loop().create_task(items.aclose())
    _closing.add(task)  # a loop holds its tasks only weakly
    task.add_done_callback(_closing.discard)
