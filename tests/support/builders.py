"""Small valid records, and a story that writes them down: a stream with the view that has folded it."""

from __future__ import annotations

from typing import Any

from bacalhau_nats.domain.execution import Desired, ExecutionState, Observed, Wish
from bacalhau_nats.domain.facts import (
    Fact,
    Key,
    Kind,
    Record,
    conclusion_key,
    desired_key,
    membership_key,
    observed_key,
    report_key,
    spec_key,
    waiting_key,
)
from bacalhau_nats.domain.ids import ExecutionID, JobID, NodeID, execution_id, named_job_id
from bacalhau_nats.domain.job import Alias, Conclusion, Waiting
from bacalhau_nats.domain.jobview import ExecutionView, JobView
from bacalhau_nats.domain.node import Membership, NodeReport, Scheduling
from bacalhau_nats.domain.resources import Resources
from bacalhau_nats.domain.scheduling.plan import NodeNow
from bacalhau_nats.domain.spec import JobSpec, ResourcesConfig, SpecConfig, Task
from bacalhau_nats.domain.view import View
from tests.support.stream import Stream

NOW = 1_700_000_000.0
SECOND = 1_000_000_000


def a_task(cpu: str = "1", **changes: Any) -> Task:
    """A task for the noop engine."""
    return Task(engine=SpecConfig(type="noop"), resources=ResourcesConfig(cpu=cpu)).but(**changes)


def a_job(job_id: str = "j-1", *, cpu: str = "1", task: Task | None = None, **changes: Any) -> JobSpec:
    """A batch job with one execution, submitted at `NOW`."""
    at = int(NOW * SECOND)
    spec = JobSpec(
        id=JobID(job_id),
        name=job_id,
        nonce=f"n-{job_id}",
        tasks=(task or a_task(cpu),),
        created=at,
        submitted=at,
    )
    return spec.but(**changes)


def a_node(name: str = "n1", **changes: Any) -> NodeReport:
    """What a compute node with two cores and the noop engine says of itself."""
    report = NodeReport(
        node_id=NodeID(name),
        instance=f"{name}#1",
        engines=("noop",),
        capacity=Resources(milli_cpu=2000, memory=10**9),
    )
    return report.but(**changes)


def node_now(
    name: str = "n1",
    *,
    live: bool = True,
    approved: bool = True,
    scheduling: Scheduling = Scheduling.OPEN,
    **changes: Any,
) -> NodeNow:
    """That node as a requester sees it."""
    return NodeNow(a_node(name, **changes), live=live, approved=approved, scheduling=scheduling)


def an_execution(
    job: JobSpec, node: str = "n1", *, partition: int = 0, attempt: int = 0, **changes: Any
) -> Desired:
    """An assignment of the job's current version to a node."""
    slot = node if job.type.everywhere else str(partition)
    desired = Desired(
        wish=Wish.RUN,
        execution_id=execution_id(job.id, job.nonce, job.version, slot, attempt),
        job_id=job.id,
        node_id=NodeID(node),
        version=job.version,
        partition=partition,
        attempt=attempt,
        requester="r1",
        nonce="first",
        job=job,
    )
    return desired.but(**changes)


def seen(desired: Desired, state: ExecutionState = ExecutionState.RUNNING, **changes: Any) -> Observed:
    """What its node saw of an execution."""
    record = Observed(
        execution_id=desired.execution_id, job_id=desired.job_id, node_id=desired.node_id, state=state
    )
    return record.but(**changes)


def key_of(record: Record) -> Key:
    """Name the record that this is a value of."""
    match record:
        case JobSpec():
            return spec_key(record.id)
        case Alias():
            return spec_key(named_job_id(record.namespace, record.name))
        case Waiting():
            return waiting_key(record.job_id, record.version)
        case Conclusion():
            return conclusion_key(record.job_id, record.version)
        case Desired():
            return desired_key(record.execution_id, record.node_id)
        case Observed():
            return observed_key(record.execution_id, record.node_id)
        case NodeReport():
            return report_key(record.node_id)
        case Membership():
            return membership_key(record.node_id)


class Story:
    """Facts told one after another, and the view of somebody who has heard them all."""

    def __init__(self, now: float = NOW) -> None:
        self.now = now
        self.stream = Stream(lambda: self.now)
        self.view = View()
        self.stream.listeners.append(self.view.apply)

    def tell(self, *records: Record) -> int:
        """Write records in this order; give the last one's revision."""
        return [self.stream.write(key_of(record), record, None) for record in records][-1]

    def purge(self, job_id: str) -> int:
        """Write the tombstone of a job."""
        return self.stream.write(Key(Kind.SPEC, job_id), None, None)  # type: ignore[arg-type] - a purge has no record

    def wish(self, execution: ExecutionID, wish: Wish, **changes: Any) -> int:
        """Move a desired record on."""
        return self.tell(self._desired(execution).but(wish=wish, **changes))

    def observe(self, execution: ExecutionID, state: ExecutionState, **changes: Any) -> int:
        """Let the node report."""
        return self.tell(seen(self._desired(execution), state, **changes))

    def _desired(self, execution: ExecutionID) -> Desired:
        found = (
            f.record for k, f in self.stream.last.items() if k.kind is Kind.DESIRED and k.owner == execution
        )
        return next(r for r in found if isinstance(r, Desired))

    @property
    def facts(self) -> list[Fact]:
        return self.stream.facts

    def job(self, job_id: str = "j-1") -> JobView:
        """Give the live view of a job."""
        found = self.view.job(job_id)
        assert found is not None
        return found

    def only(self, job_id: str = "j-1") -> ExecutionView:
        """Give the one execution of a job."""
        (execution,) = self.job(job_id).executions.values()
        return execution
