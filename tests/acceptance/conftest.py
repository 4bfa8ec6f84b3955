"""One cluster for all tests of this folder, and a small node of its own for those about waiting and room.

The cluster: an orchestrator ``alpha`` with the NATS server and a gateway, a second gateway ``beta`` that joins it, and
two computes, ``node-1`` and ``node-2``. All of it from the wheel, each a process with its own data folder.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.acceptance.program import Caller, Node, all_gone, descendants, install, settings


@pytest.hookimpl(tryfirst=True)  # before pytest-xdist reads the groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    # They share their clusters, so one worker of pytest-xdist takes them all.
    for item in items:
        if "acceptance" in item.path.parts:
            item.add_marker(pytest.mark.xdist_group("acceptance"))


@pytest.fixture(scope="session")
def command(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return install(tmp_path_factory.mktemp("wheel"))


@dataclass(frozen=True)
class Cluster:
    folder: Path
    data: Path
    """A folder all computes may lend to jobs."""
    alpha: Node
    beta: Node
    computes: tuple[Node, Node]
    command: Path

    def caller(self, home: Path, *, beta: bool = False) -> Caller:
        return Caller(self.command, home, (self.beta if beta else self.alpha).api)


@pytest.fixture(scope="session")
def cluster(command: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    folder = tmp_path_factory.mktemp("cluster")
    data = folder / "data"
    data.mkdir()
    with ExitStack() as stack:

        def node(name: str, *args: str) -> Node:
            started = Node(command, folder / name, "--name", name, *args).start()
            stack.callback(started.stop)
            return started

        alpha = node("alpha", "--orchestrator", *settings(Orchestrator__Port=0)).ready()
        beta = node("beta", "--orchestrator", *settings(Orchestrator__URLs=alpha.nats))
        allow = f"{data}/**:rw"
        join = settings(Compute__Orchestrators=alpha.nats, Compute__AllowListedLocalPaths=allow)
        computes = [node(f"node-{n}", "--compute", *join, "-c", f"Labels=rack=r{n}") for n in (1, 2)]
        for late in (beta, *computes):
            late.ready()
        yield Cluster(folder, data, alpha, beta, (computes[0], computes[1]), command)


@pytest.fixture
def bacalhau(cluster: Cluster, tmp_path: Path) -> Caller:
    """The command line, talking to the cluster's first gateway."""
    return cluster.caller(tmp_path)


@pytest.fixture(scope="session")
def lonely(command: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    """One process that is everything, with room for one core and no more."""
    folder = tmp_path_factory.mktemp("lonely")
    flags = settings(Orchestrator__Port=0, Compute__AllocatedCapacity__CPU=1)
    node = Node(command, folder / "lonely", "--name", "lonely", "--orchestrator", "--compute", *flags)
    yield node.start().ready()
    node.stop()


@pytest.fixture
def alone(lonely: Node, command: Path, tmp_path: Path) -> Caller:
    """The command line, talking to the lonely node."""
    return Caller(command, tmp_path, lonely.api)


@pytest.fixture
async def nothing_left(lonely: Node):
    """Whatever a test starts on the lonely node has ended with it: no guest, no helper, no container."""
    assert lonely.process
    before = descendants(lonely.process.pid)
    yield
    await all_gone(descendants(lonely.process.pid) - before)
