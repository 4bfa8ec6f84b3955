"""Write down, once per version, that a job had to queue and why; it explains the wait to everybody."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable

from bacalhau_nats.domain.facts import waiting_key
from bacalhau_nats.domain.ids import NodeID
from bacalhau_nats.domain.job import Waiting
from bacalhau_nats.domain.jobview import JobView
from bacalhau_nats.domain.scheduling.common import bullets
from bacalhau_nats.domain.view import View
from bacalhau_nats.errors import Conflict, Unavailable
from bacalhau_nats.ports import Records
from bacalhau_nats.requester.line import Waiter

log = logging.getLogger(__name__)
_AT_ONCE = 20
"""Notes in one go: a burst that is gone in seconds must not cost one more write for each of its jobs."""


async def note_waiting(
    records: Records, view: View, waiters: Iterable[Waiter], me: NodeID, nonce: Callable[[], str]
) -> None:
    """Note the first few of ``waiters``, in their order, that are not noted yet."""
    noted = 0
    for waiter in waiters:
        job = view.unfinished.get(waiter.job_id)
        if job is None or job.over or job.spec.version in job.waitings:
            continue
        if noted == _AT_ONCE:
            return
        noted += 1
        try:
            await _note(records, job, waiter, me, nonce())
        except Unavailable as error:
            log.warning("cannot note that %s waits: %s", job.id, error.message)
            return


async def _note(records: Records, job: JobView, waiter: Waiter, me: NodeID, nonce: str) -> None:
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
