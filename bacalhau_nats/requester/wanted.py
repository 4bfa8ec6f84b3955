"""What a node should be doing, as the view knows it."""

from __future__ import annotations

from bacalhau_nats.domain.jobview import ExecutionView
from bacalhau_nats.domain.view import View
from bacalhau_nats.messages import Wanted, WantedExecution, WhatShouldIDo

_ROOM = 500_000
"""Bytes in one answer: half a message, as the last specification that goes in may be nearly a whole one's."""
_HEAD = 1000
"""Bytes of an execution without its job, at most: ids, the reason for a stop, the node's last report."""


def wanted_of(view: View, question: WhatShouldIDo, room: int = _ROOM) -> Wanted:
    """List what has not ended on a node, with the sequence up to which the answer is true.

    What the node is doing already comes first and without its job; of the rest as much as there is room for,
    and at least one. When not all fits, the answer is partial.
    """
    doing = frozenset(question.doing)
    told: list[WantedExecution] = []
    partial = False
    for execution in sorted(view.wanted_of(question.node_id), key=lambda e: e.id not in doing):
        if execution.id in doing:
            wish = execution.desired.but(message=execution.desired.message[:_HEAD])
            told.append(WantedExecution(seq=execution.desired_seq, desired=wish))
        elif room > 0:
            whole = _whole(view, execution)
            room -= _HEAD + len(whole.desired.to_json())
            told.append(whole)
        else:
            partial = True
            break
    return Wanted(seq=view.seq, partial=partial, executions=tuple(told))


def _whole(view: View, execution: ExecutionView) -> WantedExecution:
    job = view.unfinished.get(execution.desired.job_id)
    spec = job.versions.get(execution.version) if job else None
    return WantedExecution(
        seq=execution.desired_seq,
        desired=execution.desired.but(job=spec),
        observed_seq=execution.observed_seq,
        observed=execution.observed,
    )
