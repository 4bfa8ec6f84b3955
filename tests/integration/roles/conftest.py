"""A server, nodes and clients that end with the test."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from bacalhau_nats.client import Client, Execution, Job
from bacalhau_nats.client.wire import compute_state, job_state
from bacalhau_nats.testing.server import NatsServer
from tests.support.marks import NODE_VARIABLE, mark_settings, read_marks
from tests.support.nodes import LoopNode, NodeProcess


class Site:
    """What a test runs: nodes by name on one server, and a folder for marks."""

    def __init__(self, server: NatsServer, folder: Path, stack: AsyncExitStack) -> None:
        self.server, self.folder, self._stack = server, folder, stack
        self.marks = folder / "marks"
        self._common = mark_settings(self.marks)

    async def node(self, name: str, *roles: str, settings: Sequence[str] = ()) -> LoopNode:
        """Start a node in this loop."""
        made = LoopNode(name, self.folder, self.server.url, *roles, settings=[*self._common, *settings])
        await made.start()
        self._stack.push_async_callback(made.stop)
        return made

    def make(
        self, name: str, *roles: str, settings: Sequence[str] = (), env: Mapping[str, str] | None = None
    ) -> NodeProcess:
        """Make a node that is a process; not started yet."""
        made = NodeProcess(
            name,
            self.folder,
            self.server.url,
            *roles,
            settings=[*self._common, *settings],
            env={NODE_VARIABLE: name, **(env or {})},
        )
        self._stack.push_async_callback(made.kill)
        return made

    async def process(
        self, name: str, *roles: str, settings: Sequence[str] = (), env: Mapping[str, str] | None = None
    ) -> NodeProcess:
        """Start a node as a process."""
        return await self.make(name, *roles, settings=settings, env=env).start()

    async def client(self, node: LoopNode | NodeProcess) -> Client:
        """Open a client of a node's gateway."""
        return await self._stack.enter_async_context(Client(node.url))

    def started(self) -> int:
        """Count the starts that left a mark."""
        return sum(map(len, read_marks(self.marks).values()))


async def submit_all(client: Client, jobs: Sequence[Job]) -> list[str]:
    """Submit side by side; give the ids."""
    gate = asyncio.Semaphore(16)

    async def one(job: Job) -> str:
        async with gate:
            return (await client.submit(job)).job_id

    return list(await asyncio.gather(*map(one, jobs)))


async def all_end(client: Client, ids: Sequence[str], within: float = 30) -> set[str]:
    """Wait until all jobs are over; give the set of their states."""
    gate = asyncio.Semaphore(16)

    async def one(job: str) -> str:
        async with gate:
            return job_state(await client.wait(job, timeout=within))

    return set(await asyncio.gather(*map(one, ids)))


async def states(client: Client, job: str) -> list[tuple[str, str]]:
    """Give node and state of every execution of a job, oldest first."""
    found: list[Execution] = (await client.executions(job, all_versions=True))["Items"]
    return [(e["NodeID"], compute_state(e)) for e in found]


@pytest.fixture
async def server() -> AsyncIterator[NatsServer]:
    async with NatsServer() as running:
        yield running


@pytest.fixture
async def site(server: NatsServer, tmp_path: Path) -> AsyncIterator[Site]:
    async with AsyncExitStack() as stack:
        yield Site(server, tmp_path, stack)
