"""Nodes for tests: in this event loop, or as processes that a test may kill."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from bacalhau_nats import node
from bacalhau_nats.node import Started
from bacalhau_nats.settings import Settings

_READY = re.compile(r"Ready: node (\S+)  API (\S+)  NATS (\S+)")


def settings_of(folder: Path, server: str, *more: str) -> list[str]:
    """Give the ``-c`` options of a node on a server: free ports, and short windows; ``more`` may say otherwise."""
    given = {
        "API.Port": "0",
        "Orchestrator.URLs": server,
        "Compute.Orchestrators": server,
        "Orchestrator.NodeManager.DisconnectTimeout": "3s",
        "Compute.Heartbeat.Interval": "500ms",
        "Engines.Disabled": "docker",
        "Publishers.Disabled": "local",
        "DataDir": str(folder),
    } | dict(option.split("=", 1) for option in more)
    return [f"{key}={value}" for key, value in given.items()]


class LoopNode:
    """A node in the event loop of the test."""

    def __init__(
        self, name: str, folder: Path, server: str, *roles: str, settings: Sequence[str] = ()
    ) -> None:
        self.name, self.roles = name, roles
        self._settings = Settings.load(overrides=settings_of(folder / name, server, *settings))
        self._stop = asyncio.Event()
        self._started: asyncio.Future[Started] = asyncio.get_running_loop().create_future()
        self.task: asyncio.Task[None] | None = None

    async def start(self) -> Self:
        """Start it and wait until it is ready. Raises what `node.run` raises."""
        self.task = asyncio.create_task(
            node.run(
                self._settings,
                orchestrator="orchestrator" in self.roles,
                compute="compute" in self.roles,
                name=self.name,
                stop=self._stop,
                ready=self._started.set_result,
            ),
            name=self.name,
        )
        either: set[asyncio.Future[Any]] = {self.task, self._started}
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        if not self._started.done():
            self._started.cancel()
            await self.task
        return self

    @property
    def url(self) -> str:
        """Where its API is."""
        return self._started.result().api_url

    async def stop(self) -> None:
        """Stop it in order; raises what ended it before."""
        self._stop.set()
        if self.task is not None:
            await self.task


class NodeProcess:
    """A node in a process of its own; it ends with the process that started it, whatever happens.

    Its log is kept beside its data folder, also over restarts.
    """

    def __init__(
        self,
        name: str,
        folder: Path,
        server: str,
        *roles: str,
        settings: Sequence[str] = (),
        env: Mapping[str, str] | None = None,
    ) -> None:
        self.name, self.data_dir, self.log = name, folder / name, folder / f"{name}.log"
        self.program = "bacalhau_cli"
        self._arguments = ["serve", "--until-eof", "--name", name, *(f"--{role}" for role in roles)]
        for option in settings_of(self.data_dir, server, *settings):
            self._arguments += ["-c", option]
        inherited = {k: v for k, v in os.environ.items() if not k.startswith("BACALHAU_")}  # noqa: TID251 - to start a child with
        self._env = {**inherited, "HOME": str(folder), **(env or {})}
        self._process: asyncio.subprocess.Process | None = None
        self.url = ""

    @property
    def pid(self) -> int:
        """Its process id."""
        assert self._process is not None
        return self._process.pid

    @property
    def running(self) -> bool:
        """Say whether the process is there."""
        return self._process is not None and self._process.returncode is None

    async def start(self, within: float = 30.0) -> Self:
        """Start it and wait until it is ready; fails with the end of its log."""
        await self.launch()
        assert self._process is not None
        assert self._process.stdout is not None
        async with asyncio.timeout(within):
            line = (await self._process.stdout.readline()).decode()
        ready = _READY.match(line)
        if ready is None:
            raise AssertionError(f"{self.name} did not start: {line}{self.tail()}")
        self.url = ready.group(2)
        return self

    async def launch(self) -> None:
        """Start the process and do not wait."""
        with self.log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                self.program,
                *self._arguments,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
                env=self._env,
            )

    async def kill(self) -> None:
        """End it as a power cut would."""
        if self.running:
            self.signal(signal.SIGKILL)
            await self.wait()

    async def end(self, within: float = 20.0) -> int:
        """Ask it to stop; give its exit code."""
        self.signal(signal.SIGTERM)
        return await self.wait(within)

    async def wait(self, within: float = 20.0) -> int:
        """Wait for its end; give its exit code."""
        assert self._process is not None
        async with asyncio.timeout(within):
            return await self._process.wait()

    def signal(self, number: int) -> None:
        """Send it a signal."""
        os.kill(self.pid, number)

    def tail(self, lines: int = 12) -> str:
        """Give the end of its log."""
        return (
            "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:]) if self.log.exists() else ""
        )

    async def __aenter__(self) -> Self:
        return await self.start()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.kill()
