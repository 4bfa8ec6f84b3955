"""What has become of a wish. Only the conclusion is stored; every other state is derived.

    pending ──► queued ──► running ──► completed | failed | stopped
        └──────────────────────┘

An update or a rerun starts over with the next version; a conclusion belongs to its version and is void
once the spec has moved on.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum

from pydantic import Field

from bacalhau_nats.domain.execution import ExecutionState
from bacalhau_nats.domain.ids import JobID
from bacalhau_nats.domain.model import Model
from bacalhau_nats.domain.spec import JobSpec


class JobState(StrEnum):
    """Where a job is, in Bacalhau's words."""

    PENDING = "Pending"  # stored; no requester has placed it yet
    QUEUED = "Queued"  # looked at; waits for capacity or for a node
    RUNNING = "Running"  # at least one execution of this version was placed
    COMPLETED = "Completed"
    FAILED = "Failed"
    STOPPED = "Stopped"


TERMINAL = frozenset({JobState.COMPLETED, JobState.FAILED, JobState.STOPPED})
RERUNNABLE = TERMINAL | {JobState.RUNNING}


class Alias(Model):
    """Stored in place of a spec where a named job keeps an id that its client chose.

    It occupies the id that the name would have had, so the name is taken by one compare-and-set.
    """

    alias_of: JobID = JobID("")
    namespace: str = ""
    name: str = ""
    nonce: str = ""


class Conclusion(Model):
    """`job.<id>.conclusion.<version>`, created once by a requester."""

    job_id: JobID = JobID("")
    version: int = 1
    state: JobState  # no default: always on the wire
    message: str = ""
    topic: str = "Scheduling"  # where the cause arose, for the history
    details: dict[str, str] = Field(default_factory=dict)
    requester: str = ""
    nonce: str = ""


class Waiting(Model):
    """`job.<id>.waiting.<version>`, created once by a requester: this version had to queue, and why."""

    job_id: JobID = JobID("")
    version: int = 1
    message: str = ""
    reasons: dict[str, str] = Field(default_factory=dict)  # node id → why not now
    requester: str = ""
    nonce: str = ""


def job_state(
    spec: JobSpec,
    executions: Iterable[ExecutionState],
    conclusion: Conclusion | None,
    *,
    waiting: bool,
) -> JobState:
    """Derive the state of the current version from the states of its executions."""
    if conclusion is not None:
        return conclusion.state
    if spec.stop is not None:
        return JobState.STOPPED
    if any(state is not ExecutionState.DECLINED for state in executions):
        return JobState.RUNNING
    return JobState.QUEUED if waiting else JobState.PENDING
