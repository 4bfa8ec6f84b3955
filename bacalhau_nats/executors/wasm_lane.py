"""Threads that run guests, and who gets which.

A *lane* is a thread, a machine and two pipes; it runs one guest at a time. Lanes are made when all others
are busy and handed out last used first, so that the warm ones stay warm.

    idle ──run──► busy ──guest ended, output handed over──► idle ──► (too many idle) closed
                   │
                   └──cancelled──► stopping ──guest ended──► closed (its pipes may hold stray output)
                                      │
                                      └──not in time──► left behind ──guest ended──► closed

Left behind are guests in a host call that nothing interrupts (a large module being compiled, a named pipe
in an input folder that nobody writes to). Nobody waits for them, and what they still say is thrown away.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import queue
import threading
from contextlib import suppress

from bacalhau_nats.executors.wasm_machine import Ended, Machine
from bacalhau_nats.executors.wasm_modules import ModuleStore
from bacalhau_nats.executors.wasm_output import Tap
from bacalhau_nats.ports import LogSink, Stream, Work, WorkFailed

_GRACE = 1.5
"""Seconds a stopped guest has to end; the port allows two in all."""

_KEEP = 8
"""Idle lanes kept; each costs a thread and four descriptors."""

_log = logging.getLogger(__name__)
_numbers = itertools.count(1)

_Answer = Ended | BaseException
_Job = tuple[Work, asyncio.Future[_Answer]]


class Lane:
    """A thread that runs one guest at a time."""

    def __init__(self, modules: ModuleStore) -> None:
        self._loop = asyncio.get_running_loop()
        self._taps = (Tap(Stream.STDOUT), Tap(Stream.STDERR))
        self._machine = Machine(modules)
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self.busy: asyncio.Future[_Answer] | None = None
        self.spoiled = False
        # A daemon: a guest left behind must not keep the node from exiting.
        self._thread = threading.Thread(target=self._serve, name=f"wasm-{next(_numbers)}", daemon=True)
        self._thread.start()

    async def run(self, work: Work, logs: LogSink) -> Ended:
        """Run one guest to its end, all its output handed over.

        Raises WorkFailed, or what ``logs`` raises. When cancelled, the guest is stopped first.
        """
        self._machine.arm()
        for tap in self._taps:
            tap.open(logs, self.interrupt)
        self.busy = done = self._loop.create_future()
        self._jobs.put((work, done))
        try:
            answer: _Answer = await asyncio.shield(done)
            for tap in self._taps:
                await tap.drain()
        except BaseException:
            await self._stop(done, work)
            raise
        if isinstance(answer, BaseException):
            raise answer
        return answer

    def interrupt(self) -> None:
        """Make the present guest end, if there is one."""
        self._machine.interrupt()

    def close(self) -> None:
        """End the thread and give the pipes back. Only when it is not busy."""
        self._jobs.put(None)
        for tap in self._taps:
            tap.close()

    def join(self) -> None:
        """Wait for the thread of a closed lane, so that all it held is given back."""
        self._thread.join(_GRACE)

    async def _stop(self, done: asyncio.Future[_Answer], work: Work) -> None:
        self.spoiled = True
        self.interrupt()
        for tap in self._taps:
            tap.discard()
        if not done.done():
            await asyncio.wait({done}, timeout=_GRACE)
        if not done.done():
            _log.warning(
                "a WASM guest does not end: it is left behind",
                extra={"action": "guest_left_behind", "execution": work.execution_id},
            )

    def _serve(self) -> None:
        while (job := self._jobs.get()) is not None:
            work, done = job
            answer: _Answer
            try:
                answer = self._machine.execute(work, *(tap.path for tap in self._taps))
            except BaseException as error:  # noqa: BLE001 - carried to the task that waits
                answer = error
            with suppress(RuntimeError):  # the loop is gone, and with it whoever waited
                self._loop.call_soon_threadsafe(_settle, done, answer)
            del job, work, done, answer


class Lanes:
    """As many lanes as there are guests, at most ``limit``."""

    def __init__(self, modules: ModuleStore, limit: int) -> None:
        self._modules = modules
        self._room = asyncio.Semaphore(limit)
        self._idle: list[Lane] = []
        self._busy: set[Lane] = set()
        self._closing = False

    async def run(self, work: Work, logs: LogSink) -> Ended:
        """Run ``work`` on a free lane, waiting for one when all are busy."""
        async with self._room:
            if self._closing:
                raise _closed()
            lane = self._idle.pop() if self._idle else Lane(self._modules)
            self._busy.add(lane)
            try:
                ended = await lane.run(work, logs)
            finally:
                self._give_back(lane)
        if ended.interrupted:
            raise _closed()
        return ended

    async def close(self) -> None:
        """Stop every guest and end the threads."""
        self._closing = True
        for lane in self._busy:
            lane.interrupt()
        if waiting := [lane.busy for lane in self._busy if lane.busy]:
            await asyncio.wait(waiting, timeout=_GRACE)
        idle, self._idle = self._idle, []
        for lane in idle:
            lane.close()
        for lane in idle:
            await asyncio.to_thread(lane.join)

    def _give_back(self, lane: Lane) -> None:
        if lane.busy and not lane.busy.done():
            lane.busy.add_done_callback(lambda _: self._retire(lane))
            return
        self._busy.discard(lane)
        if lane.spoiled or self._closing or len(self._idle) >= _KEEP:
            lane.close()
        else:
            lane.busy = None
            self._idle.append(lane)

    def _retire(self, lane: Lane) -> None:
        self._busy.discard(lane)
        lane.close()


def _settle(done: asyncio.Future[_Answer], answer: _Answer) -> None:
    if not done.done():
        done.set_result(answer)


def _closed() -> WorkFailed:
    return WorkFailed("the wasm engine of this node is shutting down")
