"""What must hold at every step of a simulated world, and at its end."""

from __future__ import annotations

from collections.abc import Iterable

from bacalhau_nats.domain.execution import (
    OBSERVABLE,
    TERMINAL,
    Desired,
    ExecutionState,
    Observed,
    can_become,
    may_wish,
)
from bacalhau_nats.domain.facts import Fact, Key, Kind
from bacalhau_nats.domain.ids import ExecutionID, JobID
from bacalhau_nats.domain.job import JobState
from bacalhau_nats.domain.jobview import JobView
from bacalhau_nats.domain.spec import JobType
from bacalhau_nats.domain.view import View
from tests.support.stream import Stream


class Watch:
    """Folds every accepted fact and checks it against what came before."""

    def __init__(self, stream: Stream) -> None:
        self.view = View()
        self.before: dict[Key, Fact] = {}
        self.purged: list[JobID] = []
        stream.listeners.insert(0, self.check)

    def check(self, fact: Fact) -> None:
        old = self.before.get(fact.key)
        self.before[fact.key] = fact
        leaving = self.view.job(fact.key.owner) if fact.record is None else None
        self.view.apply(fact)
        if leaving is not None:
            assert leaving.settled, f"{leaving.id} was purged before its end"
            check_job(leaving)
            self.purged.append(leaving.id)
        match fact.key.kind, fact.record:
            case Kind.CONCLUSION | Kind.WAITING, _:
                assert old is None, f"{fact.key} was written twice"
            case Kind.DESIRED, Desired() as record:
                self._desired(record, old)
            case Kind.OBSERVED, Observed() as record:
                assert record.state in OBSERVABLE, f"a node says {record.state}"
                self._observed(record, old)
            case _:
                pass

    def forget(self, job: JobID, executions: Iterable[ExecutionID]) -> None:
        """Take note that all records of a purged job are gone."""
        owners = {str(job), *map(str, executions)}
        for key in [k for k in self.before if k.owner in owners and k.kind is not Kind.SPEC]:
            del self.before[key]

    def _observed(self, record: Observed, old: Fact | None) -> None:
        if old is not None:
            assert isinstance(old.record, Observed)
            if old.record.instance != record.instance and old.record.state is record.state not in TERMINAL:
                return  # the next life goes on with it and says so
            assert can_become(old.record.state, record.state), f"{old.record.state} became {record.state}"

    def _desired(self, record: Desired, old: Fact | None) -> None:
        if old is not None:
            assert isinstance(old.record, Desired)
            assert may_wish(old.record.wish, record.wish)
            return
        nodes = {k.part for k in self.before if k.kind is Kind.DESIRED and k.owner == record.execution_id}
        assert nodes == {record.node_id}, f"{record.execution_id} was given to {nodes}"
        job = self.view.unfinished[record.job_id]
        if not job.known:
            return  # a requester that slept through the purge; somebody must end this (`at_peace`)
        slot = (record.partition, record.node_id if job.spec.type.everywhere else "")
        rivals = [
            e
            for e in job.of_version(record.version)
            if e.wanted
            and e.id != record.execution_id
            and (e.desired.partition, e.node_id if job.spec.type.everywhere else "") == slot
        ]
        assert not rivals, f"{record.execution_id} was placed while {[e.id for e in rivals]} is wanted"


def at_peace(view: View) -> bool:
    """Say whether every job has come to its end, or does what an endless one should."""
    if any(not e.terminal for j in view.unfinished.values() if not j.known for e in j.executions.values()):
        return False  # something runs for a job that was purged
    for row in view.rows():
        job = view.job(row.id)
        assert job is not None
        if job.spec.type.endless and not job.over:
            running = [e for e in job.of_version(job.spec.version) if e.state is ExecutionState.RUNNING]
            others = [e for e in job.executions.values() if not e.terminal and e not in running]
            wanted = job.spec.count if job.spec.type is JobType.SERVICE else 1
            if others or (len(running) < wanted and not _gave_up(job)):
                return False
        elif not job.settled:
            return False
    return True


def _gave_up(job: JobView) -> bool:
    """Say whether a daemon has met a failure that no other try on that node can mend."""
    return job.spec.type is JobType.DAEMON and any(
        e.observed and e.state is ExecutionState.FAILED and not e.observed.retryable
        for e in job.of_version(job.spec.version)
    )


def check_end(view: View, starts: dict[str, list[str]]) -> None:
    """Check the whole outcome: nothing lost, nothing run twice, every word true."""
    for execution, nodes in starts.items():
        assert len(nodes) == 1, f"{execution} was started {len(nodes)} times, on {nodes}"
    for row in view.rows():
        job = view.job(row.id)
        assert job is not None
        check_job(job)
        for execution in job.executions.values():
            if execution.state is ExecutionState.COMPLETED:
                assert starts.get(execution.id), f"{execution.id} completed without a start"


def check_job(job: JobView) -> None:
    """Check that the state of a job is true of its executions."""
    done = {
        e.desired.partition for e in job.of_version(job.spec.version) if e.state is ExecutionState.COMPLETED
    }
    if job.state is JobState.COMPLETED and job.spec.type is JobType.BATCH:
        assert done == set(range(job.spec.count)), (
            f"{job.id} is completed without {job.spec.count} partitions"
        )
    if job.state is JobState.FAILED:
        assert job.conclusion is not None
        assert job.conclusion.message, f"{job.id} failed without a cause"
    if job.spec.stop is not None:
        assert job.state in (JobState.STOPPED, JobState.COMPLETED, JobState.FAILED)


def states(view: View) -> dict[str, object]:
    """Give what two folds must agree on."""
    return {
        row.id: (row.state, {e.id: (e.state, e.wish) for e in job.executions.values()})
        for row in view.rows()
        if (job := view.job(row.id)) is not None
    }


def fold(facts: list[Fact]) -> View:
    view = View()
    for fact in facts:
        view.apply(fact)
    return view


def last_of_each(facts: list[Fact]) -> list[Fact]:
    newest = {fact.key: fact for fact in facts}
    return sorted(newest.values(), key=lambda f: f.seq)
