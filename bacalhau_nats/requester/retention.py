"""Finished jobs leave after a while, and what belonged to them.

A purge is a fact: first a tombstone replaces the spec (compare-and-set, so a job that was updated stays),
and every view drops the job; then its other records, its results and its logs are removed, its conclusion
last. A requester that hears no answer looks again in its next pass. When one dies in between, the others see a
tombstone and, a while later, still a conclusion: they remove the rest. So does one that starts: it finds
records of a job that nobody knows (`View.unfinished` holds them, without a spec). Both happen while the
tombstone lies, however short jobs are kept: the name cannot come back to the old records. Large inline content
is removed when no job names it any more.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from bacalhau_nats.domain.facts import Fact, Key, conclusion_key, spec_key
from bacalhau_nats.domain.ids import ExecutionID, JobID
from bacalhau_nats.domain.job import TERMINAL
from bacalhau_nats.domain.jobview import JobView
from bacalhau_nats.domain.spec import BUS_PUBLISHER, JobSpec
from bacalhau_nats.domain.view import View
from bacalhau_nats.errors import BacalhauError, Conflict, Unavailable
from bacalhau_nats.ports import Clock

log = logging.getLogger(__name__)
_SECOND = 1_000_000_000
_REMEMBER = 3600.0
"""Seconds a tombstone lies: a name that is used again within it gets a new id."""
_ORPHANED = _REMEMBER / 2
"""Seconds after which records without a spec are removed: well before their tombstone is forgotten."""
_IN_HAND = 60.0
"""Seconds in which whoever has put a tombstone removes the rest."""
_YOUNG = 3600.0
"""Seconds a blob is left alone: the job that names it may not be stored yet."""
_LONGEST_PAUSE = 600.0
_AT_ONCE = 200


class Purger(Protocol):
    """Removes records and logs for good."""

    async def purge(self, key: Key, revision: int, *, remember: float) -> int:
        """Put a tombstone in place of a record. Raises Conflict when it has moved on."""
        ...

    async def purge_rest(self, job: JobID, executions: Iterable[ExecutionID]) -> None:
        """Remove everything of a job but its spec: executions and logs, conclusions last."""
        ...

    async def get(self, key: Key) -> Fact | None:
        """Read what lies under a key."""
        ...


class Store(Protocol):
    """Named bytes with their age."""

    async def ages(self) -> Mapping[str, float]:
        """Give the age of each object in seconds, by name."""
        ...

    async def delete(self, name: str) -> None:
        """Forget one."""
        ...


@dataclass(slots=True)
class Retention:
    """``keep`` is seconds from the end of a job to its purge (0: for ever)."""

    view: View
    records: Purger
    blobs: Store
    results: Store
    clock: Clock
    keep: float
    _begun: dict[JobID, JobView] = field(default_factory=dict)  # a tombstone was asked for, the rest is there

    async def run(self) -> None:
        """Pass over everything now and then; runs for ever."""
        while True:
            await self.clock.sleep(
                min(_LONGEST_PAUSE, max(1.0, self.keep / 4)) if self.keep else _LONGEST_PAUSE
            )
            try:
                await self.once()
            except Unavailable as error:
                log.debug("cannot clean up now: %s", error.message)
            except BacalhauError as error:
                log.warning("cannot clean up: %s", error.message)  # and that shall end no requester

    async def once(self) -> int:
        """Make one pass; give how many jobs were purged."""
        purged = 0
        for job in list(self._begun.values()):
            if self.view.job(job.id) is None:  # the tombstone lies
                await self._purge_rest(job)
            else:
                del self._begun[job.id]  # it does not, and the job is overdue or not, like any other
        while batch := self._overdue():
            gone = sum([await self._purge(job_id) for job_id in batch])
            purged += gone
            if not gone:
                break  # what is left changes meanwhile, or another requester is at it
        await self._finish_others()
        for orphan in [j for j in self.view.unfinished.values() if not j.known and self._old(j)]:
            await self._purge_rest(orphan)
            self.view.unfinished.pop(orphan.id, None)
        await self._sweep_blobs()
        if purged:
            log.info("purged %d finished jobs", purged, extra={"action": "jobs_purged"})
        return purged

    def _overdue(self) -> list[JobID]:
        if not self.keep:
            return []
        limit = int((self.clock.now() - self.keep) * _SECOND)
        overdue: list[JobID] = []
        for row in self.view.rows():
            if row.created > limit or len(overdue) >= _AT_ONCE:
                break
            if row.state in TERMINAL and row.modified <= limit:
                overdue.append(row.id)
        return overdue

    def _old(self, job: JobView) -> bool:
        return job.modified <= (self.clock.now() - _ORPHANED) * _SECOND

    async def _finish_others(self) -> None:
        """Remove the rest of jobs whose purge was begun and not finished: their conclusion is still there."""
        now = self.clock.now()
        for job_id, (at, archived) in list(self.view.purged.items()):
            age = now - at / _SECOND
            if age < _IN_HAND:
                continue
            if age < _ORPHANED and self.view.job(job_id) is None:
                job = archived.unfold()
                if await self.records.get(conclusion_key(job_id, job.spec.version)) is not None:
                    await self._purge_rest(job)
            self.view.purged.pop(job_id, None)

    async def _purge(self, job_id: JobID) -> bool:
        job = self.view.job(job_id)
        if job is None or not job.settled:
            return False
        self._begun[job_id] = job
        try:
            await self.records.purge(spec_key(job_id), job.spec_seq, remember=_REMEMBER)
        except Conflict:
            return False  # it was updated meanwhile, another requester is at it, or ours got there unheard
        await self._purge_rest(job)
        return True

    async def _purge_rest(self, job: JobView) -> None:
        """Remove results first: as long as records of the job lie there, somebody will come back for them."""
        self._begun[job.id] = job
        for execution in job.executions.values():
            result = execution.observed.result if execution.observed else None
            if result is not None and result.kind == BUS_PUBLISHER:
                await self.results.delete(str(result.param("Key", "")))
        await self.records.purge_rest(job.id, job.executions)
        del self._begun[job.id]
        self.view.purged.pop(job.id, None)

    async def _sweep_blobs(self) -> None:
        old = {name for name, age in (await self.blobs.ages()).items() if age > _YOUNG}
        if not old:
            return
        named: set[str] = set()
        for number, row in enumerate(self.view.rows()):
            job = self.view.job(row.id)
            named |= {digest for spec in (job.versions.values() if job else ()) for digest in digests(spec)}
            if number % 50 == 0:
                await asyncio.sleep(0)  # a long list must not hold up the others
        for name in old - named:
            await self.blobs.delete(name)


def digests(spec: JobSpec) -> set[str]:
    """Name the blobs that a spec refers to."""
    found = (source.source.param("Digest", "") for task in spec.tasks for source in task.input_sources)
    return {str(digest).removeprefix("sha256:") for digest in found if digest}
