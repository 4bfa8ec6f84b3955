"""A compute node is killed while its container runs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import uuid4

import docker
import docker.errors
import pytest

from tests.support.marks import marking_container, read_marks, started_twice
from tests.support.nodes import NodeProcess
from tests.support.waiting import eventually

from .conftest import Site, all_end, states

pytestmark = pytest.mark.docker


class Engine:
    """The engine seen past our own code, for one cell."""

    def __init__(self) -> None:
        self.cell = f"roles-{uuid4().hex[:8]}"
        self.options = [f"Cell={self.cell}", "Engines.Disabled="]
        try:
            self._api = docker.APIClient(version="auto")
        except docker.errors.DockerException as error:
            pytest.fail(f"no Docker engine: run .ci/docker.sh, or deselect with -m 'not docker' ({error})")

    def containers(self) -> list[str]:
        """List the containers of the cell, running or not."""
        found = self._api.containers(all=True, filters={"label": f"bacalhau.cell={self.cell}"})
        return [container["Id"] for container in found]

    async def empty(self) -> bool:
        """Say whether the engine has nothing of the cell."""
        return not await asyncio.to_thread(self.containers)

    def close(self) -> None:
        for container in self.containers():
            self._api.remove_container(container, force=True, v=True)
        self._api.close()


@pytest.fixture
async def engine() -> AsyncIterator[Engine]:
    engine = Engine()
    yield engine
    await asyncio.to_thread(engine.close)


@pytest.mark.slow
async def test_a_node_that_comes_back_goes_on_with_its_container_and_loses_no_output(
    site: Site, engine: Engine
) -> None:
    client = await site.client(await site.node("o1", "orchestrator", settings=[f"Cell={engine.cell}"]))
    node = await site.process("c1", "compute", settings=engine.options)
    job = (await client.submit(marking_container(site.marks, 5, lines=50, node_name=True))).job_id
    await eventually(lambda: site.started() == 1, within=10)

    await node.kill()
    (container,) = engine.containers()
    await node.start()
    assert engine.containers() == [container]
    assert await all_end(client, [job], within=15) == {"Completed"}

    assert await states(client, job) == [("c1", "Completed")]
    assert list(read_marks(site.marks).values()) == [["c1"]]
    printed = "".join([line.text async for line in client.logs(job)])
    assert printed == "".join(f"line {n}\n" for n in range(50)) + "done\n"
    await eventually(engine.empty)


async def test_a_container_that_ended_while_its_node_was_away_is_reported_when_it_is_back(
    site: Site, engine: Engine
) -> None:
    patient = [f"Cell={engine.cell}", "Orchestrator.NodeManager.DisconnectTimeout=15s"]
    client = await site.client(await site.node("o1", "orchestrator", settings=patient))
    node = await site.process("c1", "compute", settings=[*engine.options, *patient])
    job = (await client.submit(marking_container(site.marks, 1, lines=10, node_name=True))).job_id
    await eventually(lambda: site.started() == 1, within=10)

    await node.kill()
    (container,) = engine.containers()
    await eventually(lambda: engine._api.inspect_container(container)["State"]["Status"] == "exited")
    await node.start()

    assert await all_end(client, [job], within=10) == {"Completed"}
    assert list(read_marks(site.marks).values()) == [["c1"]]
    printed = "".join([line.text async for line in client.logs(job)])
    assert printed == "".join(f"line {n}\n" for n in range(10)) + "done\n"
    await eventually(engine.empty)


async def test_the_container_of_a_node_that_never_comes_back_is_removed_within_the_window(
    site: Site, engine: Engine
) -> None:
    client = await site.client(await site.node("o1", "orchestrator", settings=[f"Cell={engine.cell}"]))
    node = await site.process("c1", "compute", settings=engine.options)
    await client.submit(marking_container(site.marks, 60))
    await eventually(lambda: site.started() == 1, within=10)

    await node.kill()
    assert len(engine.containers()) == 1
    await eventually(engine.empty, within=3 + 4)
    await eventually(lambda: not _processes(node))


@pytest.mark.slow
async def test_a_container_given_to_another_node_is_removed_when_its_own_is_back(
    site: Site, engine: Engine
) -> None:
    """The reaper is killed too: what is left then is the node's own to clean up when it starts."""
    client = await site.client(await site.node("o1", "orchestrator", settings=[f"Cell={engine.cell}"]))
    node = await site.process("c1", "compute", settings=engine.options)
    job = (await client.submit(marking_container(site.marks, 60, node_name=True))).job_id
    await eventually(lambda: site.started() == 1, within=10)
    for pid in _processes(node):
        if pid != node.pid:
            await asyncio.create_subprocess_exec("kill", "-9", str(pid))
    await node.kill()
    await site.process("c2", "compute", settings=engine.options)
    await eventually(lambda: site.started() == 2, within=10)

    await node.start()
    await eventually(lambda: len(engine.containers()) == 1, within=5)
    await client.stop(job)
    await all_end(client, [job], within=5)
    await eventually(engine.empty)
    assert started_twice(site.marks) == {}
    assert [node for node, _ in await states(client, job)] == ["c1", "c2"]


def _processes(node: NodeProcess) -> list[int]:
    """Find the processes of a node by its data folder in their command line: itself and its reaper."""
    found = []
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = file.read_bytes().decode(errors="replace")
        except OSError:
            continue
        if str(node.data_dir) in line:
            found.append(int(file.parent.name))
    return found
