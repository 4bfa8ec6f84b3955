"""Jobs that wait for capacity, in the order they will be served. Pure.

Nobody polls: whenever a node tells what it has free, and whenever a job leaves the line, the first jobs
that fit into that room are woken, not all of them. One that was woken a moment ago and is still in the
line will take its part of the room, so the next news wakes the next one.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from functools import lru_cache

from bacalhau_nats.domain.ids import JobID, NodeID
from bacalhau_nats.domain.resources import Resources

_LOOK_AT_MOST = 16  # in one stretch: waiters that do not fit are passed over, but not without end


@lru_cache(maxsize=256)
def _shared(nodes: frozenset[NodeID], without: NodeID | None = None) -> frozenset[NodeID]:
    """Give one object for equal sets: a hundred thousand jobs may find the same thousands of nodes no use."""
    return nodes - {without} if without is not None else nodes


@dataclass(slots=True)
class Waiter:
    """One job in the line: what one execution needs, how many wait, and which nodes are no use to it."""

    job_id: JobID
    needs: Resources
    missing: int
    since: float
    reasons: dict[NodeID, str] = field(default_factory=dict)
    useless: frozenset[NodeID] = frozenset()
    woken: float = float("-inf")
    woken_for: NodeID | None = None


@dataclass(slots=True)
class WaitingLine:
    """Ordered by priority (high first), then by submission. Times are monotonic seconds."""

    patience: float = 0.5
    _order: list[tuple[int, int, JobID]] = field(default_factory=list)
    _waiters: dict[JobID, tuple[tuple[int, int, JobID], Waiter]] = field(default_factory=dict)
    _passed: tuple[int, int, JobID] | None = None  # how far we have looked behind those in front

    def join(self, waiter: Waiter, priority: int, submitted: int) -> None:
        """Put a job into the line, or renew what it waits for; it keeps its place and since when."""
        place = (-priority, submitted, waiter.job_id)
        old = self._waiters.get(waiter.job_id)
        if old is not None:
            waiter.since = old[1].since
            self._drop(old[0])
        waiter.useless = _shared(waiter.useless)
        insort(self._order, place)
        self._waiters[waiter.job_id] = (place, waiter)

    def leave(self, job_id: JobID) -> NodeID | None:
        """Take a job out of the line; give the node whose room it had been woken for, if any."""
        old = self._waiters.pop(job_id, None)
        if old is None:
            return None
        self._drop(old[0])
        return old[1].woken_for

    def reconsider(self, node: NodeID) -> None:
        """Forget that a node was no use to anybody: it has changed."""
        for _, waiter in self._waiters.values():
            if node in waiter.useless:
                waiter.useless = _shared(waiter.useless, node)

    def hopeless(self, able: AbstractSet[NodeID]) -> set[JobID]:
        """Give the jobs to which all the ``able`` nodes are no use: no room will ever come for them."""
        verdicts = {useless: able <= useless for useless in {w.useless for _, w in self._waiters.values()}}
        return {job_id for job_id, (_, waiter) in self._waiters.items() if verdicts[waiter.useless]}

    def _drop(self, place: tuple[int, int, JobID]) -> None:
        at = bisect_left(self._order, place)
        if self._order[at : at + 1] == [place]:
            del self._order[at]

    def wake(self, node: NodeID, room: Resources, now: float) -> list[JobID]:
        """Choose the first jobs that fit together into the ``room`` of ``node``.

        What was woken for the same room a moment ago will take its part of it first.
        """
        chosen: list[JobID] = []
        at, room = self._choose(0, node, room, now, chosen)
        if at < len(self._order):
            # Those in front may wait for something else for ever: go on behind them, where we stopped last time.
            behind = bisect_left(self._order, self._passed) if self._passed is not None else at
            at, _ = self._choose(max(at, behind), node, room, now, chosen)
            self._passed = self._order[at] if at < len(self._order) else None
        return chosen

    def _choose(
        self, start: int, node: NodeID, room: Resources, now: float, chosen: list[JobID]
    ) -> tuple[int, Resources]:
        """Go through the line from ``start``; give where we stopped, and the room that is left."""
        looked = 0
        for at in range(start, len(self._order)):
            job_id = self._order[at][2]
            waiter = self._waiters[job_id][1]
            recent = now - waiter.woken < self.patience
            if not recent:
                looked += 1
                if looked > _LOOK_AT_MOST:
                    return at, room
            elif waiter.woken_for != node:
                continue
            if node in waiter.useless or not waiter.needs.fits_in(room):
                continue
            if not recent:
                waiter.woken, waiter.woken_for = now, node
                chosen.append(job_id)
            for _ in range(max(1, waiter.missing)):
                if not waiter.needs.fits_in(room):
                    break
                room = room - waiter.needs
        return len(self._order), room

    def everybody(self) -> list[Waiter]:
        """List all who wait, in order."""
        return [self._waiters[job_id][1] for _, _, job_id in self._order]

    def __contains__(self, job_id: JobID) -> bool:
        return job_id in self._waiters

    def __len__(self) -> int:
        return len(self._order)
