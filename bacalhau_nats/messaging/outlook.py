"""What this process sees of the cell: the view, followed, and the heartbeats, heard.

One per process; a requester and a gateway in one process share it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from bacalhau_nats.domain.facts import Fact
from bacalhau_nats.domain.ids import JobID
from bacalhau_nats.domain.jobview import JobView
from bacalhau_nats.domain.node import Heartbeat
from bacalhau_nats.domain.roster import Roster
from bacalhau_nats.domain.view import NodeView, View
from bacalhau_nats.messaging.bus import Bus
from bacalhau_nats.messaging.follower import Follower
from bacalhau_nats.messaging.subjects import HEARTBEAT
from bacalhau_nats.ports import Clock

FactListener = Callable[[Fact, JobView | NodeView | None], None]
BeatListener = Callable[[Heartbeat], object]
_TIDY_SECONDS = 0.5
_TIDY_AT_ONCE = 200


class Outlook:
    """Holds the view and the roster of a process. ``window``: seconds of silence after which a node is lost."""

    def __init__(self, bus: Bus, clock: Clock, window: float) -> None:
        self._bus, self._clock = bus, clock
        self.view = View()
        self.roster = Roster(window=window, started=clock.monotonic())
        self._follower = Follower(bus, self._apply, on_reset=self._forget)
        self._on_fact: list[FactListener] = []
        self._on_beat: BeatListener = self._hear
        self._waiters: dict[JobID, list[tuple[Callable[[JobView | None], bool], asyncio.Future[None]]]] = {}

    async def reached(self, seq: int, within: float) -> bool:
        """Wait until the view has a fact; False when it has not ``within`` seconds (`ports.Sight`)."""
        return await self._follower.reached(seq, within)

    def listen(self, on_fact: FactListener, on_beat: BeatListener) -> None:
        """Tell a requester's desk of every fact after now, and let it hear the heartbeats."""
        self._on_fact.append(on_fact)
        self._on_beat = on_beat

    async def until(self, job_id: JobID, holds: Callable[[JobView | None], bool]) -> None:
        """Wait until ``holds`` is true of a job as the view shows it; looked at when a fact of it arrives."""
        if holds(self.view.job(job_id)):
            return
        waiter = (holds, asyncio.get_running_loop().create_future())
        self._waiters.setdefault(job_id, []).append(waiter)
        try:
            await waiter[1]
        finally:
            self._waiters[job_id].remove(waiter)
            if not self._waiters[job_id]:
                del self._waiters[job_id]

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """Follow while the context is open; entered once the view is up to date."""
        beats = await self._bus.subscribe(HEARTBEAT.any(cell=self._bus.cell.name), (Heartbeat,), self._beat)
        async with asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(self._follower.run(), name="follow facts"),
                group.create_task(self._tidy(), name="archive settled jobs"),
            ]
            try:
                await self._follower.ready.wait()
                yield
            finally:
                for task in tasks:
                    task.cancel()
                if self._bus.connected:
                    await beats.unsubscribe()

    def _beat(self, beat: Heartbeat) -> None:
        self._on_beat(beat)

    def _hear(self, beat: Heartbeat) -> None:
        self.roster.hear(beat, self._clock.monotonic())

    def _apply(self, fact: Fact) -> None:
        changed = self.view.apply(fact)
        for listener in self._on_fact:
            listener(fact, changed)
        if isinstance(changed, JobView) and changed.id in self._waiters:
            self._wake(changed.id, changed)

    def _wake(self, job_id: JobID, job: JobView | None) -> None:
        for holds, future in self._waiters[job_id]:
            if not future.done() and holds(job):
                future.set_result(None)

    def _forget(self) -> None:
        """Start over, in place: everybody holds the same view."""
        self.view.clear()
        for job_id in self._waiters:  # no fact will ever tell them
            self._wake(job_id, None)

    async def _tidy(self) -> None:
        while True:
            await asyncio.sleep(_TIDY_SECONDS)
            while self.view.tidy(_TIDY_AT_ONCE):  # noqa: ASYNC110 - gives others a turn, waits for nothing
                await asyncio.sleep(0)
