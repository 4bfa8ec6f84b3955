"""Nodes that cannot start: one clear error in a few seconds, exit code 1, no process left."""

from __future__ import annotations

import asyncio
import os
import re
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from bacalhau_nats.messaging.binary import find_server
from tests.acceptance.program import WASM, Caller, Done, Node, all_gone, descendants, settings
from tests.support.waiting import eventually


@pytest.fixture
def taken() -> Iterator[int]:
    """A port that somebody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


async def refused(command: Path, home: Path, *flags: str, within: float = 20.0) -> tuple[str, Done]:
    """Start a node that must not start; give its one error."""
    before = descendants(os.getpid())
    done = await Caller(command, home)("serve", *flags, within=within)
    await all_gone(descendants(os.getpid()) - before)
    assert done.code == 1, done
    assert done.out == ""
    told = re.findall(r"^Error: (.*)", done.err, re.MULTILINE)
    assert len(told) == 1, done
    assert "Hint: " in done.err, done
    assert "Traceback" not in done.err
    return told[0], done


async def test_an_api_port_in_use_is_named(command: Path, tmp_path: Path, taken: int) -> None:
    flags = settings(API__Port=taken, Orchestrator__Port=0)
    told, done = await refused(command, tmp_path, "--orchestrator", *flags)
    assert str(taken) in told
    assert "API.Port" in done.err


async def test_a_nats_port_in_use_is_named(command: Path, tmp_path: Path, taken: int) -> None:
    told, _ = await refused(command, tmp_path, "--orchestrator", *settings(Orchestrator__Port=taken))
    assert str(taken) in told


async def test_a_node_whose_port_for_results_is_in_use_works_without_them(
    command: Path, tmp_path: Path, taken: int
) -> None:
    port = settings(Orchestrator__Port=0, Publishers__Types__Local__Port=taken)
    node = Node(command, tmp_path / "node", "--name", "bare", "--orchestrator", "--compute", *port)
    try:
        await asyncio.to_thread(node.start().ready)
        bacalhau = Caller(command, tmp_path, node.api)
        done = await bacalhau("wasm", "run", "-p", "local", "-o", "o:/o", WASM / "echo.wasm", within=10)
        assert done.code == 3, done
        assert "local" in done.err
        (said,) = [line for line in node.log.read_text().splitlines() if "publisher local" in line]
        assert str(taken) in said
        assert "Publishers.Types.Local.Port" in said
    finally:
        await asyncio.to_thread(node.stop)


async def test_a_data_folder_that_is_a_file_is_named(command: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    told, done = await refused(command, tmp_path, "--orchestrator", "--data-dir", str(tmp_path / "file"))
    assert str(tmp_path / "file") in told
    assert "--data-dir" in done.err


async def test_a_data_folder_that_cannot_be_written_is_named(command: Path, tmp_path: Path) -> None:
    # Root may write everywhere but here.
    told, _ = await refused(command, tmp_path, "--orchestrator", "--data-dir", "/proc/bacalhau")
    assert "/proc/bacalhau" in told


async def test_a_folder_in_use_by_another_node_is_named(command: Path, tmp_path: Path, cluster) -> None:
    used = cluster.computes[0].data_dir
    flags = settings(Compute__Orchestrators=cluster.alpha.nats)
    told, _ = await refused(command, tmp_path, "--compute", "--data-dir", str(used), *flags)
    assert str(used) in told


async def test_a_compute_without_a_nats_server_names_its_address(command: Path, tmp_path: Path) -> None:
    flags = settings(Compute__Orchestrators="nats://127.0.0.1:1")
    told, _ = await refused(command, tmp_path, "--compute", *flags)
    assert "127.0.0.1:1" in told


async def test_a_wrong_setting_is_named(command: Path, tmp_path: Path) -> None:
    told, _ = await refused(command, tmp_path, "--orchestrator", "-c", "API.Port=many")
    assert "API.Port" in told
    assert "many" in told


async def test_a_node_without_a_docker_engine_runs_all_but_docker(command: Path, tmp_path: Path) -> None:
    """It says so at its start; a docker job fails at once with the reason, a WASM job runs."""
    flags = ("--name", "bare", "--orchestrator", "--compute", *settings(Orchestrator__Port=0))
    node = Node(command, tmp_path / "bare", *flags, DOCKER_HOST="unix:///nonexistent/docker.sock")
    try:
        await asyncio.to_thread(node.start().ready)
        bacalhau = Caller(command, tmp_path, node.api)
        docker, wasm = await asyncio.gather(
            bacalhau("docker", "run", "busybox:1.37", "true", within=15),
            bacalhau("wasm", "run", "--follow", WASM / "echo.wasm", "here"),
        )
        assert wasm.ok().out.endswith("here\n")
        assert docker.code == 3, docker
        assert "docker" in docker.err
        said = [
            line for line in node.log.read_text().splitlines() if "engine docker is not available" in line
        ]
        assert len(said) == 1
        assert "no Docker engine" in said[0]
        assert "start it" in said[0]
    finally:
        await asyncio.to_thread(node.stop)


async def test_one_process_starts_does_work_and_leaves_nothing(command: Path, tmp_path: Path) -> None:
    flags = ("--orchestrator", "--compute", *settings(Orchestrator__Port=0))
    node = Node(command, tmp_path / "one", *flags)
    try:
        await asyncio.to_thread(node.start().ready)
        assert node.process
        bacalhau = Caller(command, tmp_path, node.api)
        job = await bacalhau.submit("wasm", "run", WASM / "sleep.wasm", "600")

        async def runs() -> bool:
            return await bacalhau.state(job) == "Running"

        await eventually(runs, within=10)
        started = descendants(node.process.pid)
        assert started  # the NATS server at least
    finally:
        await asyncio.to_thread(node.stop)
    await all_gone(started)
    assert not (tmp_path / "one" / "bacalhau.run").exists()


async def test_a_server_without_jetstream_is_refused(command: Path, tmp_path: Path) -> None:
    """The test's server without JetStream: the node says what is missing, and the hint how to get it."""
    server = await asyncio.create_subprocess_exec(
        find_server(),
        "-a",
        "127.0.0.1",
        "-p",
        "-1",
        "--ports_file_dir",
        tmp_path,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        ports = await eventually(lambda: list(tmp_path.glob("nats-server_*.ports")))
        found = await eventually(lambda: re.search(r"nats://[0-9.:]+", ports[0].read_text()))
        flags = settings(Orchestrator__URLs=found.group())
        told, done = await refused(command, tmp_path, "--orchestrator", *flags)
        assert "JetStream" in told
        assert "nats-server -js" in done.err
    finally:
        server.terminate()
        await server.wait()
