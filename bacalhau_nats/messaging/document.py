"""Print ``docs/subjects.md``: ``python -m bacalhau_nats.messaging.document > docs/subjects.md``."""

from __future__ import annotations

import sys

from bacalhau_nats.domain.execution import Desired, ExecutionState, Observed, RunOutput, Wish
from bacalhau_nats.domain.ids import ExecutionID, JobID, NodeID
from bacalhau_nats.domain.job import Alias, Conclusion, JobState, Waiting
from bacalhau_nats.domain.model import Model
from bacalhau_nats.domain.node import Approval, Heartbeat, Membership, NodeReport, Scheduling
from bacalhau_nats.domain.resources import Resources
from bacalhau_nats.domain.spec import JobSpec, SpecConfig, Task
from bacalhau_nats.messages import (
    Bid,
    Decline,
    LogChunk,
    NodeStatus,
    Nudge,
    Offer,
    RollCall,
    WhatShouldIDo,
    WhereToUpload,
)
from bacalhau_nats.messaging.subjects import CATALOGUE, FACT, Subject

_JOB = JobID("j-6f1c0f3e-8f0a-5c57-9d0e-0d6a4a1f2b3c")
_EXECUTION = ExecutionID("e-0c2d8a9b-3b51-5f0e-8a43-6f7e1d2c3b4a")
_NODE = NodeID("n-one")
_REQUESTER = "r-one"
_INSTANCE = "5e1f"
_FREE = Resources(milli_cpu=3500, memory=8_000_000_000, disk=100_000_000_000)
_SPEC = JobSpec(
    id=_JOB,
    name="hello",
    tasks=(
        Task(engine=SpecConfig(type="docker", params={"Image": "busybox", "Parameters": ["echo", "hello"]})),
    ),
    created=1_763_971_200_000_000_000,
    submitted=1_763_971_200_000_000_000,
    nonce="9a7b",
)

EXAMPLES: dict[str, Model] = {
    type(model).__name__: model
    for model in (
        _SPEC,
        Alias(alias_of=JobID("j-chosen"), namespace="default", name="hello", nonce="4f5a"),
        Waiting(
            job_id=_JOB, message="no node has room", reasons={_NODE: "CPU 4 of 3.5"}, requester=_REQUESTER
        ),
        Conclusion(
            job_id=_JOB, state=JobState.FAILED, message="3 of 3 attempts failed", requester=_REQUESTER
        ),
        Desired(
            wish=Wish.RUN,
            execution_id=_EXECUTION,
            job_id=_JOB,
            node_id=_NODE,
            bid_id="b-1",
            requester=_REQUESTER,
            nonce="77aa",
            job=_SPEC,
        ),
        Observed(
            execution_id=_EXECUTION,
            job_id=_JOB,
            node_id=_NODE,
            instance=_INSTANCE,
            state=ExecutionState.COMPLETED,
            output=RunOutput(stdout="hello\n"),
            nonce="1b2c",
        ),
        NodeReport(node_id=_NODE, instance=_INSTANCE, engines=("docker", "wasm"), capacity=_FREE),
        Membership(
            node_id=_NODE,
            approval=Approval.REJECTED,
            scheduling=Scheduling.CORDONED,
            message="under repair",
            nonce="3d4e",
        ),
        Heartbeat(node_id=_NODE, instance=_INSTANCE, tick=42, free=_FREE, running=1, every=3.0),
        Offer(execution_id=_EXECUTION, node_id=_NODE, requester=_REQUESTER, job=_SPEC),
        Bid(bid_id="b-1", execution_id=_EXECUTION, node_id=_NODE, free=_FREE, tick=43, hold_seconds=3.0),
        Decline(execution_id=_EXECUTION, node_id=_NODE, reason="CPU 4 of 3.5", free=_FREE, tick=43),
        WhatShouldIDo(node_id=_NODE, instance=_INSTANCE, doing=(_EXECUTION,)),
        WhereToUpload(node_id=_NODE, job_id=_JOB, execution_id=_EXECUTION),
        NodeStatus(node_id=_NODE, instance=_INSTANCE, version="0.1.0", roles=("compute",), free=_FREE),
        RollCall(requester=_REQUESTER),
        Nudge(job_id=_JOB, seq=17, cause="submitted"),
        LogChunk(execution_id=_EXECUTION, stream="stdout", time=1_763_971_201_000_000_000, text="hello\n"),
    )
}
"""One message of each type; a model left at its defaults shows an empty object."""

_INTRODUCTION = """\
# Subjects

This page is generated: `python -m bacalhau_nats.messaging.document > docs/subjects.md`.

`{cell}` is the deployment, `main` unless set. Every message is JSON with its type and schema version in
the headers; what is at its default is left out. A *fact* is stored and is the state; a *question* wants
an *answer*; a *nudge* asks to look again; a *beat* and *bytes* are heard by whoever listens.

Watch a deployment work with `nats sub 'bacalhau.main.fact.>'`, and everything with `nats sub 'bacalhau.>'`.
"""


def document() -> str:
    """Write the page."""
    lines = [
        _INTRODUCTION,
        "| Subject | Kind | Writer | Reader | Meaning | Message |",
        "|---|---|---|---|---|---|",
    ]
    lines += [_row(subject) for subject in CATALOGUE]
    lines += ["", "## Messages"]
    for subject in CATALOGUE:
        if subject is FACT:
            continue  # the other facts once more
        for name in message_names(subject):
            lines += ["", f"### {name}", "", f"`{subject.template}`", "", "```json", _example(name), "```"]
    return "\n".join([*lines, ""])


def message_names(subject: Subject) -> list[str]:
    """Name the models that travel on a subject."""
    return [name.strip() for name in subject.message.split(",")]


def _row(subject: Subject) -> str:
    cells = (
        f"`{subject.template}`",
        subject.kind,
        subject.writer,
        subject.reader,
        subject.meaning,
        subject.message,
    )
    return f"| {' | '.join(cells)} |"


def _example(name: str) -> str:
    return EXAMPLES[name].model_dump_json(by_alias=True, exclude_defaults=True, indent=2)


if __name__ == "__main__":
    sys.stdout.write(document())
