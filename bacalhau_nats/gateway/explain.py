"""Explain where a job went, node by node: what was answered, read from the bus, and what is so now."""

from __future__ import annotations

from typing import Any

from bacalhau_nats.domain.explain import Answer, Explained, Seen, asked_about, explain
from bacalhau_nats.domain.ids import NodeID
from bacalhau_nats.domain.jobview import ExecutionView, JobView
from bacalhau_nats.domain.node import Approval, NodeRole
from bacalhau_nats.domain.resources import NOTHING
from bacalhau_nats.domain.times import go_time
from bacalhau_nats.gateway import refusals
from bacalhau_nats.gateway.core import Gateway
from bacalhau_nats.gateway.render_node import is_connected, resources

Json = dict[str, Any]

_MOST = 1024  # executions whose answers are looked for


class Explanations:
    """The use case that explains."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    async def job(self, text: str, namespace: str, version: int = 0) -> Json:
        """Explain one version of a job (0: the latest). Raises Refusal."""
        job = await self._gateway.find_job(text, namespace)
        version = version or job.spec.version
        spec = job.versions.get(version)
        if spec is None:
            raise refusals.version_not_found(job.id, version)
        nodes = self._nodes()
        executions = job.of_version(version)
        answers = await self._gateway.answers(asked_about(spec, executions, sorted(nodes), _MOST))
        return {
            "JobID": job.id,
            "JobName": spec.name,
            "JobVersion": version,
            "State": job.state_of_version(version).value,
            "Message": _message(job, version),
            "Nodes": [_node(one) for one in explain(spec, executions, nodes, answers)],
        }

    def _nodes(self) -> dict[NodeID, Seen]:
        default = Approval.PENDING if self._gateway.settings.manual_approval else Approval.APPROVED
        found: dict[NodeID, Seen] = {}
        for node in self._gateway.view.nodes.values():
            if node.deleted or node.report is None or node.report.role is not NodeRole.COMPUTE:
                continue
            presence = self._gateway.presence(node.id)
            approval = node.approval or default
            beat = presence.beat if presence else None
            found[node.id] = Seen(
                node.report,
                node.last_report,
                is_connected(node, presence, approval),
                approval,
                node.scheduling,
                beat.free if beat else NOTHING,
            )
        return found


def _message(job: JobView, version: int) -> str:
    """Give what a requester said of this version: how it ended, or why it waits."""
    conclusion, waiting = job.conclusions.get(version), job.waitings.get(version)
    if conclusion is not None:
        return conclusion.message
    return waiting.message if waiting is not None and not job.of_version(version) else ""


def _node(one: Explained) -> Json:
    return {
        "NodeID": one.node_id,
        "Verdict": one.verdict.value,
        "Reason": one.reason,
        "CouldRunNow": one.could,
        "WhyNotNow": one.now,
        "Executions": [_execution(execution) for execution in one.executions],
        "Answers": [_answer(answer) for answer in one.answers],
    }


def _execution(one: ExecutionView) -> Json:
    message = (one.observed.message if one.observed else "") or one.desired.message
    return {"ID": one.id, "State": one.state.value.capitalize(), "Message": message}


def _answer(answer: Answer) -> Json:
    return {
        "ExecutionID": answer.execution_id,
        "Time": go_time(answer.time),
        "Bid": answer.bid,
        "Reason": answer.reason,
        "Never": answer.never,
        "Free": resources(answer.free),
    }
