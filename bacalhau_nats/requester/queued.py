"""Write down, once per version, that a job had to queue and why; it explains the wait to everybody."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from itertools import islice

from bacalhau_nats.domain.facts import waiting_key
from bacalhau_nats.domain.ids import NodeID
from bacalhau_nats.domain.job import Waiting
from bacalhau_nats.domain.jobview import JobView
from bacalhau_nats.domain.node import NodeRole
from bacalhau_nats.domain.scheduling.common import brief, no_match, not_enough_nodes
from bacalhau_nats.domain.view import View
from bacalhau_nats.errors import Conflict, Unavailable
from bacalhau_nats.ports import Records
from bacalhau_nats.requester.line import Waiter

log = logging.getLogger(__name__)
_MOST_NODES = 100
_AT_ONCE = 20
"""Notes in one go: a burst that is gone in seconds must not cost one more write for each of its jobs."""


async def note_waiting(
    records: Records, view: View, waiters: Iterable[Waiter], me: NodeID, nonce: Callable[[], str]
) -> None:
    """Note the first few of ``waiters``, in their order, that are not noted yet."""
    noted = 0
    for waiter in waiters:
        job = view.unfinished.get(waiter.job_id)
        if job is None or job.spec.version in job.waitings or job.over:
            continue
        if not waiter.missing and any(e.wanted for e in job.of_version(job.spec.version)):
            continue  # it lacks nothing where it runs; the other nodes do not suit it
        if noted == _AT_ONCE:
            return
        noted += 1
        try:
            await _note(records, job, _message(view, job, waiter), waiter.reasons, me, nonce())
        except Unavailable as error:
            log.warning("cannot note that %s waits: %s", job.id, error.message)
            return


def _message(view: View, job: JobView, waiter: Waiter) -> str:
    """Say what is missing in the words that a refusal would have."""
    nodes = [node.report for node in view.nodes.values() if node.report is not None and not node.deleted]
    known = sum(report.role is NodeRole.COMPUTE for report in nodes)
    if job.spec.type.everywhere:
        return f"Job queued. {no_match(known, waiter.reasons)}"
    missing, suitable = waiter.missing or job.spec.count, max(0, known - len(waiter.reasons))
    return f"Job queued. {not_enough_nodes(missing, known, suitable, waiter.reasons)}"


async def _note(
    records: Records, job: JobView, message: str, reasons: Mapping[NodeID, str], me: NodeID, nonce: str
) -> None:
    """Create the record; when another requester was faster, theirs is as good.

    It has to fit in one message, however many nodes there are and whatever the job quotes in their reasons.
    """
    record = Waiting(
        job_id=job.id,
        version=job.spec.version,
        message=message,
        reasons={str(node): brief(reason) for node, reason in islice(reasons.items(), _MOST_NODES)},
        requester=me,
        nonce=nonce,
    )
    try:
        await records.create(waiting_key(job.id, job.spec.version), record)
    except Conflict:
        return
