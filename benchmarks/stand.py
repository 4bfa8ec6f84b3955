"""Nodes as processes, the way users start them: `bacalhau serve`, on random ports, in a temporary folder.

A node stops when its stdin ends, so none outlives this program, however it ends.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import sys
import tempfile
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from benchmarks import machine

ROOT = Path(__file__).resolve().parent.parent
CELL = "main"

_READY = re.compile(r"^Ready: node (?P<id>\S+)  API (?P<api>\S+)  NATS (?P<nats>\S+)$")
_READY_SECONDS = 60.0
_STOP_SECONDS = 20.0


class BenchmarkFailed(Exception):
    """A node or a load generator did not do what the figure needs; says which, and its last lines."""


@dataclass(slots=True)
class Node:
    """One running `bacalhau serve`."""

    name: str
    process: Process
    folder: Path
    nats: str = ""
    api_port: int = 0
    ready_after: float = 0.0  # seconds from its start

    @property
    def pid(self) -> int:
        """Its process id."""
        return self.process.pid

    @property
    def server_pid(self) -> int:
        """The process id of the nats-server it brought along; 0 when it has none."""
        return machine.child(self.pid, "nats-server")

    @property
    def nats_port(self) -> int:
        """The port of that server."""
        return int(self.nats.rpartition(":")[2])

    @property
    def log(self) -> str:
        """What it wrote to stderr so far."""
        return (self.folder / "stderr").read_text(errors="replace")

    def kill(self) -> None:
        """End it as a power cut would."""
        with suppress(ProcessLookupError):
            self.process.kill()

    async def stop(self) -> None:
        """Ask it to stop; kill it when it does not."""
        if self.process.stdin is not None:
            self.process.stdin.close()
        try:
            async with asyncio.timeout(_STOP_SECONDS):
                await self.process.wait()
        except TimeoutError:
            self.kill()
            await self.process.wait()


@dataclass(slots=True)
class Stand:
    """All processes of one figure; leaving the context ends them and removes their data."""

    folder: Path = field(default_factory=lambda: Path(tempfile.mkdtemp(prefix="bacalhau-bench-")))
    _nodes: list[Node] = field(default_factory=list)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            await asyncio.shield(self._end())
        finally:
            shutil.rmtree(self.folder, ignore_errors=True)

    async def _end(self) -> None:
        # The orchestrator holds the NATS server: it leaves last, so that the others can say good-bye.
        for node in reversed(self._nodes):
            await node.stop()

    async def hybrid(self, **settings: str) -> Node:
        """Start one process with both roles."""
        return await self.serve("hybrid", ("--orchestrator", "--compute"), settings=settings)

    async def orchestrator(self, *, api_port: int = 0, nats_port: int = 0, **settings: str) -> Node:
        """Start requester, gateway and NATS server."""
        ports = {"API.Port": str(api_port), "Orchestrator.Port": str(nats_port)}
        return await self.serve("orchestrator", ("--orchestrator",), settings=ports | settings)

    async def compute(self, name: str, orchestrator: Node) -> Node:
        """Start a compute node that joins ``orchestrator``."""
        return await self.serve(name, ("--compute",), settings={"Compute.Orchestrators": orchestrator.nats})

    async def serve(
        self,
        name: str,
        roles: Sequence[str],
        *,
        settings: Mapping[str, str] | None = None,
        python: Sequence[str] = (),
    ) -> Node:
        """Start a node and wait until it is ready. ``python`` goes before ``-m bacalhau_cli``."""
        folder = self.folder / name
        wanted = {"API.Port": "0", "Publishers.Types.Local.Port": "0", "Orchestrator.Port": "0"}
        given = [
            part
            for key, value in (wanted | dict(settings or {})).items()
            for part in ("-c", f"{key}={value}")
        ]
        command = [
            *python,
            "-m",
            "bacalhau_cli",
            "serve",
            "--until-eof",
            "--name",
            name,
            "--data-dir",
            str(folder),
        ]
        begin = asyncio.get_running_loop().time()
        process = await start_python([*command, *roles, *given], folder)
        node = Node(name, process, folder)
        self._nodes.append(node)
        found = await _await_line(process, _READY, f"node {name}", folder)
        node.ready_after = asyncio.get_running_loop().time() - begin
        node.nats = found["nats"]
        node.api_port = int(found["api"].rpartition(":")[2]) if found["api"] != "-" else 0
        return node

    async def helper(self, module: str, request: Mapping[str, Any], ready: str) -> Node:
        """Start a long-lived helper process of ours and wait for its line ``ready``."""
        folder = self.folder / f"{module}-{len(self._nodes)}"
        process = await start_python(["-m", f"benchmarks.{module}", json.dumps(request)], folder)
        node = Node(module, process, folder)
        self._nodes.append(node)
        await _await_line(process, re.compile(f"^{re.escape(ready)}$"), module, folder)
        return node


async def start_python(arguments: Sequence[str], folder: Path) -> Process:
    """Start this interpreter with a stdin that ends with us; stderr goes to a file in ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)  # noqa: ASYNC240 - nothing else runs in this loop yet
    # Nothing of the caller's own configuration may take part in a figure.
    environ = {key: value for key, value in os.environ.items() if not key.startswith("BACALHAU_")}  # noqa: TID251 - handed on
    with (folder / "stderr").open("ab") as errors:
        return await asyncio.create_subprocess_exec(
            sys.executable, *arguments,
            stdin=PIPE, stdout=PIPE, stderr=errors, env=environ, cwd=ROOT, start_new_session=True,
        )  # fmt: skip


async def _await_line(process: Process, wanted: re.Pattern[str], what: str, folder: Path) -> re.Match[str]:
    assert process.stdout is not None
    try:
        async with asyncio.timeout(_READY_SECONDS):
            while line := (await process.stdout.readline()).decode():
                if found := wanted.match(line.rstrip("\n")):
                    return found
    except TimeoutError:
        pass
    raise BenchmarkFailed(f"{what} is not ready\n{_end_of(folder)}")


def _end_of(folder: Path) -> str:
    return "\n".join((folder / "stderr").read_text(errors="replace").splitlines()[-10:])


async def run_load(request: Mapping[str, Any], *, within: float, module: str = "load") -> dict[str, Any]:
    """Run the load generator in a process of its own; give its answer. Raises BenchmarkFailed."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", f"benchmarks.{module}", json.dumps(request),
        stdin=DEVNULL, stdout=PIPE, stderr=PIPE, cwd=ROOT,
    )  # fmt: skip
    try:
        async with asyncio.timeout(within):
            output, errors = await process.communicate()
    except TimeoutError:
        raise BenchmarkFailed(f"the load generator was not done within {within:g} s: {request}") from None
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode:
        raise BenchmarkFailed(f"the load generator failed:\n{errors.decode()[-2000:]}")
    answer: dict[str, Any] = json.loads(output)
    return answer
