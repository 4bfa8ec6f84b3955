"""The jobs of the demo: the delay report on every node's own data, and one that outlives its node."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from cluster import Cluster, DemoFailed
from stage import Stage

from bacalhau_nats.client import Client
from bacalhau_nats.client.wire import Execution, compute_state, job_state

REPO = Path(__file__).resolve().parent.parent
IMAGE = "busybox:1.37"
FLIGHTS_PATH = "/proc/self/cwd/flights"
"""On each node another folder: below the one in which its process was started."""

_SCRIPT = Path(__file__).with_name("delays.sh")
_ON_EVERY_NODE = ("--target", "all", "--constraints", "data=flights")
_DATA = ("-i", f"file://{FLIGHTS_PATH}:/inputs", "-o", "report:/outputs")
_SMALL = ("--memory", "128MB")
_PARTITIONS = 3
_RUNS = frozenset({"BidAccepted", "Running", "Publishing"})
"""States of an execution that its node has begun; the public API calls it BidAccepted until it ends."""
_JOB_SECONDS = 120


@dataclass(frozen=True)
class Done:
    """A job that completed: its executions by node, the files of its results, how long it took."""

    job_id: str
    executions: dict[str, str]
    files: list[Path]
    seconds: float


@dataclass(frozen=True)
class Command:
    """A command as it is shown and as it is run."""

    shown: tuple[str, ...]
    run: tuple[str, ...]


def wasm_report() -> Command:
    """The report as a WebAssembly module, its results kept in the object store of NATS."""
    before = ("wasm", "run", *_ON_EVERY_NODE, *_DATA, "-p", "nats", *_SMALL, "--wait=false")
    return _command(before, "wasm/built/delays.wasm", ("/inputs", "/outputs"))


def docker_report() -> Command:
    """The same report as a shell script in a container, its results served by the nodes themselves."""
    words = (
        "docker",
        "run",
        *_ON_EVERY_NODE,
        *_DATA,
        "-p",
        "local",
        *_SMALL,
        "--wait=false",
        IMAGE,
        "--",
        "sh",
        "-c",
    )
    return Command((*words, "$(cat demo/delays.sh)"), (*words, _SCRIPT.read_text()))


def ticking(seconds: int) -> Command:
    """Three partitions that print a line each second."""
    before = ("wasm", "run", "--count", str(_PARTITIONS), "--cpu", "0.1", *_SMALL, "--wait=false")
    return _command(before, "wasm/built/sleep.wasm", (str(seconds),))


def _command(before: tuple[str, ...], module: str, after: tuple[str, ...]) -> Command:
    return Command((*before, module, *after), (*before, str(REPO / module), *after))


async def submit(stage: Stage, cluster: Cluster, command: Command) -> str:
    """Show and run a command that submits a job; give the job's id."""
    stage.command(("bacalhau", *command.shown))
    return (await cluster.run(*command.run)).strip()


async def report(stage: Stage, cluster: Cluster, client: Client, command: Command) -> Done:
    """Run the report on every node, show its output while it runs, and fetch what it left. Raises DemoFailed."""
    begun = time.monotonic()
    job = await submit(stage, cluster, command)
    followed: dict[str, str] = {}
    async with asyncio.TaskGroup() as group:
        async for executions in looks(client, job):
            for execution in executions:
                if execution["NodeID"] not in followed:
                    followed[execution["NodeID"]] = execution["ID"]
                    group.create_task(_follow(stage, cluster, job, execution))
    await completed(client, job)
    seconds = time.monotonic() - begun
    if set(followed) != set(cluster.computes):
        raise DemoFailed(f"the job ran on {', '.join(sorted(followed))} and not on every node")
    stage.command(("bacalhau", "job", "get", job))
    await cluster.run("job", "get", job)
    # All nodes call their file the same, so `get` keeps each in a folder of its execution.
    files = await asyncio.to_thread(lambda: sorted((cluster.home / f"job-{job}").rglob("*.csv")))
    return Done(job, followed, files, seconds)


async def looks(client: Client, job: str) -> AsyncIterator[Sequence[Execution]]:
    """Give the executions of a job again and again, until it is over. Raises DemoFailed when it takes too long."""
    deadline = time.monotonic() + _JOB_SECONDS
    while time.monotonic() < deadline:
        state = job_state((await client.get(job))["Job"])
        yield (await client.executions(job))["Items"]
        if state in ("Completed", "Failed", "Stopped"):
            return
        await asyncio.sleep(0.05)
    raise DemoFailed(f"job {job} is not over after {_JOB_SECONDS} s")


async def completed(client: Client, job: str) -> None:
    """Raise DemoFailed unless the job completed and every program in it ended well."""
    ended = (await client.get(job))["Job"]
    if job_state(ended) != "Completed":
        raise DemoFailed(f"job {job} is {job_state(ended)}: {ended.get('State', {}).get('Message', '')}")
    for execution in (await client.executions(job))["Items"]:
        output = execution.get("RunOutput") or {}
        if compute_state(execution) == "Completed" and output.get("ExitCode"):
            raise DemoFailed(
                f"the program on {execution['NodeID']} ended with code {output['ExitCode']}: "
                f"{str(output.get('Stderr') or '').strip()}"
            )


async def _follow(stage: Stage, cluster: Cluster, job: str, execution: Execution) -> None:
    process = await cluster.follow("job", "logs", "--follow", "--execution-id", execution["ID"], job)
    assert process.stdout is not None  # noqa: S101 - opened as a pipe
    try:
        async for line in process.stdout:
            stage.line(execution["NodeID"], line.decode(errors="replace").rstrip())
        await process.wait()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def survive(stage: Stage, cluster: Cluster, client: Client, seconds: int) -> None:
    """Kill the node of a running partition and watch the partition move. Raises DemoFailed when it does not."""
    job = await submit(stage, cluster, ticking(seconds))
    victim = ""
    async for executions in looks(client, job):
        if len([e for e in executions if compute_state(e) in _RUNS]) == _PARTITIONS:
            victim = next(e["NodeID"] for e in executions if e.get("PartitionIndex", 0) == 1)
            break
    if not victim:
        raise DemoFailed("the partitions never ran side by side")
    begun = time.monotonic()
    tell = _teller(stage, begun)
    tell(f"kill -9 {cluster.pids[victim]}: {victim}, on which partition 1 runs, is gone")
    await cluster.kill(victim)
    seen: set[tuple[str, str]] = set()
    moved = ""
    async for executions in looks(client, job):
        for execution in executions:
            state, node = compute_state(execution), execution["NodeID"]
            if execution.get("PartitionIndex", 0) != 1 or (execution["ID"], state) in seen:
                continue
            seen.add((execution["ID"], state))
            if node == victim and state == "Failed":
                tell(f"partition 1 on {node}: {execution['ComputeState'].get('Message', 'failed')}")
            elif node != victim and state in _RUNS:
                tell(f"partition 1 runs again, on {node}")
                moved = node
    await completed(client, job)
    if not moved:
        raise DemoFailed(f"partition 1 did not move away from {victim}")
    tell("the job is Completed")
    stage.command(("bacalhau", "job", "executions", job))
    stage.output(await cluster.run("job", "executions", job))


def _teller(stage: Stage, begun: float) -> Callable[[str], None]:
    def tell(text: str) -> None:
        stage.line(f"{time.monotonic() - begun:5.1f} s", text)

    return tell
