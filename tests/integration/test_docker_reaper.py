"""The reaper: what becomes of containers when their compute process dies."""

from __future__ import annotations

import asyncio
import fcntl
import os
import signal
import sys
import time
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from bacalhau_nats.executors.docker_reaper import LOCK_NAME, LOG_NAME
from bacalhau_nats.ports import Stream
from tests.support.docker import Bench, Sink, docker_work
from tests.support.waiting import eventually

pytestmark = pytest.mark.docker

WINDOW = 1.0

COMPUTE = """
import asyncio, fcntl, os, sys
from pathlib import Path
from bacalhau_nats.executors.docker import open_docker
from bacalhau_nats.ports import PluginContext
from tests.support.docker import Sink, docker_work

async def main(cell, node, data_dir, window, command):
    held = os.open(Path(data_dir) / "compute.lock", os.O_RDWR | os.O_CREAT)
    fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    context = PluginContext(cell, node, Path(data_dir), {"LostWindow": float(window)})
    async with open_docker(context) as executor:
        logs = Sink()
        running = asyncio.create_task(executor.run(docker_work("sh", "-c", command), logs))
        await logs.first.wait()
        print(executor._reaper._process.pid, flush=True)
        await running

asyncio.run(main(*sys.argv[1:]))
"""


@pytest.fixture
def bench(tmp_path):
    bench = Bench(tmp_path)
    yield bench
    bench.close()


@asynccontextmanager
async def compute(bench, window: float = WINDOW, command: str = "echo; sleep 60"):
    """A process with one running container and a reaper; give it and the reaper's process id."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-c", COMPUTE, bench.cell, bench.node, str(bench.data_dir), str(window), command),
        stdout=asyncio.subprocess.PIPE,
        start_new_session=True,
    )
    reaper = int(await process.stdout.readline())
    try:
        yield process, reaper
    finally:
        for pid in (process.pid, reaper):
            if lives(pid):
                os.kill(pid, signal.SIGKILL)
        await process.wait()


def lives(pid: int) -> bool:
    """Say whether the process is there and more than a zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


async def test_the_containers_of_a_killed_compute_are_removed_after_the_window(bench):
    async with compute(bench) as (process, reaper):
        assert len(bench.containers()) == 1
        process.kill()
        died = time.monotonic()
        await eventually(bench.gone, within=10)
        assert time.monotonic() - died >= WINDOW
        await eventually(lambda: not lives(reaper))
    assert "removed 1 containers" in (bench.data_dir / LOG_NAME).read_text()


async def test_a_reaper_spares_the_containers_of_a_node_of_the_same_name(bench):
    other = Bench(bench.data_dir / "another", bench.node)
    try:
        async with compute(other) as (survivor, _), compute(bench) as (process, reaper):
            process.kill()
            await eventually(bench.gone, within=10)
            await eventually(lambda: not lives(reaper))
            assert [item["State"] for item in other.containers()] == ["running"]
            assert survivor.returncode is None
    finally:
        other.close()


async def test_the_containers_stay_when_a_compute_comes_back_within_the_window(bench):
    async with compute(bench) as (process, reaper):
        process.kill()
        await process.wait()
        held = os.open(bench.data_dir / LOCK_NAME, os.O_RDWR)

        def taken() -> bool:
            try:
                fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:  # the reaper looks at this moment
                return False
            return True

        await eventually(taken)
        await eventually(lambda: not lives(reaper), within=10)
        os.close(held)
        assert len(bench.containers()) == 1


async def test_a_new_compute_takes_over_what_a_killed_one_started(bench):
    command = "i=100; while [ $i -lt 115 ]; do echo $i; i=$((i+1)); sleep 0.1; done; exit 3"
    async with compute(bench, 60, command) as (process, _):
        process.kill()
        await process.wait()
        execution = bench.containers()[0]["Labels"]["bacalhau.execution"]
        logs = Sink()
        async with bench.open() as executor:
            work = replace(docker_work(), execution_id=execution)
            outcome = await executor.attach(work, logs, seen={Stream.STDOUT: 8})
    assert outcome is not None
    assert outcome.exit_code == 3
    assert logs.stdout.split() == [str(number) for number in range(102, 115)]


async def test_what_ends_a_compute_does_not_end_its_reaper(bench):
    async with compute(bench) as (process, reaper):
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            os.kill(reaper, number)
        assert os.getsid(reaper) == reaper
        os.killpg(process.pid, signal.SIGKILL)
        await process.wait()
        assert lives(reaper)
        await eventually(bench.gone, within=10)


async def test_a_compute_that_closes_in_order_sends_its_reaper_home(bench):
    async with bench.open(Reaper=True, LostWindow=60) as executor:
        await executor.run(docker_work("true"), Sink())
        reaper = executor._reaper._process.pid
        assert lives(reaper)
    assert not lives(reaper)


async def test_a_reaper_that_died_is_replaced(bench):
    async with bench.open(Reaper=True) as executor:
        assert (await executor.check()).ok
        first = executor._reaper._process.pid
        os.kill(first, signal.SIGKILL)
        await eventually(lambda: not executor._reaper.running)
        await executor.check()
        assert executor._reaper.running


async def test_a_reaper_is_small_and_does_not_load_the_engines_client(bench):
    async with bench.open(Reaper=True) as executor:
        await executor.check()
        pid = executor._reaper._process.pid
        await eventually(lambda: int(_status(pid, "SigIgn"), 16) & (1 << (signal.SIGTERM - 1)))
        assert int(_status(pid, "VmRSS").split()[0]) < 25_000  # kB


def _status(pid: int, name: str) -> str:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(line.partition(":")[2].strip() for line in lines if line.startswith(f"{name}:"))
