"""One job as its facts tell it: the fold of everything that was accepted about it.

Applying a fact never fails and never goes back: a report that the table forbids is kept in the history
and changes nothing else, so a late "completed" cannot revive an abandoned execution.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from bacalhau_nats.domain.execution import (
    TERMINAL,
    Desired,
    ExecutionState,
    Observed,
    Wish,
    can_become,
    state_of,
)
from bacalhau_nats.domain.facts import Fact
from bacalhau_nats.domain.ids import ExecutionID, JobID, NodeID
from bacalhau_nats.domain.job import TERMINAL as JOB_TERMINAL
from bacalhau_nats.domain.job import Conclusion, JobState, Waiting, job_state
from bacalhau_nats.domain.spec import JobSpec


@dataclass(slots=True)
class ExecutionView:
    """One attempt: what is wanted of it, and what its node saw.

    ``desired`` is kept without the spec it carried; the job's ``versions`` have it. ``desired_seq`` and
    ``observed_seq`` are the revisions to compare-and-set against (0: no such record yet). ``created`` and
    ``modified`` are unix nanoseconds, ``started`` is when the node first reported (0: not yet).
    """

    desired: Desired
    desired_seq: int
    created: int
    modified: int
    revision: int = 1
    observed: Observed | None = None
    observed_seq: int = 0
    started: int = 0
    state: ExecutionState = ExecutionState.ASSIGNED

    @property
    def id(self) -> ExecutionID:
        """Its id."""
        return self.desired.execution_id

    @property
    def node_id(self) -> NodeID:
        """The one node that may run it."""
        return self.desired.node_id

    @property
    def version(self) -> int:
        """The version of the job it belongs to."""
        return self.desired.version

    @property
    def wish(self) -> Wish:
        """What is wanted of it."""
        return self.desired.wish

    @property
    def terminal(self) -> bool:
        """Say whether it has ended."""
        return self.state in TERMINAL

    @property
    def wanted(self) -> bool:
        """Say whether it should be running: neither ended nor asked to stop."""
        return self.wish is Wish.RUN and self.state not in TERMINAL

    def _settle(self, seen: ExecutionState | None, time: int) -> None:
        state = state_of(self.wish, seen)
        if state is not self.state and can_become(self.state, state):
            self.state = state
            self.revision += 1
        self.modified = time

    def apply_desired(self, fact: Fact, record: Desired) -> None:
        """Take a newer wish."""
        self.desired = record.but(job=None)
        self.desired_seq = fact.seq
        self._settle(self.observed.state if self.observed else None, fact.time)

    def apply_observed(self, fact: Fact, record: Observed) -> None:
        """Take a report; one that the table forbids moves the revision only."""
        self.observed_seq = fact.seq
        self.started = self.started or fact.time
        if self.state is not record.state and not can_become(self.state, record.state):
            return
        self.observed = record
        self._settle(record.state, fact.time)


@dataclass(slots=True)
class JobView:
    """Everything known about one job, all versions."""

    id: JobID
    spec: JobSpec = field(default_factory=JobSpec)
    spec_seq: int = 0
    created: int = 0
    modified: int = 0
    versions: dict[int, JobSpec] = field(default_factory=dict)
    conclusions: dict[int, Conclusion] = field(default_factory=dict)
    waitings: dict[int, Waiting] = field(default_factory=dict)
    executions: dict[ExecutionID, ExecutionView] = field(default_factory=dict)
    facts: list[Fact] = field(default_factory=list)
    _early: dict[ExecutionID, Fact] = field(default_factory=dict)  # reports whose execution is not known yet

    @property
    def known(self) -> bool:
        """Say whether its spec has been seen (a report may outlive a purged job)."""
        return self.spec_seq > 0

    @property
    def conclusion(self) -> Conclusion | None:
        """The end of the current version, if it has one."""
        return self.conclusions.get(self.spec.version)

    @property
    def state(self) -> JobState:
        """The state people see."""
        return self.state_of_version(self.spec.version)

    @property
    def settled(self) -> bool:
        """Say whether nothing more will happen: concluded, and no execution left running."""
        return self.conclusion is not None and all(e.terminal for e in self.executions.values())

    @property
    def over(self) -> bool:
        """Say whether the current version shall not run (any more): concluded or asked to stop."""
        return self.state in JOB_TERMINAL

    def state_of_version(self, version: int) -> JobState:
        """Derive the state of one version."""
        spec = self.versions.get(version, self.spec)
        return job_state(
            spec,
            (e.state for e in self.of_version(version)),
            self.conclusions.get(version),
            waiting=version in self.waitings,
        )

    def of_version(self, version: int) -> list[ExecutionView]:
        """List the executions of one version, oldest first."""
        return [e for e in self.executions.values() if e.version == version]

    def apply(self, fact: Fact) -> None:
        """Fold one fact in."""
        self.facts.append(_without_spec(fact))
        self.modified = max(self.modified, fact.time)
        match fact.record:
            case JobSpec() as spec:
                self.spec, self.spec_seq = spec, fact.seq
                self.versions[spec.version] = spec
                self.created = self.created or spec.created or fact.time
            case Conclusion() as conclusion:
                self.conclusions.setdefault(conclusion.version, conclusion)
            case Waiting() as waiting:
                self.waitings[waiting.version] = waiting
            case Desired() as desired:
                self._apply_desired(fact, desired)
            case Observed() as observed:
                known = self.executions.get(observed.execution_id)
                if known is None:
                    self._early[observed.execution_id] = fact
                elif known.node_id == observed.node_id:
                    known.apply_observed(fact, observed)
            case _:
                pass

    def _apply_desired(self, fact: Fact, desired: Desired) -> None:
        execution = self.executions.get(desired.execution_id)
        if execution is not None:
            execution.apply_desired(fact, desired)
            return
        # When only the last value of each record is replayed, a report may come before the wish.
        early = self._early.pop(desired.execution_id, None)
        seen = early.record if early is not None and isinstance(early.record, Observed) else None
        self.executions[desired.execution_id] = ExecutionView(
            desired.but(job=None),
            fact.seq,
            created=fact.time,
            modified=fact.time,
            observed=seen,
            observed_seq=early.seq if early else 0,
            started=early.time if early else 0,
            state=state_of(desired.wish, seen.state if seen else None),
        )


def _without_spec(fact: Fact) -> Fact:
    """Keep an assignment without the spec it carried: the job has it, and may have thousands of executions."""
    record = fact.record
    if not isinstance(record, Desired) or record.job is None:
        return fact
    return Fact(fact.key, fact.seq, fact.time, record.but(job=None))
