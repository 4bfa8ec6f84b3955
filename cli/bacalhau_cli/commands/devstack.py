"""``bacalhau devstack``: a whole cluster on this machine.

Each node is a process of its own, ``bacalhau serve``, with its own data folder. The first orchestrator runs the
NATS server, the others join it. A node stops when its stdin ends, so none outlives this process, however it ends.
"""

from __future__ import annotations

import asyncio
import re
import shutil
import signal
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import click

from bacalhau_cli import exits, former, notices, options, render
from bacalhau_cli.context import Caller
from bacalhau_cli.groups import Command, switch
from bacalhau_nats.errors import StartFailed, UserError

_READY = re.compile(r"^Ready: node \S+  API (?P<api>\S+)  NATS (?P<nats>\S+)$")
_READY_SECONDS = 60
_STOP_SECONDS = 20
_COLOURS = (36, 35, 34, 33, 32, 96, 95, 94, 93, 92)


@dataclass(frozen=True)
class Member:
    """One node of the stack."""

    name: str
    orchestrator: bool
    compute: bool


@click.command(
    cls=Command,
    help="Start a whole cluster on this machine, to try things; Ctrl-C ends it. Its stdout is lines for another shell, "
    "which point commands there at it.",
    examples=(
        "bacalhau devstack --computes 5",
        "bacalhau devstack --hybrids 1 --computes 0 --random-ports",
    ),
)
@click.option("--computes", type=options.WHOLE, default=3, show_default=True, help="Compute nodes.")
@click.option("--orchestrators", type=options.WHOLE, default=1, show_default=True, help="Orchestrators.")
@click.option("--hybrids", type=options.WHOLE, default=0, show_default=True, help="Nodes that are both.")
@click.option(
    "--stack-repo", default="", help="Folder to keep the nodes' data in [default: removed at the end]."
)
@switch("--random-ports", help="Use any free ports for the first orchestrator too.")
@former.devstack_flags()
@click.pass_obj
def devstack(
    caller: Caller,
    /,
    *,
    computes: int,
    orchestrators: int,
    hybrids: int,
    stack_repo: str,
    random_ports: bool,
    **others: int | None,
) -> int:
    counts = former.devstack_counts(others, orchestrators=orchestrators, hybrids=hybrids, computes=computes)
    members = plan(*counts)
    kept = stack_repo or str(caller.given.get("data_dir") or "")
    folder = Path(kept or tempfile.mkdtemp(prefix="bacalhau-devstack-")).expanduser().absolute()
    try:
        return asyncio.run(_Stack(caller, folder, random_ports=random_ports).run(members))
    finally:
        if not kept:
            shutil.rmtree(folder, ignore_errors=True)


def plan(orchestrators: int, hybrids: int, computes: int) -> list[Member]:
    """Name the nodes, one that is an orchestrator first. Raises UserError when there is none."""
    members = [
        *(Member(f"orchestrator-{n}", orchestrator=True, compute=False) for n in range(1, orchestrators + 1)),
        *(Member(f"hybrid-{n}", orchestrator=True, compute=True) for n in range(1, hybrids + 1)),
        *(Member(f"compute-{n}", orchestrator=False, compute=True) for n in range(1, computes + 1)),
    ]
    if orchestrators + hybrids == 0:
        raise UserError("a stack needs an orchestrator", hint="give --orchestrators 1 or --hybrids 1")
    return members


def arguments(
    member: Member, folder: Path, shared: Sequence[str], nats: str, *, first_fixed: bool
) -> list[str]:
    """Give the command line of one node; ``nats`` is empty for the one that runs the NATS server."""
    args = ["serve", "--until-eof", "--name", member.name, "--data-dir", str(folder / member.name)]
    args += ["--orchestrator"] if member.orchestrator else []
    args += ["--compute"] if member.compute else []
    settings = list(shared)
    if not first_fixed:
        settings.append("API.Port=0")
    if not nats:
        settings += [] if first_fixed else ["Orchestrator.Port=0"]
    elif member.orchestrator:
        settings.append(f"Orchestrator.URLs={nats}")
    if nats and member.compute:
        settings.append(f"Compute.Orchestrators={nats}")
    if member.compute:
        settings.append("Publishers.Types.Local.Port=0")
    return [*args, *(part for setting in settings for part in ("-c", setting))]


class _Stack:
    """The running processes; each ends when its stdin is closed."""

    def __init__(self, caller: Caller, folder: Path, *, random_ports: bool) -> None:
        pointing = ("BACALHAU_API_HOST", "BACALHAU_API_PORT")  # at another stack, perhaps
        self._environ = {key: value for key, value in caller.environ.items() if key not in pointing}
        self._env_file = caller.environ.get("DEVSTACK_ENV_FILE", "")
        self._shared: Sequence[str] = caller.given.get("config", ())
        self._folder = folder
        self._random_ports = random_ports
        self._processes: dict[str, asyncio.subprocess.Process] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._stop = asyncio.Event()
        self._failed = ""

    async def run(self, members: Sequence[Member]) -> int:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._ask)
        stopped = loop.create_task(self._stop.wait())
        started = loop.create_task(self._start_all(members))
        try:
            await asyncio.wait((stopped, started), return_when=asyncio.FIRST_COMPLETED)
            if started.done():
                started.result()
                await stopped
        finally:
            for task in (stopped, started):
                task.cancel()
            await asyncio.gather(stopped, started, return_exceptions=True)
            await self._end_all()
        if self._failed:
            raise StartFailed(self._failed, hint="its last lines above say why")
        return exits.OK

    async def _start_all(self, members: Sequence[Member]) -> None:
        first, *others = members
        fixed = not self._random_ports
        api, nats = await self._start(first, "", 0, first_fixed=fixed)
        await asyncio.gather(
            *(self._start(member, nats, index, first_fixed=False) for index, member in enumerate(others, 1))
        )
        host, _, port = api.rpartition(":")
        roles = (sum(m.orchestrator for m in members), sum(m.compute for m in members))
        counts = "orchestrators: {}, compute nodes: {}".format(*roles)
        notices.say(f"Devstack is ready ({counts}). Ctrl-C ends it. Data: {self._folder}")
        exports = (
            f"export BACALHAU_API_HOST={host}\nexport BACALHAU_API_PORT={port}\nexport NATS_URL={nats}\n"
        )
        if self._env_file:
            try:
                Path(self._env_file).write_text(exports)  # noqa: ASYNC240 - a few bytes
            except OSError as error:
                notices.warn(f"DEVSTACK_ENV_FILE: {self._env_file} cannot be written: {error.strerror}")
        render.raw(exports)

    async def _start(self, member: Member, nats: str, index: int, *, first_fixed: bool) -> tuple[str, str]:
        """Start a node and wait until it is ready; give its API and NATS addresses."""
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "bacalhau_cli",
            *arguments(member, self._folder, self._shared, nats, first_fixed=first_fixed),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=self._environ,
            # Ctrl-C is for this process alone, which then ends them in order.
            start_new_session=True,
        )
        self._processes[member.name] = process
        prefix = _prefix(member.name, index)
        self._keep(_copy(process.stderr, prefix))
        ready: asyncio.Future[tuple[str, str]] = asyncio.get_running_loop().create_future()
        self._keep(_watch_ready(process.stdout, prefix, ready))
        self._keep(self._watch_end(member, process, ready))
        try:
            async with asyncio.timeout(_READY_SECONDS):
                return await ready
        except TimeoutError:
            raise StartFailed(f"{member.name} is not ready after {_READY_SECONDS} s") from None

    async def _watch_end(
        self, member: Member, process: asyncio.subprocess.Process, ready: asyncio.Future[tuple[str, str]]
    ) -> None:
        code = await process.wait()
        if self._stop.is_set():
            return
        if not ready.done():
            ready.set_exception(
                StartFailed(
                    f"{member.name} ended with code {code} before it was ready", hint="see its lines above"
                )
            )
        elif member.name == next(iter(self._processes)):
            self._failed = f"{member.name}, which holds the NATS server, ended with code {code}"
            self._stop.set()
        else:
            notices.warn(f"{member.name} ended with code {code}; the others go on")

    def _ask(self) -> None:
        if self._stop.is_set():
            for process in self._processes.values():
                if process.returncode is None:
                    process.kill()
        self._stop.set()

    async def _end_all(self) -> None:
        self._stop.set()
        for process in self._processes.values():
            if process.stdin:
                process.stdin.close()
        waiting = [asyncio.create_task(process.wait()) for process in self._processes.values()]
        if waiting:
            _, late = await asyncio.wait(waiting, timeout=_STOP_SECONDS)
            for process in self._processes.values() if late else ():
                if process.returncode is None:
                    process.kill()
            await asyncio.gather(*waiting)
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _keep(self, work: object) -> None:
        task = asyncio.ensure_future(work)  # type: ignore[call-overload]  # always a coroutine of ours
        self._tasks.add(task)


def _prefix(name: str, index: int) -> str:
    text = f"{name:<15} | "
    coloured = notices.colourful(tty=sys.stderr.isatty())
    return f"\x1b[{_COLOURS[index % len(_COLOURS)]}m{text}\x1b[0m" if coloured else text


async def _copy(stream: asyncio.StreamReader | None, prefix: str) -> None:
    while stream is not None and (line := await _line(stream)):
        notices.say(prefix + line.rstrip("\n"))


async def _watch_ready(
    stream: asyncio.StreamReader | None, prefix: str, ready: asyncio.Future[tuple[str, str]]
) -> None:
    while stream is not None and (line := await _line(stream)):
        notices.say(prefix + line.rstrip("\n"))
        found = _READY.match(line.rstrip("\n"))
        if found and not ready.done():
            ready.set_result((found["api"], found["nats"]))


async def _line(stream: asyncio.StreamReader) -> str:
    """Read a line; of one longer than the buffer, a piece."""
    try:
        return (await stream.readuntil()).decode("utf-8", "replace")
    except asyncio.IncompleteReadError as end:
        return end.partial.decode("utf-8", "replace")
    except asyncio.LimitOverrunError as long:
        return (await stream.readexactly(long.consumed)).decode("utf-8", "replace")
