"""Write down, once per version, that a job had to queue and why; it explains the wait to everybody."""

from __future__ import annotations

from bacalhau_nats.domain.facts import waiting_key
from bacalhau_nats.domain.ids import NodeID
from bacalhau_nats.domain.job import Waiting
from bacalhau_nats.domain.jobview import JobView
from bacalhau_nats.domain.scheduling.common import bullets
from bacalhau_nats.errors import Conflict
from bacalhau_nats.ports import Records
from bacalhau_nats.requester.line import Waiter


async def note_waiting(records: Records, job: JobView, waiter: Waiter, me: NodeID, nonce: str) -> None:
    """Create the record; when another requester was faster, theirs is as good."""
    record = Waiting(
        job_id=job.id,
        version=job.spec.version,
        message="Job queued." + bullets(waiter.reasons),
        reasons={str(node): reason for node, reason in waiter.reasons.items()},
        requester=me,
        nonce=nonce,
    )
    try:
        await records.create(waiting_key(job.id, job.spec.version), record)
    except Conflict:
        return
