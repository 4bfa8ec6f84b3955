"""The present, folded from facts: jobs, executions and nodes, with what lists need.

`View.apply` is a fold: replaying the stream from its start gives the live view (a property test), which
is also how a past moment is looked at. Unfinished jobs are held in full, settled ones archived
(`archive.py`) by `tidy`.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterator
from dataclasses import dataclass, field

from bacalhau_nats.domain.archive import Archived, archive
from bacalhau_nats.domain.execution import Desired, Observed
from bacalhau_nats.domain.facts import Fact, Kind
from bacalhau_nats.domain.id_index import IdIndex
from bacalhau_nats.domain.ids import ExecutionID, JobID, NodeID, named_job_id
from bacalhau_nats.domain.job import Alias, Conclusion, JobState, Waiting
from bacalhau_nats.domain.jobview import ExecutionView, JobView
from bacalhau_nats.domain.node import Approval, Membership, NodeReport, Scheduling
from bacalhau_nats.domain.spec import JobSpec

_PURGED_AT_MOST = 2000  # jobs whose tombstone was seen, in case whoever put it dies over the rest
_PART = 500  # entries of a list that are looked at before the place is found again


@dataclass(slots=True)
class NodeView:
    """What a node said of itself and what was decided about it; whether it is alive is not a fact."""

    id: NodeID
    report: NodeReport | None = None
    report_seq: int = 0
    first_seen: int = 0
    last_report: int = 0
    membership: Membership | None = None
    membership_seq: int = 0

    @property
    def approval(self) -> Approval | None:
        """What was decided, if anything was."""
        return self.membership.approval if self.membership else None

    @property
    def scheduling(self) -> Scheduling:
        """Whether it gets work and keeps what it has."""
        return self.membership.scheduling if self.membership else Scheduling.OPEN

    @property
    def deleted(self) -> bool:
        """Say whether it was forgotten and has not reported since."""
        return bool(self.membership and self.membership.deleted and self.membership_seq > self.report_seq)


@dataclass(frozen=True, slots=True)
class Row:
    """What a list sees of a job without unfolding it."""

    id: JobID
    namespace: str
    name: str
    labels: dict[str, str]
    state: JobState
    created: int
    modified: int


@dataclass(slots=True)
class View:
    """The fold of the state stream. Not thread-safe; one task applies, everybody reads."""

    seq: int = 0
    nodes: dict[NodeID, NodeView] = field(default_factory=dict)
    aliases: dict[JobID, tuple[Alias, int]] = field(default_factory=dict)  # by the id that the name occupies
    unfinished: dict[JobID, JobView] = field(default_factory=dict)
    purged: dict[JobID, tuple[int, Archived]] = field(default_factory=dict)  # the last ones, with when
    _archived: dict[JobID, Archived] = field(default_factory=dict)
    _by_creation: list[tuple[int, JobID]] = field(default_factory=list)
    _ids: IdIndex = field(default_factory=IdIndex)
    _by_name: dict[tuple[str, str], JobID] = field(default_factory=dict)
    _by_node: dict[NodeID, dict[ExecutionID, ExecutionView]] = field(default_factory=dict)
    _settled: list[JobID] = field(default_factory=list)

    # --- the fold ---------------------------------------------------------------------------------

    def apply(self, fact: Fact) -> JobView | NodeView | None:
        """Fold one fact in; give what it changed. A fact that was folded already is ignored."""
        if fact.seq <= self.seq:
            return None
        self.seq = fact.seq
        record = fact.record
        match record:
            case JobSpec() | Waiting() | Conclusion() | Desired() | Observed():
                return self._apply_to_job(fact, record)
            case Alias():
                self.aliases[JobID(fact.key.owner)] = (record, fact.seq)
                return None
            case NodeReport():
                node = self._node(fact)
                node.report, node.report_seq, node.last_report = record, fact.seq, fact.time
                node.first_seen = node.first_seen or fact.time
                return node
            case Membership():
                node = self._node(fact)
                node.membership, node.membership_seq = record, fact.seq
                return node
            case None:
                self._purge(fact)
        return None

    def _node(self, fact: Fact) -> NodeView:
        node_id = NodeID(fact.key.owner)
        return self.nodes.setdefault(node_id, NodeView(node_id))

    def _apply_to_job(
        self, fact: Fact, record: JobSpec | Waiting | Conclusion | Desired | Observed
    ) -> JobView:
        job_id = record.id if isinstance(record, JobSpec) else record.job_id
        job = self.unfinished.get(job_id)
        if job is None:
            old = self._archived.pop(job_id, None)
            job = self.unfinished[job_id] = old.unfold() if old else JobView(job_id)
        new = not job.known
        job.apply(fact)
        if isinstance(record, JobSpec):
            if new:
                insort(self._by_creation, (job.created, job_id))
                self._ids.add(job_id)
            self._by_name[job.spec.namespace, job.spec.name] = job_id
        elif isinstance(record, Desired | Observed):
            self._index_execution(job, record.execution_id)
        if job.settled:
            self._settled.append(job_id)
        return job

    def _index_execution(self, job: JobView, execution_id: ExecutionID) -> None:
        execution = job.executions.get(execution_id)
        if execution is None:
            return
        on_node = self._by_node.setdefault(execution.node_id, {})
        if execution.terminal:
            on_node.pop(execution_id, None)
        else:
            on_node[execution_id] = execution

    def _purge(self, fact: Fact) -> None:
        if fact.key.kind is Kind.SPEC:
            self.aliases.pop(JobID(fact.key.owner), None)
            job = self.job(JobID(fact.key.owner))
            if job is None:
                return
            self.unfinished.pop(job.id, None)
            old = self._archived.pop(job.id, None)
            self.purged[job.id] = fact.time, old or archive(job)
            if len(self.purged) > _PURGED_AT_MOST:
                del self.purged[next(iter(self.purged))]
            self._ids.discard(job.id)
            at = bisect_left(self._by_creation, (job.created, job.id))
            if self._by_creation[at : at + 1] == [(job.created, job.id)]:
                del self._by_creation[at]
            if self._by_name.get((job.spec.namespace, job.spec.name)) == job.id:
                del self._by_name[job.spec.namespace, job.spec.name]
            for execution in job.executions.values():
                self._by_node.get(execution.node_id, {}).pop(execution.id, None)
        elif fact.key.kind is Kind.REPORT:
            self.nodes.pop(NodeID(fact.key.owner), None)

    def clear(self) -> None:
        """Forget everything: the stream was made anew."""
        self.seq = 0
        for held in (self.nodes, self.aliases, self.unfinished, self._archived, self._by_name, self._by_node):
            held.clear()
        self.purged.clear()
        self._by_creation.clear()
        self._ids.clear()
        self._settled.clear()

    def tidy(self, limit: int = 1000) -> int:
        """Archive up to ``limit`` settled jobs; give how many. Called now and then by whoever owns the view."""
        batch, self._settled = self._settled[:limit], self._settled[limit:]
        done = 0
        for job_id in batch:
            job = self.unfinished.get(job_id)
            if job is not None and job.known and job.settled:
                self._archived[job_id] = archive(job)
                del self.unfinished[job_id]
                done += 1
        return done

    # --- what readers ask ---------------------------------------------------------------------------

    def job(self, job_id: str) -> JobView | None:
        """Give a job by its whole id."""
        job = self.unfinished.get(JobID(job_id))
        if job is not None:
            return job if job.known else None
        old = self._archived.get(JobID(job_id))
        return old.unfold() if old else None

    def named(self, namespace: str, name: str) -> JobID | None:
        """Give the id of the job of that name, through its alias where it has one."""
        found = self._by_name.get((namespace, name))
        if found is not None:
            return found
        alias = self.aliases.get(named_job_id(namespace, name))
        if alias is None:
            return None
        target = self.job(alias[0].alias_of)
        fits = target is not None and (target.spec.namespace, target.spec.name) == (namespace, name)
        return target.id if target is not None and fits else None

    def with_prefix(self, prefix: str, limit: int = 2) -> list[JobID]:
        """Give up to ``limit`` ids that start with ``prefix``."""
        return [JobID(one) for one in self._ids.with_prefix(prefix, limit)]

    def rows(self, *, newest_first: bool = False) -> Iterator[Row | Archived]:
        """Walk all jobs of now by creation, oldest first unless told otherwise, without unfolding any.

        The view may change on the way: jobs that leave are left out, the others come once.
        """
        for job_id in self._walk(newest_first=newest_first):
            old = self._archived.get(job_id)
            if old is not None:
                yield old
            elif (job := self.unfinished.get(job_id)) is not None:
                spec = job.spec
                yield Row(
                    job.id, spec.namespace, spec.name, spec.labels, job.state, job.created, job.modified
                )

    def _walk(self, *, newest_first: bool) -> Iterator[JobID]:
        entries = self._by_creation
        if newest_first:
            end = len(entries)
            while part := entries[max(0, end - _PART) : end]:
                yield from (job_id for _, job_id in reversed(part))
                end = bisect_left(entries, part[0])
        else:
            begin = 0
            while part := entries[begin : begin + _PART]:
                yield from (job_id for _, job_id in part)
                begin = bisect_right(entries, part[-1])

    def __len__(self) -> int:
        return len(self._by_creation)

    def scheduling_of(self, node_id: NodeID) -> Scheduling:
        """Say whether a node gets work and keeps what it has."""
        node = self.nodes.get(node_id)
        return node.scheduling if node else Scheduling.OPEN

    def wanted_of(self, node_id: NodeID) -> list[ExecutionView]:
        """List the executions on a node that have not ended, as far as known."""
        return list(self._by_node.get(node_id, {}).values())

    def execution(self, job_id: JobID, execution_id: ExecutionID) -> ExecutionView | None:
        """Give one execution of an unfinished job."""
        job = self.unfinished.get(job_id)
        return job.executions.get(execution_id) if job else None
