"""What happens around a submission: say its id, show the job, tell how it ended.

stdout gets the line with the id (or the bare id), and with ``--follow`` the job's own output; everything else
is on stderr. The exit code tells how the job ended, see `exits`.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bacalhau_cli import exits, notices, progress, render
from bacalhau_nats.client.wire import TERMINAL_JOB_STATES, compute_state, job_state, why_failed
from bacalhau_nats.domain.ids import short
from bacalhau_nats.errors import BacalhauError

if TYPE_CHECKING:
    from bacalhau_cli.context import Caller
    from bacalhau_nats.client import Client, Execution, Job, JobHandle

_NOT_PLACED = frozenset({"Undefined", "Pending", "Queued"})
_FIRST_LOOK, _LAST_LOOK = 0.02, 0.5


@dataclass(frozen=True)
class Watching:
    """How the user wants to see the job."""

    wait: bool = True
    wait_timeout_secs: int = 600
    id_only: bool = False
    node_details: bool = False
    follow: bool = False
    group_events: bool = False


def submit_and_watch(
    caller: Caller,
    send: Callable[[Client], Awaitable[JobHandle]],
    watching: Watching,
    *,
    hide_warnings: bool = False,
) -> int:
    """Submit with ``send``, watch as wanted, and give the exit code."""
    watcher = _Watcher(watching, hide_warnings=hide_warnings)
    try:
        return caller.call(lambda client: watcher.run(client, send))
    except KeyboardInterrupt:
        if watcher.job_id:
            notices.say()
            notices.warn(f"no longer watching; job {watcher.job_id} goes on")
            notices.say(f"  stop it:        bacalhau job stop {watcher.job_id}")
            notices.say(f"  look at it:     bacalhau job describe {watcher.job_id}")
        else:
            notices.warn("interrupted before the server answered: the job may have been submitted, or not")
        return exits.INTERRUPTED


class _Watcher:
    """One submission from sending to its end; ``job_id`` is known once the server has taken the job."""

    def __init__(self, watching: Watching, *, hide_warnings: bool) -> None:
        self._watching = watching
        self._hide_warnings = hide_warnings or watching.id_only
        self.job_id = ""

    async def run(self, client: Client, send: Callable[[Client], Awaitable[JobHandle]]) -> int:
        sent = await send(client)
        self.job_id = sent.job_id
        if not self._hide_warnings:
            for warning in sent.warnings:
                notices.warn(warning)
        how = self._watching
        bare = how.id_only or not how.wait or notices.quiet()
        render.raw(f"{sent.job_id}\n" if bare else f"Job successfully submitted. Job ID: {sent.job_id}\n")
        if not how.wait:
            return exits.OK
        try:
            async with asyncio.timeout(how.wait_timeout_secs or None):
                job = await self._watch(client, sent)
        except TimeoutError:
            notices.warn(
                f"job {sent.job_id} is not over after {how.wait_timeout_secs} s; it goes on "
                f"(see 'bacalhau job describe {sent.job_id}', or wait longer with --wait-timeout-secs)"
            )
            return exits.WAITED_TOO_LONG
        return await self._tell_end(client, job)

    async def _watch(self, client: Client, sent: JobHandle) -> Job:
        how = self._watching
        job = (await client.get(sent.job_id))["Job"]
        endless = job.get("Type") in ("service", "daemon")
        if how.follow:
            return await self._follow(client, sent, endless=endless)
        if not how.id_only:
            notices.say("Watching it; Ctrl-C stops watching, not the job.")
        await progress.watch(
            client,
            sent.job_id,
            version=sent.version,
            endless=endless,
            grouped=how.group_events,
            quiet=how.id_only,
        )
        return (await client.get(sent.job_id))["Job"]

    async def _follow(self, client: Client, sent: JobHandle, *, endless: bool) -> Job:
        if not self._watching.id_only:
            notices.say("Waiting for its output; Ctrl-C stops watching, not the job.")
        job = await _placed(client, sent.job_id)
        try:
            async for line in client.logs(sent.job_id, follow=True, version=sent.version):
                render.raw(line.text, stderr=line.stream == "stderr")
        except BacalhauError:
            # A job that failed before anything ran has no output: how it failed is told below.
            job = (await client.get(sent.job_id))["Job"]
            if job_state(job) not in ("Failed", "Stopped"):
                raise
        return job if endless else await client.wait(sent.job_id)

    async def _tell_end(self, client: Client, job: Job) -> int:
        state = job_state(job)
        executions = (await client.executions(self.job_id))["Items"]
        if self._watching.node_details:
            _tell_nodes(executions)
        if state == "Failed":
            notices.error(f"job failed: {why_failed(job, executions)}", hint=_hint(self.job_id, executions))
        elif state == "Stopped":
            notices.warn(f"job was stopped: {job.get('State', {}).get('Message') or 'no reason given'}")
        if not self._watching.id_only:
            _tell_exit_codes(executions)
            if state != "Failed":
                _tell_next(job)
        return exits.BY_JOB_STATE.get(state, exits.OK)


async def _placed(client: Client, job_id: str) -> Job:
    """Wait until a job has left the queue."""
    pause = _FIRST_LOOK
    while True:
        job = (await client.get(job_id))["Job"]
        if job_state(job) not in _NOT_PLACED:
            return job
        await asyncio.sleep(pause)
        pause = min(_LAST_LOOK, pause * 1.5)


def _hint(job_id: str, executions: Sequence[Execution]) -> str:
    if not executions:
        return f"'bacalhau job explain {job_id}' tells of each node why it did not take it"
    return f"'bacalhau job describe {job_id}' tells the whole story"


def _tell_exit_codes(executions: Sequence[Execution]) -> None:
    """A program that ends with a code other than 0 does not fail the job, but should be seen."""
    for execution in executions:
        code = (execution.get("RunOutput") or {}).get("ExitCode", 0)
        if compute_state(execution) == "Completed" and code > 0:
            where = f"{short(execution.get('ID', ''))} on {short(execution.get('NodeID', ''))}"
            notices.warn(f"the program ended with exit code {code} ({where})")


def _tell_nodes(executions: Sequence[Execution]) -> None:
    notices.say(notices.bold("Job Results By Node:"))
    nodes: defaultdict[str, list[str]] = defaultdict(list)
    for execution in executions:
        nodes[_summary(execution)].append(short(execution.get("NodeID", "")))
    for summary, where in nodes.items():
        places = f"node {where[0]}" if len(set(where)) == 1 else f"{len(set(where))} nodes"
        who = f"Node {where[0]}" if len(where) == 1 else f"{len(where)} runs on {places}"
        notices.say(f"• {who}: {summary}")


def _summary(execution: Execution) -> str:
    output: dict[str, Any] = execution.get("RunOutput") or {}
    if output.get("ErrorMsg"):
        return str(output["ErrorMsg"])
    if compute_state(execution) != "Completed":
        return execution.get("ComputeState", {}).get("Message") or compute_state(execution)
    said = output.get("stderr") if output.get("ExitCode", 0) > 0 else output.get("Stdout")
    return str(said or "").strip() or "no output"


def _tell_next(job: Job) -> None:
    name = job.get("ID", "")
    notices.say()
    notices.say(f"More about it:  bacalhau job describe {name}")
    tasks = job.get("Tasks") or [{}]
    if job_state(job) in TERMINAL_JOB_STATES and (tasks[0].get("Publisher") or {}).get("Type"):
        notices.say(f"Its results:    bacalhau job get {name}")
    else:
        notices.say(f"Its output:     bacalhau job logs {name}")
