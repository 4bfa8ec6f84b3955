"""The processes of the demo: a NATS server, two orchestrators (one with the gateway), three compute nodes.

Each is a process of its own with its own folder. A node stops when its stdin ends, so none outlives this
program, however that ends; the NATS server is tied to us by the kernel.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
import sys
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

from bacalhau_nats.client import Client
from bacalhau_nats.messaging.server import EmbeddedServer

CELL = "demo"
LOST_SECONDS = 3
"""Silence after which a node counts as lost; the default is 15 s."""

_READY = re.compile(r"^Ready: node \S+  API (?P<api>\S+)  NATS (?P<nats>\S+)$")
_READY_SECONDS = 30
_STOP_SECONDS = 20


class DemoFailed(Exception):
    """Something did not go as it should; the text says what."""


class Cluster:
    """The running cluster, up while the ``async with`` block runs. ``holds`` is each compute node's data folder."""

    def __init__(self, folder: Path, holds: Mapping[str, Path]) -> None:
        self.computes = tuple(holds)
        self.gateway = "orchestrator-1"
        self.home = folder / "user"  # where commands are run
        self.api_url = ""
        self.nats_url = ""
        self.nats_pid = 0
        self.killed: set[str] = set()
        self._folder = folder
        self._holds = holds
        self._stack = AsyncExitStack()
        self._processes: dict[str, asyncio.subprocess.Process] = {}

    @property
    def pids(self) -> dict[str, int]:
        """The process id of each node, orchestrators first."""
        order = sorted(self._processes, key=lambda name: (name in self.computes, name))
        return {name: self._processes[name].pid for name in order}

    async def __aenter__(self) -> Self:
        try:
            server = await self._stack.enter_async_context(
                EmbeddedServer(self._folder / "nats-server", port=-1)
            )
            self.nats_url, self.nats_pid = server.url, server.pid
            bus = f"Orchestrator.URLs={server.url}"
            window = f"Orchestrator.NodeManager.DisconnectTimeout={LOST_SECONDS}s"
            role = ("--orchestrator", "-c", bus, "-c", window)
            self.api_url = await self._start(self.gateway, *role)
            await self._start("orchestrator-2", *role, "-c", "Orchestrator.Gateway=false")
            async with asyncio.TaskGroup() as group:
                for name in self.computes:
                    group.create_task(self._start_compute(name))
        except BaseException:
            await self._end()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._end()
        bad = [
            f"{n} ({p.returncode})"
            for n, p in self._processes.items()
            if p.returncode and n not in self.killed
        ]
        if bad and error is None:
            raise DemoFailed(f"ended with another exit code than 0: {', '.join(bad)}")

    async def wait_connected(self, client: Client, within: float = 20) -> None:
        """Wait until the gateway sees every node. Raises DemoFailed."""
        wanted, seen = set(self._processes), set[str]()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within):
                while not wanted <= seen:
                    seen = {n["Info"]["NodeID"] for n in await client.nodes(status="connected")}
                    await asyncio.sleep(0.05)
        if missing := wanted - seen:
            raise DemoFailed(f"not connected after {within:g} s: {', '.join(sorted(missing))}")

    async def wait_engine(self, client: Client, kind: str, within: float = 20) -> bool:
        """Wait until every compute node has found the engine; False when one does not."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within):
                while True:
                    nodes = {n["Info"]["NodeID"]: n["Info"]["ComputeNodeInfo"] for n in await client.nodes()}
                    if all(kind in (nodes[name]["ExecutionEngines"] or ()) for name in self.computes):
                        return True
                    await asyncio.sleep(0.05)
        return False

    async def kill(self, name: str) -> None:
        """End a node as a power cut would (SIGKILL)."""
        self.killed.add(name)
        self._processes[name].kill()
        await self._processes[name].wait()

    async def run(self, *words: str) -> str:
        """Run a ``bacalhau`` command against the gateway and give its stdout. Raises DemoFailed when it fails."""
        process = await self._bacalhau(words, self.home.name, stdout=asyncio.subprocess.PIPE)
        try:
            out, said = await process.communicate()
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        if process.returncode:
            raise DemoFailed(
                f"bacalhau {' '.join(words[:2])} failed: {said.decode(errors='replace').strip()}"
            )
        return out.decode(errors="replace")

    async def follow(self, *words: str) -> asyncio.subprocess.Process:
        """Start a ``bacalhau`` command whose stdout is read while it runs."""
        return await self._bacalhau(
            words, self.home.name, stdout=asyncio.subprocess.PIPE, stdin=asyncio.subprocess.DEVNULL
        )

    async def _start_compute(self, name: str) -> None:
        # The node lends its own folder and no other; `data=flights` is what the job's constraint asks for.
        settings = (
            f"Compute.Orchestrators={self.nats_url}",
            f"Compute.AllowListedLocalPaths={self._holds[name]}/**",
            "Compute.Heartbeat.Interval=1s",
            "Publishers.Types.Local.Port=0",
            "Labels=data=flights",
        )
        await self._start(name, "--compute", *(word for s in settings for word in ("-c", s)))

    async def _start(self, name: str, *words: str) -> str:
        """Start a node and wait until it is ready; give the address of its API."""
        own = ("--until-eof", "--name", name, "-c", f"Cell={CELL}", "-c", "API.Port=0")
        (self._folder / name).mkdir(exist_ok=True)
        log = self._folder / name / "log"
        process = await self._bacalhau(("serve", *own, *words), name, stdout=asyncio.subprocess.PIPE, log=log)
        self._processes[name] = process
        assert process.stdout is not None  # noqa: S101 - opened as a pipe
        ready = None
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_READY_SECONDS):
                ready = _READY.match((await process.stdout.readline()).decode().rstrip("\n"))
        if ready is None:
            last = "\n".join(log.read_text(errors="replace").splitlines()[-8:])
            raise DemoFailed(f"{name} did not start:\n{last}")
        return ready["api"]

    async def _bacalhau(
        self,
        words: Sequence[str],
        who: str,
        *,
        stdout: int,
        stdin: int = asyncio.subprocess.PIPE,
        log: Path | None = None,
    ) -> asyncio.subprocess.Process:
        home = self._folder / who
        home.mkdir(exist_ok=True)
        environ = {k: v for k, v in os.environ.items() if not k.startswith(("BACALHAU_", "LOG_LEVEL"))}  # noqa: TID251 - handed on
        environ["BACALHAU_DIR"] = str(home / "state")
        if self.api_url:
            host, _, port = self.api_url.rpartition(":")
            environ |= {"BACALHAU_API_HOST": host, "BACALHAU_API_PORT": port}
        with (log or Path(os.devnull)).open("ab") as stderr:
            return await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "bacalhau_cli", *words),
                stdin=stdin,
                stdout=stdout,
                stderr=stderr if log else asyncio.subprocess.PIPE,
                cwd=home,  # what /proc/self/cwd means for this node
                env=environ,
                start_new_session=True,  # Ctrl-C is for us, who then end them in order
            )

    async def _end(self) -> None:
        """End the computes while there is somebody to tell, then the orchestrators, then the NATS server."""
        for group in (self.computes, tuple(self._processes)):
            living = [p for n, p in self._processes.items() if n in group and p.returncode is None]
            for process in living:
                assert process.stdin is not None  # noqa: S101 - opened as a pipe
                process.stdin.close()
            if living:
                _, late = await asyncio.wait(
                    [asyncio.create_task(p.wait()) for p in living], timeout=_STOP_SECONDS
                )
                for process in living if late else ():
                    with contextlib.suppress(ProcessLookupError):
                        process.kill()
                await asyncio.gather(*(p.wait() for p in living))
        await self._stack.aclose()


def living_in(folder: Path) -> list[int]:
    """List the processes that run in ``folder``: the nodes and whatever they started."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            with contextlib.suppress(OSError):
                if (entry / "cwd").readlink().is_relative_to(folder):
                    found.append(int(entry.name))
    return found


def end_all(pids: Sequence[int]) -> None:
    """End processes at once."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
