"""A gateway over the simulated stream, and one quick worker that is requester and node in one.

The worker follows each wish to its end inside the nudge, so a test never waits. What it writes are the
facts that the real roles would write; it decides by rules of its own, which are no test of theirs.
"""

from __future__ import annotations

import itertools
from collections.abc import AsyncGenerator, Sequence
from typing import Any

import httpx

from bacalhau_nats.domain import constraints
from bacalhau_nats.domain.execution import (
    Desired,
    ExecutionState,
    Observed,
    Reason,
    ResultDigest,
    RunOutput,
    Wish,
)
from bacalhau_nats.domain.facts import conclusion_key, desired_key, observed_key, report_key, waiting_key
from bacalhau_nats.domain.ids import ExecutionID, JobID, NodeID, execution_id, short
from bacalhau_nats.domain.job import Conclusion, JobState, Waiting
from bacalhau_nats.domain.jobview import ExecutionView, JobView
from bacalhau_nats.domain.node import BuildInfo, Heartbeat, NodeReport, NodeRole
from bacalhau_nats.domain.resources import Resources
from bacalhau_nats.domain.spec import JobType, SpecConfig
from bacalhau_nats.domain.view import View
from bacalhau_nats.gateway.core import Gateway, GatewaySettings, Identity, Presence
from bacalhau_nats.gateway.http.app import HTTPLimits, create_app
from bacalhau_nats.gateway.http.authorizing import Gatekeeper
from bacalhau_nats.messages import LogChunk
from bacalhau_nats.ports import LogEntry, LogStart
from tests.support.memory_blobs import MemoryBlobs
from tests.support.stream import MemoryRecords, Stream

ME = NodeID("n-0a1b2c3d-0000-4000-8000-000000000001")
BUILD = BuildInfo(
    major="1",
    minor="9",
    git_version="v1.9.3",
    git_commit="abc",
    build_date="2026-01-31T10:20:30Z",
    goos="linux",
    goarch="amd64",
)
SECOND = 1_000_000_000
JOBS = "/api/v1/orchestrator/jobs"
NODES = "/api/v1/orchestrator/nodes"


def a_report(node: str = ME, **changes: Any) -> NodeReport:
    """What a compute node says of itself."""
    fields: dict[str, Any] = {
        "node_id": NodeID(node),
        "instance": "i",
        "engines": ("docker", "wasm"),
        "storages": ("inline",),
        "publishers": ("noop", "local"),
        "capacity": Resources(milli_cpu=2000, memory=10**9),
        "build": BUILD,
    }
    return NodeReport(**fields | changes)


class GatewayWorld:
    """A stream, a view of it, a gateway and a client; ``lag`` keeps the view from following."""

    def __init__(
        self,
        settings: GatewaySettings | None = None,
        *,
        limits: HTTPLimits | None = None,
        stream: Stream | None = None,
        gatekeeper: Gatekeeper | None = None,
    ) -> None:
        ticks = itertools.count(1_800_000_000)
        self.stream = stream or Stream(lambda: next(ticks))
        self.records = MemoryRecords(self.stream)
        self.view = View()
        self.lag = False
        self.idle = False
        self.nudges: list[tuple[JobID, int, str]] = []
        self.chunks: list[LogChunk] = []
        self.silent: set[str] = set()
        for fact in self.stream.facts:
            self.view.apply(fact)
        self.stream.listeners.append(lambda fact: None if self.lag else self.view.apply(fact))
        if stream is None:
            self.stream.write(report_key(ME), a_report(), None)
        self.gateway = Gateway(
            view=self.view,
            records=self.records,
            nudge=self._nudge,
            blobs=MemoryBlobs(),
            results=MemoryBlobs(),
            settings=settings or GatewaySettings(),
            identity=Identity(
                ME, instance="instance-1", build=BUILD, report=a_report(role=NodeRole.REQUESTER)
            ),
            view_reached=self.catch_up,
            presence=self._presence,
            logs=self._logs,
            now=lambda: self._last() + 1,
        )
        self.app = create_app(self.gateway, limits=limits or HTTPLimits(per_second=0), gatekeeper=gatekeeper)
        transport = httpx.ASGITransport(self.app, raise_app_exceptions=False)
        self.http = httpx.AsyncClient(transport=transport, base_url="http://gateway:1234")

    def _last(self) -> int:
        return self.stream.facts[-1].time if self.stream.facts else 1_800_000_000 * SECOND

    async def catch_up(self, seq: int) -> None:
        for fact in self.stream.facts[self.view.seq : seq]:
            self.view.apply(fact)

    def _presence(self, node: NodeID) -> Presence:
        if node in self.silent:
            return Presence(connected=False, heard=1_800_000_000, lost=1_800_000_060)
        beat = Heartbeat(node_id=node, free=Resources(milli_cpu=1500, memory=10**9), running=1)
        return Presence(connected=True, heard=1_800_000_000, since=1_700_000_000, beat=beat)

    async def _logs(
        self, job_id: JobID, execution_ids: Sequence[ExecutionID], *, follow: bool, start: LogStart
    ) -> AsyncGenerator[LogEntry]:
        for seq, chunk in enumerate(self.chunks, 1):
            known = start.positions.get((chunk.execution_id, chunk.stream), 0)
            wanted = chunk.execution_id in execution_ids or not execution_ids
            if wanted and chunk.offset >= known and chunk.time >= start.since and seq >= start.seq:
                yield LogEntry(seq, chunk)

    async def _nudge(self, job: JobID, seq: int, cause: str) -> None:
        self.nudges.append((job, seq, cause))
        if not self.idle:
            await self.catch_up(self.stream.seq)
            self.settle(job)

    async def put(self, job: dict[str, Any], **rest: Any) -> httpx.Response:
        """Submit a job."""
        return await self.http.put(JOBS, json={"Job": job, **rest})

    # --- the worker -----------------------------------------------------------------------------------

    def settle(self, job_id: JobID) -> None:
        """Do what the roles would do about a job, as far as it goes without time."""
        job = self.view.job(job_id)
        assert job is not None
        self._stop_old(job)
        if job.over:
            if job.spec.stop is not None and job.conclusion is None:
                self.conclude(job_id, JobState.STOPPED, job.spec.stop.reason)
        elif job.spec.count == 0 and job.spec.type is JobType.BATCH:
            self.conclude(job_id, JobState.COMPLETED)
        elif not constraints.match(job.spec.constraints, {"name": ME}):
            self._unsuitable(job)
        elif job.spec.count or job.spec.type.everywhere:
            self.start(job_id)
            words = " ".join(map(str, job.spec.task.engine.param("Parameters") or ()))
            if "sleep" not in words and not job.spec.type.endless:
                self.finish(job_id)

    def _stop_old(self, job: JobView) -> None:
        for one in list(job.executions.values()):
            if one.wanted and (one.version != job.spec.version or job.spec.stop):
                stopped = "Execution stop requested because job has been stopped"
                why = stopped if job.spec.stop else "Execution stopped for job update"
                self.wish(one, Wish.STOP, why)
                self.report(one, ExecutionState.CANCELLED, message=why)

    def _unsuitable(self, job: JobView) -> None:
        spec, wanted = job.spec, constraints.show(job.spec.constraints)
        why = f"\n• Node {short(ME)}: labels map[name:{ME}] don't match required selectors {wanted}"
        details = {"IsError": "true", "NodesAvailable": "1"}
        message = f"not matching nodes to run job out of 1 available nodes.{why}"
        if not spec.type.everywhere:
            details |= {"NodesRequested": str(spec.count), "NodesSuitable": "0"}
            message = f"not enough nodes to run job. requested: {spec.count}, available: 1, suitable: 0.{why}"
        if spec.task.timeouts.queue_timeout:
            waiting = Waiting(job_id=job.id, version=spec.version, message=f"Job queued. {message}")
            self.stream.write(waiting_key(job.id, spec.version), waiting, 0)
        elif spec.type is not JobType.DAEMON:
            self.conclude(job.id, JobState.FAILED, message, **details)

    def start(self, job_id: JobID, attempt: int = 0, node: NodeID = ME, *, run: bool = True) -> ExecutionView:
        """Place an execution, and let its node start it."""
        job = self.view.job(job_id)
        assert job is not None
        spec = job.spec
        execution = execution_id(job_id, spec.nonce, spec.version, "0", attempt)
        desired = Desired(
            wish=Wish.RUN,
            execution_id=execution,
            job_id=job_id,
            node_id=node,
            version=spec.version,
            attempt=attempt,
            job=spec,
        )
        self.stream.write(desired_key(execution, node), desired, 0)
        one = self.view.execution(job_id, execution)
        assert one is not None
        if run:
            self.report(one, ExecutionState.RUNNING)
        return one

    def wish(self, one: ExecutionView, wish: Wish, message: str) -> None:
        """Change what is wanted of an execution."""
        record = one.desired.but(wish=wish, message=message)
        self.stream.write(desired_key(one.id, one.node_id), record, one.desired_seq)

    def report(self, one: ExecutionView, state: ExecutionState, **fields: Any) -> None:
        """Report what the node saw of an execution."""
        record = Observed(
            execution_id=one.id, job_id=one.desired.job_id, node_id=one.node_id, state=state, **fields
        )
        self.stream.write(observed_key(one.id, one.node_id), record, one.observed_seq)

    def finish(
        self,
        job_id: JobID,
        result: SpecConfig | None = None,
        stdout: str = "",
        digest: ResultDigest | None = None,
    ) -> None:
        """Let the running execution complete, and its job with it."""
        job = self.view.job(job_id)
        assert job is not None
        wasm = job.spec.task.engine.kind == "wasm"
        output = RunOutput(
            stdout=stdout or ("hello from wasm\n" if wasm else ""), exit_code=-1 if wasm else 0
        )
        for one in job.of_version(job.spec.version):
            if not one.terminal:
                self.report(
                    one,
                    ExecutionState.COMPLETED,
                    output=output,
                    result=result or SpecConfig(),
                    digest=digest or ResultDigest(),
                )
        self.conclude(job_id, JobState.COMPLETED)

    def fail(self, one: ExecutionView, message: str, **fields: Any) -> None:
        """Let an execution fail."""
        self.report(one, ExecutionState.FAILED, message=message, reason=Reason.ENGINE, **fields)

    def conclude(self, job_id: JobID, state: JobState, message: str = "", **details: str) -> None:
        """End the current version of a job."""
        job = self.view.job(job_id)
        assert job is not None
        version = job.spec.version
        record = Conclusion(job_id=job_id, version=version, state=state, message=message, details=details)
        self.stream.write(conclusion_key(job_id, version), record, 0)
