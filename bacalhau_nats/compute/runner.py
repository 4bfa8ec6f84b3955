"""One execution, from its assignment to how it ended: fetch, run, publish.

Whatever goes wrong becomes an observed record with a reason; nothing but a cancellation leaves this
module as an exception. Everything made on the way is removed in reverse, also on cancellation.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Coroutine, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any
from uuid import uuid4

from bacalhau_nats.blocking import in_thread
from bacalhau_nats.compute.agent import Step
from bacalhau_nats.compute.disk import DiskReserve, DiskWatch, by_cause, can_fill, watched
from bacalhau_nats.compute.environment import environment
from bacalhau_nats.compute.folders import ExecutionFolder, leftovers
from bacalhau_nats.compute.limits import TimedOut, timed
from bacalhau_nats.compute.port_book import PortBook
from bacalhau_nats.compute.reports import Reporter
from bacalhau_nats.compute.results import ExecutionLog, Logbook, OutputTee, Stored
from bacalhau_nats.compute.volumes import prepare_inputs
from bacalhau_nats.domain.execution import Desired, ExecutionState, Observed, Reason, ResultDigest, RunOutput
from bacalhau_nats.domain.ids import ExecutionID
from bacalhau_nats.domain.manifest import Origin
from bacalhau_nats.domain.resources import parse
from bacalhau_nats.domain.spec import JobSpec, Task
from bacalhau_nats.ports import (
    Executor,
    Failure,
    Outcome,
    Publisher,
    Share,
    Storage,
    Volume,
    Work,
    WorkFailed,
)

log = logging.getLogger(__name__)

_RUNNING, _PUBLISHING, _TIMED_OUT = "Running Execution", "Publishing Results", "Exec Timeout"


@dataclass(frozen=True, slots=True)
class Plugins:
    """What this node can do, by lower-case name."""

    executors: Mapping[str, Executor]
    storages: Mapping[str, Storage]
    publishers: Mapping[str, Publisher]


@dataclass(slots=True)
class WorkRunner:
    """Runs executions with the plugins of this node; see `agent.Runner`."""

    data_dir: Path
    plugins: Plugins
    logbook: Logbook
    reporter: Reporter
    ports: PortBook
    reserve: DiskReserve
    env_allowed: tuple[str, ...] = ()
    node_env: Mapping[str, str] = field(default_factory=dict)
    _active: set[ExecutionID] = field(default_factory=set)

    async def run(self, desired: Desired, step: Step) -> Observed:
        """Run an execution to its end and say how it ended."""
        return await self._guard(desired, self._run(desired, step))

    async def attach(self, desired: Desired, step: Step) -> Observed | None:
        """Go on with an execution that an earlier process began; None when the engine does not have it."""
        job = desired.job
        executor = self.plugins.executors.get(job.task.engine.kind) if job else None
        if job is None or executor is None:
            return None
        found: list[bool] = []
        ended = await self._guard(desired, self._attach(desired, job, executor, step, found))
        return ended if found else None

    async def sweep(self, keep: list[ExecutionID]) -> None:
        """Remove containers and folders of earlier processes that nobody wants."""
        for name, executor in self.plugins.executors.items():
            if (await executor.check()).ok and (removed := await executor.sweep(keep)):
                log.warning("removed %d leftovers of engine %s", removed, name, extra={"action": "swept"})
        for execution in await asyncio.to_thread(leftovers, self.data_dir):
            # Asked anew for each: work may begin while we sweep, and ``keep`` is from before.
            if execution not in keep and execution not in self._active:
                await asyncio.to_thread(ExecutionFolder(self.data_dir, execution).clear)

    # --- the steps ---------------------------------------------------------------------------------------

    async def _run(self, desired: Desired, step: Step) -> Observed:
        job, task = self._job(desired), self._job(desired).task
        executor = self.plugins.executors.get(task.engine.kind)
        if executor is None:
            raise WorkFailed(f"engine {task.engine.kind} is not available on this node any more")
        async with self._place(desired, task) as (folder, tee, outputs):
            watch = self._watch(task, folder)
            async with prepare_inputs(
                task,
                self.plugins.storages,
                folder.inputs,
                tee,
                watch=watch,
                share=Share(desired.partition, job.count, parse(task.resources).disk),
            ) as inputs:
                if watch is not None:
                    await asyncio.to_thread(watch.share, inputs, self.data_dir)
                host_ports = self.ports.take(desired.execution_id, task.network) if task.network.ports else {}
                work = self._work(desired, job, folder, inputs, outputs, host_ports=host_ports)
                outcome = await watched(timed(executor.run(work, tee), task), watch)
            return await self._end(desired, work, folder, tee.output(outcome.exit_code), outcome, step=step)

    async def _attach(
        self, desired: Desired, job: JobSpec, executor: Executor, step: Step, found: list[bool]
    ) -> Observed:
        stored = await self.logbook.stored(desired.job_id, desired.execution_id)
        async with self._place(desired, job.task, stored) as (folder, tee, outputs):
            # Its ports are bound by what runs already: taking them again would find them in use.
            work = self._work(desired, job, folder, (), outputs, host_ports={})
            attached = timed(executor.attach(work, tee, seen=stored.seen), job.task)
            outcome = await watched(attached, self._watch(job.task, folder))
            if outcome is None:
                return self.reporter.seen(desired, ExecutionState.FAILED)
            found.append(True)
            return await self._end(desired, work, folder, tee.output(outcome.exit_code), outcome, step=step)

    async def _end(
        self,
        desired: Desired,
        work: Work,
        folder: ExecutionFolder,
        output: RunOutput,
        outcome: Outcome,
        *,
        step: Step,
    ) -> Observed:
        if outcome.failure is not None:
            return self._failed(desired, outcome.failure, _RUNNING, output)
        publisher = self._publisher(work.task)
        if publisher is None:
            return self.reporter.seen(desired, ExecutionState.COMPLETED).but(output=output)
        await step(ExecutionState.PUBLISHING)
        origin = Origin(
            job_id=desired.job_id,
            execution_id=desired.execution_id,
            node_id=desired.node_id,
            version=desired.version,
            partition=desired.partition,
            engine=work.task.engine.kind,
            program=outcome.program,
        )
        try:
            summary = await in_thread(partial(folder.assemble, work.task, outcome.exit_code, origin))
            result = await publisher.publish(work, folder.results, work.task.effective_publisher)
        except WorkFailed as failed:
            return self._failed(desired, by_cause(failed), _PUBLISHING, output)
        return self.reporter.seen(desired, ExecutionState.COMPLETED).but(
            output=output, result=result, digest=ResultDigest.of(summary)
        )

    @asynccontextmanager
    async def _place(
        self, desired: Desired, task: Task, stored: Stored | None = None
    ) -> AsyncIterator[tuple[ExecutionFolder, OutputTee, tuple[Volume, ...]]]:
        """Give an execution its folder, its log and its output folders; all is gone afterwards."""
        folder = ExecutionFolder(self.data_dir, desired.execution_id)
        sink = self.logbook.open(desired.job_id, desired.execution_id, stored)
        keeps_results = self._publisher(task) is not None
        try:
            outputs = await asyncio.to_thread(folder.make, task, scratch=False) if task.result_paths else ()
            with OutputTee(sink, folder.results if keeps_results else None) as tee:
                if stored is not None:
                    await asyncio.to_thread(tee.resume, stored.seen, stored.heads)
                yield folder, tee, outputs
        finally:
            self.ports.give_back(desired.execution_id)
            await asyncio.shield(self._clear(folder, sink))

    def _watch(self, task: Task, folder: ExecutionFolder) -> DiskWatch | None:
        allowed = parse(task.resources).disk
        return DiskWatch(folder, allowed, self.reserve) if can_fill(task, allowed) else None

    async def _clear(self, folder: ExecutionFolder, sink: ExecutionLog) -> None:
        await sink.close()
        if folder.root.exists():
            await asyncio.to_thread(folder.clear)

    def _work(
        self,
        desired: Desired,
        job: JobSpec,
        folder: ExecutionFolder,
        inputs: tuple[Volume, ...],
        outputs: tuple[Volume, ...],
        *,
        host_ports: Mapping[str, int],
    ) -> Work:
        task = job.task
        inner = {p.name: p.target for p in task.network.ports if p.target}
        return Work(
            execution_id=desired.execution_id,
            job=job,
            task=task,
            partition=desired.partition,
            resources=parse(task.resources),
            env=environment(
                job,
                desired.execution_id,
                desired.partition,
                allow=self.env_allowed,
                node_env=self.node_env,
                host_ports=host_ports,
                ports=inner,
            ),
            inputs=inputs,
            outputs=outputs,
            scratch=folder.scratch,
            ports=host_ports,
        )

    # --- how it ended --------------------------------------------------------------------------------------

    async def _guard(self, desired: Desired, run: Coroutine[Any, Any, Observed]) -> Observed:
        """Turn whatever happens into an observed record: the edge of an execution."""
        self._active.add(desired.execution_id)
        try:
            return await run
        except WorkFailed as failed:
            return self._failed(desired, by_cause(failed), _RUNNING)
        except TimedOut as over:
            failure = Failure(
                str(over),
                Reason.TIMEOUT,
                retryable=False,
                hint="Increase the task timeout or allocate more resources",
            )
            return self._failed(desired, failure, _TIMED_OUT)
        except Exception:
            error_id = uuid4().hex[:12]
            log.exception("execution %s hit a bug, id %s", desired.execution_id, error_id)
            return self._failed(
                desired, Failure(f"internal error on the node, id {error_id} in its log"), _RUNNING
            )
        finally:
            self._active.discard(desired.execution_id)

    def _failed(
        self, desired: Desired, failure: Failure, topic: str, output: RunOutput | None = None
    ) -> Observed:
        seen = self.reporter.seen(
            desired, ExecutionState.FAILED, failure.reason, failure.message, retryable=failure.retryable
        )
        return seen.but(hint=failure.hint, topic=topic, output=output or RunOutput())

    def _publisher(self, task: Task) -> Publisher | None:
        kind = task.effective_publisher.kind
        return None if kind in ("", "noop") else self.plugins.publishers.get(kind)

    @staticmethod
    def _job(desired: Desired) -> JobSpec:
        if desired.job is None:
            raise WorkFailed("the assignment came without its job", reason=Reason.INVALID)
        return desired.job
