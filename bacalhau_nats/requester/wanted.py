"""What a node should be doing, as the view knows it."""

from __future__ import annotations

from bacalhau_nats.domain.ids import NodeID
from bacalhau_nats.domain.view import View
from bacalhau_nats.messages import Wanted, WantedExecution


def wanted_of(view: View, node_id: NodeID) -> Wanted:
    """List what has not ended on a node, with the sequence up to which the answer is true."""
    executions = []
    for execution in view.wanted_of(node_id):
        job = view.unfinished.get(execution.desired.job_id)
        spec = job.versions.get(execution.version) if job else None
        executions.append(
            WantedExecution(
                seq=execution.desired_seq,
                desired=execution.desired.but(job=spec),
                observed_seq=execution.observed_seq,
                observed=execution.observed,
            )
        )
    return Wanted(seq=view.seq, executions=tuple(executions))
