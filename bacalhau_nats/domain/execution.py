"""One attempt to run a job on one node, and the machine it goes through.

Two writers, two records. A requester writes what it *desires* (run, then perhaps stop, then perhaps
abandoned; never back). The node writes what it *observed* (running, perhaps publishing, then one terminal
state; never back). The state people see is derived from both by `state_of`:

    assigned ──► running ──► publishing ──► completed
        │           │             │
        ├───────────┴─────────────┴──► failed | cancelled | lost
        └──► declined       (the node had no room after all: no attempt was made)

``lost`` is never observed: a node cannot report that it is gone. It is the state of an execution whose
desired record says ``abandoned``, and it absorbs: a late report cannot revive it.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Self

from bacalhau_nats.domain.ids import ExecutionID, JobID, NodeID
from bacalhau_nats.domain.manifest import Summary
from bacalhau_nats.domain.model import Model
from bacalhau_nats.domain.spec import JobSpec, SpecConfig

OUTPUT_LIMIT = 2048
"""Bytes of stdout and of stderr kept in the record itself; the whole is in the log stream and results."""


class ExecutionState(StrEnum):
    """Where an execution is; see the picture above."""

    ASSIGNED = "assigned"  # a node was told to run it
    RUNNING = "running"  # the node has stored that it starts; preparing inputs counts as running
    PUBLISHING = "publishing"  # the work has ended, results are on their way out
    COMPLETED = "completed"  # done, results published; the exit code may be anything
    FAILED = "failed"  # could not be done
    CANCELLED = "cancelled"  # stopped on request
    DECLINED = "declined"  # the node could not take it after all
    LOST = "lost"  # its node went away


_S = ExecutionState
TRANSITIONS: dict[ExecutionState, frozenset[ExecutionState]] = {
    _S.ASSIGNED: frozenset(
        {_S.RUNNING, _S.PUBLISHING, _S.COMPLETED, _S.FAILED, _S.CANCELLED, _S.DECLINED, _S.LOST}
    ),
    _S.RUNNING: frozenset({_S.PUBLISHING, _S.COMPLETED, _S.FAILED, _S.CANCELLED, _S.LOST}),
    _S.PUBLISHING: frozenset({_S.COMPLETED, _S.FAILED, _S.CANCELLED, _S.LOST}),
    _S.COMPLETED: frozenset(),
    _S.FAILED: frozenset(),
    _S.CANCELLED: frozenset(),
    _S.DECLINED: frozenset(),
    _S.LOST: frozenset(),
}
TERMINAL = frozenset(state for state, following in TRANSITIONS.items() if not following)
OBSERVABLE = frozenset(_S) - {_S.ASSIGNED, _S.LOST}


def can_become(now: ExecutionState, then: ExecutionState) -> bool:
    """Say whether the table allows this step."""
    return then in TRANSITIONS[now]


class Wish(StrEnum):
    """What a requester wants of an execution; it only ever moves to the right."""

    RUN = "run"
    STOP = "stop"
    ABANDONED = "abandoned"


_WISH_ORDER = {Wish.RUN: 0, Wish.STOP: 1, Wish.ABANDONED: 2}


def may_wish(now: Wish, then: Wish) -> bool:
    """Say whether a desired record may move from ``now`` to ``then``."""
    return _WISH_ORDER[then] > _WISH_ORDER[now]


class Reason(StrEnum):
    """Why an execution did not complete: a stable word for programs, beside the message for people."""

    NONE = ""
    INVALID = "invalid"  # the spec cannot work anywhere: no such image, no entry point, path refused
    INPUT = "input"  # an input could not be fetched
    ENGINE = "engine"  # the engine failed to run it
    MEMORY = "out_of_memory"
    TIMEOUT = "timeout"
    PUBLISH = "publish"  # the results could not be stored
    DISK = "disk_full"  # the node has no disk left
    QUOTA = "disk_quota"  # the execution took more disk than it may
    LOST_AT_RESTART = "lost_at_restart"  # its node restarted and could not find it again
    NO_ROOM = "no_room"  # declined: the capacity it had bid with was gone
    OLD_VERSION = "old_version"  # declined: the job has moved on
    STOPPED = "stopped"


class RunOutput(Model):
    """What the work left: exit code and the beginning of its output."""

    stdout: str = ""
    stdout_truncated: bool = False
    stderr: str = ""
    stderr_truncated: bool = False
    exit_code: int = 0


class ResultDigest(Model):
    """What was published: see `manifest.Summary`."""

    manifest: str = ""
    outputs: str = ""
    files: int = 0
    bytes: int = 0

    @classmethod
    def of(cls, summary: Summary) -> Self:
        """Put a summary into a record."""
        return cls(
            manifest=summary.manifest, outputs=summary.outputs, files=summary.files, bytes=summary.bytes
        )


class Desired(Model):
    """`execution.<id>.desired.<node>`, written by requesters.

    The first one (``run``) is created only if no node has this execution yet: the fence. It carries the
    whole spec, so that the node needs no right to read anything else.
    """

    execution_id: ExecutionID = ExecutionID("")
    job_id: JobID = JobID("")
    node_id: NodeID = NodeID("")
    version: int = 1
    partition: int = 0
    attempt: int = 0
    wish: Wish  # no default: what is wanted is always on the wire, for those who read it
    message: str = ""
    bid_id: str = ""
    requester: str = ""
    nonce: str = ""
    job: JobSpec | None = None


class Observed(Model):
    """`execution.<id>.observed.<node>`, written by that node, each by compare-and-set.

    The first one is created before anything starts, so a node that restarts knows what it has begun.
    """

    execution_id: ExecutionID = ExecutionID("")
    job_id: JobID = JobID("")
    node_id: NodeID = NodeID("")
    instance: str = ""
    state: ExecutionState  # no default, as above
    reason: Reason = Reason.NONE
    message: str = ""
    hint: str = ""
    retryable: bool = False
    topic: str = ""  # which step failed, in the words of the public API ("Publishing Results", …)
    result: SpecConfig = SpecConfig()
    digest: ResultDigest = ResultDigest()  # of what was published as `result`
    output: RunOutput = RunOutput()
    nonce: str = ""


def state_of(wish: Wish, observed: ExecutionState | None) -> ExecutionState:
    """Derive the state people see from the two records."""
    if observed in TERMINAL:
        return observed
    if wish is Wish.ABANDONED:
        return ExecutionState.LOST
    return observed or ExecutionState.ASSIGNED
