"""Would a node run this job? A list of rules, each a function that gives a reason or nothing.

The same rules serve twice: a requester applies them to a node's report, to ask only those that could;
the node applies them to itself, with its policy and its free capacity, and has the last word. A reason
reads after "this node …".
"""

from __future__ import annotations

from collections.abc import Callable

from bacalhau_nats.domain import constraints
from bacalhau_nats.domain.node import NodeReport
from bacalhau_nats.domain.resources import Resources, parse
from bacalhau_nats.domain.spec import JobSpec

Rule = Callable[[JobSpec, NodeReport], str]


def has_engine(job: JobSpec, node: NodeReport) -> str:
    """The engine must be there."""
    engine = job.task.engine
    if engine.kind in node.engines:
        return ""
    return f"does not support engine {engine.type}; it has {_listed(node.engines)}"


def has_publisher(job: JobSpec, node: NodeReport) -> str:
    """The publisher must be there, when one is needed."""
    publisher = job.task.effective_publisher
    if publisher.kind in ("", "noop") or publisher.kind in node.publishers:
        return ""
    return f"does not support publisher {publisher.type}; it has {_listed(node.publishers)}"


def has_storages(job: JobSpec, node: NodeReport) -> str:
    """Every kind of input source must be there."""
    missing = {i.source.type for i in job.task.input_sources if i.source.kind not in node.storages}
    if not missing:
        return ""
    return f"does not support input source {_listed(tuple(missing))}; it has {_listed(node.storages)}"


def has_labels(job: JobSpec, node: NodeReport) -> str:
    """The job's constraints must match the node's labels; keys that start with ``favour_`` only rank."""
    unmet = [
        constraints.show((r,))
        for r in job.constraints
        if not r.key.startswith("favour_") and not constraints.match((r,), node.labels)
    ]
    return f"has labels that do not match {', '.join(unmet)}" if unmet else ""


def is_large_enough(job: JobSpec, node: NodeReport) -> str:
    """All the node has must be enough."""
    lacking = parse(job.task.resources).lacking(node.capacity)
    return f"is too small for the job: {lacking}" if lacking else ""


RULES: tuple[Rule, ...] = (has_engine, has_publisher, has_storages, has_labels, is_large_enough)


def why_never(job: JobSpec, node: NodeReport) -> str:
    """Say why the node could never run the job as it is; empty when it could."""
    return "; ".join(reason for rule in RULES if (reason := rule(job, node)))


def why_not_now(needs: Resources, free: Resources) -> str:
    """Say what is missing right now; empty when there is room."""
    lacking = needs.lacking(free)
    return f"is busy: {lacking} free" if lacking else ""


def _listed(names: tuple[str, ...]) -> str:
    return ", ".join(sorted(names)) or "none"
