"""The fault run: 200 jobs while every process is killed and paused in turn. ``python -m benchmarks.faults``

Two orchestrators (requester and gateway), three computes and a nats-server, each a process of its own. Jobs
are submitted all the time through both gateways, again with the same token when one does not answer.
Meanwhile each process is killed (-9) and started again, each is stopped (SIGSTOP) for longer than the window
after which a node counts as lost, and the server is restarted. Each execution leaves a mark in a folder when
it starts, so that starts are counted outside our own records. Ends with 1 when a job is lost, an execution
started twice or anything is left behind.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import random
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from uuid import NAMESPACE_URL, uuid5

from bacalhau_nats.client import Client, Job
from bacalhau_nats.client.wire import TERMINAL_JOB_STATES, compute_state, job_state
from bacalhau_nats.errors import BacalhauError, NotFound, Unavailable
from bacalhau_nats.testing.server import NatsServer
from benchmarks.fault_report import Report, containers, engine_answers, is_bug, processes
from benchmarks.fault_trouble import Trouble
from tests.support import marks
from tests.support.nodes import NodeProcess

ORCHESTRATORS, COMPUTES = ("o1", "o2"), ("c1", "c2", "c3")
PATIENCE = 150.0  # seconds after the last fault, and for one submission


@dataclass(frozen=True, slots=True)
class Options:
    """What to do, as given; seconds throughout."""

    jobs: int
    seed: int
    quick: bool
    docker: bool
    keep: bool
    storm: float = 0

    @property
    def window(self) -> float:
        """Silence after which a node counts as lost."""
        return 5 if self.quick else 15

    @property
    def pause(self) -> float:
        """How long a process is stopped."""
        return 8 if self.quick else 30


@dataclass(slots=True)
class Run:
    """Everything that runs."""

    options: Options
    folder: Path
    cell: str
    server: NatsServer
    nodes: dict[str, NodeProcess] = field(default_factory=dict)
    report: Report = field(default_factory=Report)
    clients: dict[str, Client] = field(default_factory=dict)
    kinds: random.Random = field(init=False)

    def __post_init__(self) -> None:
        """Draw jobs and faults apart, so that the timing of one does not change the other."""
        self.kinds = random.Random(self.options.seed)

    async def start(self, stack: AsyncExitStack) -> None:
        """Start every node; each ends with ``stack``."""
        folder = self.folder / "marks"
        settings = [
            *marks.mark_settings(folder),
            f"Cell={self.cell}",
            f"Orchestrator.NodeManager.DisconnectTimeout={self.options.window}s",
            f"Compute.Heartbeat.Interval={self.options.window / 5}s",
            f"Engines.Disabled={'' if self.options.docker else 'docker'}",
        ]
        for name in (*ORCHESTRATORS, *COMPUTES):
            role = "orchestrator" if name in ORCHESTRATORS else "compute"
            ports = [f"API.Port={free_port()}"] if role == "orchestrator" else []
            env = {marks.NODE_VARIABLE: name}
            node = NodeProcess(
                name, self.folder, self.server.url, role, settings=[*settings, *ports], env=env
            )
            self.nodes[name] = node
            stack.push_async_callback(node.kill)
            await node.start()
            if role == "orchestrator":
                self.clients[name] = await stack.enter_async_context(Client(node.url, timeout=5))

    # --- jobs -----------------------------------------------------------------------------------------

    def job(self, number: int) -> Job:
        """Make up one job: most are WASM, every fifth is a container, every fourth has two partitions."""
        seconds = round(self.kinds.choice((0.05, 0.5, 2.0, 5.0)) * self.kinds.uniform(0.5, 1.5), 2)
        count = 2 if number % 4 == 0 else 1
        build = marks.marking_container if self.options.docker and number % 5 == 0 else marks.marking
        job = build(self.folder / "marks", seconds, node_name=True, Count=count)
        if self.options.storm:  # all computes may be away at once: wait for one instead of failing
            job["Tasks"][0]["Timeouts"] = {"QueueTimeout": int(PATIENCE)}
        return job

    async def submit(self, over: float) -> None:
        """Submit all jobs, spread over so many seconds."""
        async with asyncio.TaskGroup() as group:
            for number in range(self.options.jobs):
                group.create_task(self._submit_one(number, self.job(number)))
                await asyncio.sleep(over / self.options.jobs)

    async def _submit_one(self, number: int, job: Job) -> None:
        token = str(uuid5(NAMESPACE_URL, f"{self.cell}/{number}"))
        deadline = time.monotonic() + PATIENCE
        for turn in range(number, sys.maxsize):
            client = self.clients[ORCHESTRATORS[turn % len(ORCHESTRATORS)]]
            try:
                sent = await client.submit(job, token=token)
            except Unavailable as error:
                if time.monotonic() > deadline:
                    self.report.refused.append(error.message)
                    return
                self.report.repeated += 1
                await asyncio.sleep(0.2)
            except BacalhauError as error:
                self.report.refused.append(error.message)
                return
            else:
                self.report.accepted[sent.job_id] = job
                return

    async def conclude(self) -> None:
        """Wait until every job is over, and note how it ended."""
        begun = time.monotonic()
        gate = asyncio.Semaphore(8)
        async with asyncio.TaskGroup() as group:
            for number, job_id in enumerate(self.report.accepted):
                group.create_task(self._end(job_id, ORCHESTRATORS[number % 2], begun + PATIENCE, gate))
        self.report.took = time.monotonic() - begun

    async def _end(self, job_id: str, gateway: str, deadline: float, gate: asyncio.Semaphore) -> None:
        client = self.clients[gateway]
        while time.monotonic() < deadline:
            with contextlib.suppress(Unavailable, NotFound):
                async with gate:
                    found = (await client.get(job_id))["Job"]
                if job_state(found) in TERMINAL_JOB_STATES:
                    self.report.ended[job_id] = (job_state(found), found["State"].get("Message", ""))
                    await self._check_marks(client, job_id)
                    return
            await asyncio.sleep(0.25)

    async def _check_marks(self, client: Client, job_id: str) -> None:
        """Note completed executions that left no mark, and partitions that nobody completed."""
        if self.report.ended[job_id][0] != "Completed":
            return
        found = (await client.executions(job_id, limit=0))["Items"]
        done = [e for e in found if compute_state(e) == "Completed"]
        partitions = {e.get("PartitionIndex", 0) for e in done}
        if len(partitions) < self.report.accepted[job_id]["Count"]:
            self.report.unmarked.append(f"{job_id}: completed with partitions {sorted(partitions)}")
        self.report.unmarked += [e["ID"] for e in done if not (self.folder / "marks" / e["ID"]).exists()]

    # --- faults -----------------------------------------------------------------------------------------

    async def trouble(self) -> None:
        """Do what the options say to the processes."""
        options = self.options
        trouble = Trouble(self.nodes, self.server, options.seed, options.window, options.pause, self._tell)
        await (trouble.storm(options.storm) if options.storm else trouble.in_turn())

    def _tell(self, what: str) -> None:
        self.report.faults += 1
        say(f"{what}   ({len(self.report.accepted)} accepted)")

    # --- the end ------------------------------------------------------------------------------------------

    async def look_around(self) -> None:
        """End the nodes in order and note what is left."""
        for name, node in self.nodes.items():
            if not node.running:
                self.report.bugs.append(f"{name} had ended by itself: {node.tail(2)}")
            elif code := await node.end():
                self.report.bugs.append(f"{name} ended with {code}")
        self.report.starts = marks.read_marks(self.folder / "marks")
        self.report.containers = containers(self.cell) if self.options.docker else []
        self.report.strays = processes(str(self.folder))
        for node in self.nodes.values():
            lines = node.log.read_text(errors="replace").splitlines()
            self.report.bugs += [f"{node.name}: {line}" for line in lines if is_bug(line)]


def free_port() -> int:
    """Give a port that nobody has; a gateway must come back on the one it had."""
    import socket  # noqa: PLC0415 - for this line

    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


def say(text: str) -> None:
    """Tell of progress."""
    sys.stderr.write(f"{time.strftime('%H:%M:%S')} {text}\n")
    sys.stderr.flush()


@asynccontextmanager
async def stage(options: Options) -> AsyncIterator[Run]:
    """Start everything; end and remove everything, whatever happens."""
    folder = Path(tempfile.mkdtemp(prefix="bacalhau-faults-"))
    cell = folder.name
    try:
        async with NatsServer() as server, AsyncExitStack() as stack:
            run = Run(options, folder, cell, server)
            await run.start(stack)
            yield run
    finally:
        if options.docker:
            containers(cell, remove=True)
        if options.keep:
            say(f"logs and marks are in {folder}")
        else:
            shutil.rmtree(folder, ignore_errors=True)


async def fault_run(options: Options) -> Report:
    """Do the whole thing."""
    say(f"seed {options.seed}, {options.jobs} jobs, Docker {'too' if options.docker else 'not'}")
    rounds = len(ORCHESTRATORS) + len(COMPUTES)
    expected = options.storm or rounds * (options.pause + options.window / 2 + 5)
    async with stage(options) as run:
        async with asyncio.TaskGroup() as group:
            group.create_task(run.submit(expected))
            group.create_task(run.trouble())
        say("no more faults")
        await run.conclude()
        await run.look_around()
        return run.report


async def main(options: Options) -> int:
    """Run and print; SIGTERM cleans up like Ctrl-C."""
    task = asyncio.current_task()
    assert task is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    report = await fault_run(options)
    for name, value, details in report.rows():
        print(f"{name:<32}{value:>8}")
        for line in details:
            print(f"    {line}")
    return 0 if report.good else 1


def options_of(arguments: list[str] | None = None) -> Options:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.faults", description=(__doc__ or "").partition("``")[0]
    )
    parser.add_argument("--jobs", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1, help="of the order of faults and kinds of jobs")
    parser.add_argument("--quick", action="store_true", help="short windows and pauses: about two minutes")
    parser.add_argument("--no-docker", action="store_true", help="WASM only")
    parser.add_argument("--keep", action="store_true", help="keep logs and marks")
    parser.add_argument("--storm", type=float, default=0, metavar="SECONDS", help="all at once for so long")
    given = parser.parse_args(arguments)
    docker = not given.no_docker and engine_answers()
    return Options(given.jobs, given.seed, given.quick, docker, given.keep, given.storm)


if __name__ == "__main__":
    sys.exit(asyncio.run(main(options_of())))
