"""A job's history, told from its facts in the words of the public API. Pure.

Nobody writes events: each fact that was accepted is one step of the story, and folding the facts again
tells the same story with the same numbers. The job's *revision* is how many steps of the job itself there
were so far; the state of a version, and the job as it was when an execution was created, fall out of the
same walk.

==============  =====================================================================================
Fact            Step
==============  =====================================================================================
spec            ``Submission`` of a version, or the request to stop
desired, first  ``Requested execution on <node>``; once all partitions of a version have one (ops and daemon:
                before the first) the job is ``Running``
desired, later  ``Execution stop requested because …``, told under the version that is current then
observed        ``Running``, ``Completed successfully``, or what went wrong and in which topic
waiting         ``Job queued. …``
conclusion      ``Completed`` or why it failed
==============  =====================================================================================
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from bacalhau_nats.domain.execution import Desired, ExecutionState, Observed, Wish
from bacalhau_nats.domain.facts import Fact
from bacalhau_nats.domain.ids import ExecutionID, NodeID, short
from bacalhau_nats.domain.job import Conclusion, JobState, Waiting
from bacalhau_nats.domain.jobview import JobView
from bacalhau_nats.domain.spec import Cause, JobSpec

_SUBMISSION = {
    Cause.SUBMITTED: ("Job submitted", "", {}),
    Cause.UPDATED: ("Job updated", "Job update requested by user", {}),
    Cause.RERUN: ("Job rerun requested", "job rerun", {"Reason": "job rerun"}),
}
_NOBODY = ExecutionID("")
_WAITS = (JobState.PENDING, JobState.QUEUED)
_STATE_UPDATE = "State Update"
_SCHEDULING = "Scheduling"
_EXECUTION = "Execution"
_RUNNING_EXECUTION = "Running Execution"
_SCANNING = "Exec Scanning"


@dataclass(frozen=True, slots=True)
class Step:
    """One line of a history; ``time`` is unix nanoseconds. Without an execution it is about the job."""

    seq: int
    version: int
    time: int
    topic: str
    message: str
    details: Mapping[str, str] = field(default_factory=dict)
    execution_id: ExecutionID = _NOBODY


@dataclass(frozen=True, slots=True)
class Standing:
    """How one version of a job stood after a step: its state in words, and the job's revision."""

    state: JobState
    message: str
    revision: int
    modified: int


@dataclass(slots=True)
class History:
    """All steps of a job, how each version stands, and how it stood when an execution was created."""

    steps: list[Step] = field(default_factory=list)
    standings: dict[int, Standing] = field(default_factory=dict)
    births: dict[ExecutionID, Standing] = field(default_factory=dict)


def tell(job: JobView) -> History:
    """Tell the history of a job."""
    teller = _Teller()
    for fact in job.facts:
        teller.hear(fact)
    return teller.history


class _Teller:
    def __init__(self) -> None:
        self.history = History()
        self._spec = JobSpec()
        self._wishes: dict[ExecutionID, Desired] = {}
        self._nodes: dict[ExecutionID, NodeID] = {}
        self._ended: set[ExecutionID] = set()
        self._seen: dict[ExecutionID, ExecutionState] = {}
        self._asked: dict[int, Standing] = {}  # by version, when executions were first asked for
        self._unplaced: dict[int, int] = {}  # by version, partitions to come before it counts as running
        self._revision = 0

    def hear(self, fact: Fact) -> None:
        match fact.record:
            case JobSpec() as spec:
                self._specified(spec, fact.time)
            case Desired() as desired:
                self._desired(desired, fact.time)
            case Observed() as observed:
                self._observed(observed, fact.time)
            case Waiting() as waiting:
                self._job_step(
                    fact.time,
                    "Queueing",
                    waiting.message,
                    JobState.QUEUED,
                    state_message=waiting.message,
                    version=waiting.version,
                )
            case Conclusion() as conclusion:
                self._concluded(conclusion, fact.time)
            case _:
                pass

    def _step(
        self,
        time: int,
        topic: str,
        message: str,
        *,
        version: int,
        details: Mapping[str, str] | None = None,
        execution: ExecutionID | None = None,
    ) -> None:
        seq = len(self.history.steps) + 1
        step = Step(seq, version, time, topic, message, details or {}, execution or _NOBODY)
        self.history.steps.append(step)

    def _job_step(
        self,
        time: int,
        topic: str,
        message: str,
        state: JobState,
        *,
        state_message: str = "",
        version: int | None = None,
        details: Mapping[str, str] | None = None,
    ) -> None:
        version = self._spec.version if version is None else version
        self._revision += 1
        self._step(time, topic, message, version=version, details=details)
        self.history.standings[version] = Standing(state, state_message, self._revision, time)

    def _specified(self, spec: JobSpec, time: int) -> None:
        known, self._spec = self._spec, spec
        if known.id and known.version == spec.version:
            if spec.stop is not None and known.stop is None:
                reason = spec.stop.reason
                self._job_step(
                    time,
                    _SCHEDULING,
                    "Job requested to stop before completion",
                    JobState.STOPPED,
                    state_message=reason,
                    details={"Reason": reason},
                )
            return
        message, state_message, details = _SUBMISSION[spec.cause]
        self._job_step(
            time, "Submission", message, JobState.PENDING, state_message=state_message, details=details
        )

    def _desired(self, desired: Desired, time: int) -> None:
        execution, version = desired.execution_id, desired.version
        before = self._wishes.get(execution)
        self._wishes[execution] = desired
        if before is None:
            self._placed(desired, time)
        elif desired.wish is not before.wish and execution not in self._ended:
            if desired.wish is Wish.ABANDONED:
                self._ended.add(execution)
            version = max(version, self._spec.version)
            self._step(time, _SCHEDULING, desired.message, version=version, execution=execution)

    def _placed(self, desired: Desired, time: int) -> None:
        execution, version = desired.execution_id, desired.version
        standing = self.history.standings.get(version, Standing(JobState.PENDING, "", self._revision, time))
        # The public server asks for all first attempts at once; ours are written one by one.
        asked = self._asked.setdefault(version, standing)
        self.history.births[execution] = standing if desired.attempt else asked
        waits = standing.state in _WAITS
        # With ops and daemon jobs the public server makes the job run before it asks for executions.
        if waits and self._spec.type.everywhere:
            self._runs(version, time)
        self._step(
            time,
            _SCHEDULING,
            f"Requested execution on {short(desired.node_id)}",
            version=version,
            details={"NodeID": desired.node_id},
            execution=execution,
        )
        if waits and not self._spec.type.everywhere:
            self._unplaced[version] = self._unplaced.get(version, self._spec.count) - 1
            if self._unplaced[version] <= 0:
                self._runs(version, time)

    def _runs(self, version: int, time: int) -> None:
        details = {"NewState": JobState.RUNNING.value}
        self._job_step(time, _STATE_UPDATE, "Running", JobState.RUNNING, version=version, details=details)

    def _observed(self, observed: Observed, time: int) -> None:
        execution, state = observed.execution_id, observed.state
        wish = self._wishes.get(execution)
        before = self._seen.get(execution)
        if wish is None or execution in self._ended or state is before:
            return
        self._seen[execution] = state
        version = wish.version
        if self._unplaced.pop(version, 0) > 0 and self.history.standings[version].state in _WAITS:
            self._runs(version, time)  # work has begun before all partitions have a node
        if state in (ExecutionState.RUNNING, ExecutionState.PUBLISHING):
            if before is None and not self._spec.type.everywhere:
                self._step(time, _EXECUTION, "Running", version=version, execution=execution)
            return
        self._ended.add(execution)
        if state is ExecutionState.COMPLETED:
            self._step(time, _EXECUTION, "Completed successfully", version=version, execution=execution)
        elif state is not ExecutionState.CANCELLED:
            usual = _SCANNING if state is ExecutionState.DECLINED else _RUNNING_EXECUTION
            details = {"IsError": "true"} | ({"Hint": observed.hint} if observed.hint else {})
            self._step(
                time,
                observed.topic or usual,
                observed.message,
                version=version,
                details=details,
                execution=execution,
            )

    def _concluded(self, conclusion: Conclusion, time: int) -> None:
        version, state = conclusion.version, conclusion.state
        standing = self.history.standings.get(version)
        if state is JobState.STOPPED and standing is not None and standing.state is state:
            return  # told when it was asked for
        topic, message, details = conclusion.topic, conclusion.message, conclusion.details
        if state is not JobState.FAILED:
            topic, details = _STATE_UPDATE, {"NewState": state.value}
            message = f"{state.value}. {message}" if message else state.value
        self._job_step(
            time,
            topic,
            message,
            state,
            state_message=conclusion.message,
            version=version,
            details=details,
        )
