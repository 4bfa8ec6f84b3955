"""The state stream of a simulated world: a dict with revisions.

It says what `ports.Records` promises and nothing of NATS; `check_records` runs against it and against the
real one, so that it cannot drift.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable
from operator import attrgetter

from bacalhau_nats.domain.facts import Fact, Key, Kind, Record, spec_key
from bacalhau_nats.domain.ids import ExecutionID, JobID
from bacalhau_nats.errors import Conflict


class Stream:
    """All facts of one world, and who listens.

    ``facts`` is everything that was ever accepted, ``stored`` what still lies there: a purge leaves holes.
    """

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self.facts: list[Fact] = []
        self.stored: list[Fact] = []
        self.last: dict[Key, Fact] = {}
        self.listeners: list[Callable[[Fact], None]] = []

    @property
    def seq(self) -> int:
        return len(self.facts)

    def write(self, key: Key, record: Record | None, revision: int | None) -> int:
        """Accept a value (None: a tombstone) if ``revision`` is the record's. Raises Conflict."""
        if revision == 0 and key.kind is Kind.DESIRED:
            taken = any(k.kind is Kind.DESIRED and k.owner == key.owner for k in self.last)
        else:
            taken = revision is not None and self._revision(key) != revision
        if taken:
            present = self.last.get(key)
            if present is not None and present.record == record and getattr(record, "nonce", ""):
                return present.seq  # the same write again: its first answer was lost
            msg = f"{key} has moved on"
            raise Conflict(msg)
        fact = Fact(key, self.seq + 1, int(self._now() * 1e9), record)
        self.facts.append(fact)
        self.stored.append(fact)
        self.last[key] = fact
        for listener in self.listeners:
            listener(fact)
        return fact.seq

    def after(self, seq: int) -> list[Fact]:
        """List what lies there behind ``seq``."""
        return self.stored[bisect_right(self.stored, seq, key=attrgetter("seq")) :]

    def forget_before(self, key: Key, seq: int) -> None:
        """Remove the history of one record before ``seq``: the second half of a purge."""
        self.stored = [f for f in self.stored if f.key != key or f.seq >= seq]

    def forget_tombstone(self, key: Key) -> None:
        """Remove a tombstone whose time is over; what lies under it is there again."""
        found = self.last.get(key)
        if found is None or found.record is not None:
            return
        self.stored.remove(found)
        del self.last[key]
        self.last.update({f.key: f for f in self.stored if f.key == key})

    def purge_rest(self, job: JobID, executions: Iterable[ExecutionID]) -> None:
        """Remove everything of a job but its spec, of which the last value stays."""
        theirs = {str(e) for e in executions}
        top = self.last.get(spec_key(job))
        if top is not None:
            self.forget_before(top.key, top.seq)

        def goes(key: Key) -> bool:
            if key.kind in (Kind.CONCLUSION, Kind.WAITING):
                return key.owner == job
            return key.kind in (Kind.DESIRED, Kind.OBSERVED) and key.owner in theirs

        self.stored = [f for f in self.stored if not goes(f.key)]
        for key in [k for k in self.last if goes(k)]:
            del self.last[key]

    def _revision(self, key: Key) -> int:
        found = self.last.get(key)
        return found.seq if found else 0


class MemoryRecords:
    """`ports.Records` over a Stream, without any trouble."""

    def __init__(self, stream: Stream) -> None:
        self.stream = stream

    async def create(self, key: Key, record: Record) -> int:
        return self.stream.write(key, record, 0)

    async def update(self, key: Key, record: Record, revision: int) -> int:
        return self.stream.write(key, record, revision)

    async def put(self, key: Key, record: Record) -> int:
        return self.stream.write(key, record, None)

    async def get(self, key: Key) -> Fact | None:
        return self.stream.last.get(key)

    async def last_seq(self) -> int:
        return self.stream.seq
