"""Finished jobs, kept small: their facts as they were stored, compressed, and folded again when looked at.

There is no second description of a job that could disagree with the first, and a job costs about a
kilobyte instead of the many objects of a live one.
"""

from __future__ import annotations

import json
import zlib
from dataclasses import dataclass

from bacalhau_nats.domain.facts import RECORD_TYPES, Fact, Key, Kind
from bacalhau_nats.domain.ids import JobID
from bacalhau_nats.domain.job import JobState
from bacalhau_nats.domain.jobview import JobView

_LEVEL = 1


@dataclass(frozen=True, slots=True)
class Archived:
    """One finished job; the fields that lists filter and sort by are kept beside its facts."""

    id: JobID
    namespace: str
    name: str
    labels: dict[str, str]
    state: JobState
    created: int
    modified: int
    facts: bytes

    def unfold(self) -> JobView:
        """Fold the job's facts again."""
        job = JobView(self.id)
        body = zlib.decompress(self.facts)
        while body:
            head, _, body = body.partition(b"\n")
            kind, owner, part, seq, time, name, size = json.loads(head)
            raw, body = body[:size], body[size:]
            record = RECORD_TYPES[name].model_validate_json(raw)
            job.apply(Fact(Key(Kind(kind), owner, part), seq, time, record, raw))  # type: ignore[arg-type]
        return job


def archive(job: JobView) -> Archived:
    """Fold a settled job away."""
    pieces: list[bytes] = []
    for fact in job.facts:
        if fact.record is None:
            continue
        raw = fact.raw or fact.record.to_json()
        head = [
            fact.key.kind.value,
            fact.key.owner,
            fact.key.part,
            fact.seq,
            fact.time,
            type(fact.record).__name__,
        ]
        pieces += [json.dumps([*head, len(raw)]).encode(), b"\n", raw]
    return Archived(
        id=job.id,
        namespace=job.spec.namespace,
        name=job.spec.name,
        labels=job.spec.labels,
        state=job.state,
        created=job.created,
        modified=job.modified,
        facts=zlib.compress(b"".join(pieces), _LEVEL),
    )
