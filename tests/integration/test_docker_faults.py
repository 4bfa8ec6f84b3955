"""Engine `docker` when something goes wrong: cancelled runs, restarts of the node, engines that hang or go away."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from pathlib import Path

import pytest

from bacalhau_nats.domain.execution import Reason
from bacalhau_nats.ports import Stream, Volume, WorkFailed
from tests.support.docker import Bench, Sink, docker_work
from tests.support.waiting import eventually

pytestmark = pytest.mark.docker

ENGINE_SOCKET = Path("/var/run/docker.sock")


@pytest.fixture
def bench(tmp_path):
    bench = Bench(tmp_path)
    yield bench
    bench.close()


class Proxy:
    """A socket that leads to the engine until it is told to freeze or to break."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._open = asyncio.Event()
        self._open.set()
        self._pipes: set[asyncio.Task[None]] = set()
        self._writers: set[asyncio.StreamWriter] = set()

    @property
    def host(self) -> str:
        return f"unix://{self.path}"

    async def __aenter__(self):
        self._server = await asyncio.start_unix_server(self._serve, self.path)
        return self

    async def __aexit__(self, *exc):
        await self.break_()

    def freeze(self) -> None:
        self._open.clear()

    async def break_(self) -> None:
        self._server.close()
        self.path.unlink(missing_ok=True)
        for writer in self._writers:
            writer.transport.abort()
        for pipe in self._pipes:
            pipe.cancel()
        await asyncio.gather(*self._pipes, return_exceptions=True)

    async def _serve(self, reader, writer) -> None:
        engine_reader, engine_writer = await asyncio.open_unix_connection(ENGINE_SOCKET)
        self._writers |= {writer, engine_writer}
        for one, other in ((reader, engine_writer), (engine_reader, writer)):
            pipe = asyncio.create_task(self._pump(one, other))
            self._pipes.add(pipe)
            pipe.add_done_callback(self._pipes.discard)

    async def _pump(self, reader, writer) -> None:
        with suppress(OSError):
            while data := await reader.read(65536):
                await self._open.wait()
                writer.write(data)
                await writer.drain()
        writer.close()


# --- cancelling -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("delay", [0, 0.001, 0.003, 0.006, 0.01, 0.02, 0.04, 0.06, 0.08, 0.12])
async def test_a_run_cancelled_at_any_moment_leaves_nothing(bench, delay):
    async with bench.open() as executor:
        running = asyncio.create_task(executor.run(docker_work("sleep", "60"), Sink()))
        await asyncio.sleep(delay)
        began = time.monotonic()
        running.cancel()
        await asyncio.wait({running}, timeout=5)
        assert running.cancelled()
        assert time.monotonic() - began < 2
        assert not bench.containers()


async def test_a_program_may_end_in_order_when_it_is_stopped(bench, tmp_path):
    out = tmp_path / "out"
    out.mkdir()

    script = "trap 'echo bye > /out/said; exit 0' TERM; echo up; while :; do sleep 0.05; done"
    work = docker_work("sh", "-c", script, outputs=(Volume(out, "/out", read_only=False),))
    logs = Sink()
    async with bench.open() as executor:
        running = asyncio.create_task(executor.run(work, logs))
        await logs.first.wait()
        running.cancel()
        await asyncio.wait({running}, timeout=5)
    assert (out / "said").read_text() == "bye\n"


async def test_cancelling_twice_still_removes_the_container(bench):
    logs = Sink()
    async with bench.open() as executor:
        running = asyncio.create_task(executor.run(docker_work("sh", "-c", "echo; sleep 60"), logs))
        await logs.first.wait()
        running.cancel()
        await asyncio.sleep(0.05)
        running.cancel()
        await asyncio.wait({running}, timeout=5)
        assert running.cancelled()
    assert not bench.containers()


async def test_a_sink_that_fails_ends_the_container(bench):
    class Broken(Sink):
        async def write(self, stream, data):
            raise OSError("the log is full")

    async with bench.open() as executor:
        with pytest.raises(OSError, match="the log is full"):
            await executor.run(docker_work("sh", "-c", "while :; do echo; done"), Broken())
        assert not bench.containers()


# --- a node that comes back -------------------------------------------------------------------------------


async def test_a_new_process_goes_on_with_a_running_container_where_the_log_ends(bench):
    work = docker_work("sh", "-c", "echo one; echo err >&2; sleep 0.5; echo two; exit 5")
    name = bench.create(work)
    bench.api.start(name)
    await eventually(lambda: b"one" in bench.api.logs(name) and b"err" in bench.api.logs(name))
    logs = Sink()
    async with bench.open() as executor:
        outcome = await executor.attach(work, logs, seen={Stream.STDOUT: 2, Stream.STDERR: 4})
        assert outcome is not None
        assert outcome.exit_code == 5
        assert (logs.stdout, logs.stderr) == ("e\ntwo\n", "")
        await eventually(bench.gone)


async def test_a_container_that_ended_meanwhile_gives_its_rest_and_its_exit_code(bench):
    work = docker_work("sh", "-c", "printf '\\377\\0no line end'; exit 5")
    name = bench.create(work)
    bench.api.start(name)
    bench.api.wait(name)
    logs = Sink()
    async with bench.open() as executor:
        outcome = await executor.attach(work, logs, seen={})
    assert outcome is not None
    assert outcome.exit_code == 5
    assert logs.out[Stream.STDOUT] == b"\xff\0no line end"


async def test_a_container_that_was_created_only_is_started_now(bench):
    work, logs = docker_work("echo", "hi"), Sink()
    bench.create(work)
    async with bench.open() as executor:
        outcome = await executor.attach(work, logs, seen={})
    assert outcome is not None
    assert (outcome.exit_code, logs.stdout) == (0, "hi\n")


async def test_what_is_not_there_cannot_be_attached(bench):
    async with bench.open() as executor:
        assert await executor.attach(docker_work("true"), Sink(), seen={}) is None


async def test_cancelling_an_attached_run_removes_its_container(bench):
    work, logs = docker_work("sh", "-c", "echo; sleep 60"), Sink()
    bench.api.start(bench.create(work))
    async with bench.open() as executor:
        running = asyncio.create_task(executor.attach(work, logs, seen={}))
        await logs.first.wait()
        began = time.monotonic()
        running.cancel()
        await asyncio.wait({running}, timeout=5)
        assert running.cancelled()
        assert time.monotonic() - began < 2
        assert not bench.containers()


async def test_a_sweep_removes_what_nobody_wants(bench):
    wanted, left, running = docker_work("true"), docker_work("true"), docker_work("sleep", "60")
    kept, _, started = [bench.create(work) for work in (wanted, left, running)]
    bench.api.start(started)
    async with bench.open() as executor:
        assert await executor.sweep([wanted.execution_id]) == 2
        assert [item["Names"] for item in bench.containers()] == [[f"/{kept}"]]
        assert await executor.sweep([]) == 1
        assert await executor.sweep([]) == 0


async def test_a_sweep_spares_what_runs_here(bench):
    logs = Sink()
    async with bench.open() as executor:
        running = asyncio.create_task(executor.run(docker_work("sh", "-c", "echo; sleep 0.3"), logs))
        await logs.first.wait()
        assert await executor.sweep([]) == 0
        assert (await running).exit_code == 0


# --- an engine that comes and goes ------------------------------------------------------------------------


async def test_an_engine_that_is_not_there_is_noticed_and_so_is_its_coming(bench, tmp_path):
    path = tmp_path / "docker.sock"
    async with bench.open(Host=f"unix://{path}") as executor:
        health = await executor.check()
        assert not health.ok
        assert str(path) in health.why
        assert "start it" in health.why
        with pytest.raises(WorkFailed) as caught:
            await executor.run(docker_work("true"), Sink())
        assert (caught.value.failure.reason, caught.value.failure.retryable) == (Reason.ENGINE, True)
        path.symlink_to(ENGINE_SOCKET)

        async def healthy():
            return (await executor.check()).ok

        await eventually(healthy)
        assert (await executor.run(docker_work("true"), Sink())).exit_code == 0


async def test_an_engine_that_hangs_does_not_hang_the_node(bench, tmp_path):
    async with Proxy(tmp_path / "docker.sock") as proxy, bench.open(Host=proxy.host) as executor:
        assert (await executor.check()).ok
        proxy.freeze()

        async def ill():
            began = time.monotonic()
            health = await executor.check()
            assert time.monotonic() - began < 3
            return not health.ok

        await eventually(ill, within=8)
        # With it goes what waits in the threads, or closing would wait for that.
        await proxy.break_()


async def test_an_engine_that_goes_away_fails_the_run_and_may_be_tried_again(bench, tmp_path):
    logs = Sink()
    async with Proxy(tmp_path / "docker.sock") as proxy, bench.open(Host=proxy.host) as executor:
        work = docker_work("sh", "-c", "echo up; sleep 60")
        running = asyncio.create_task(executor.run(work, logs))
        await logs.first.wait()
        await proxy.break_()
        with pytest.raises(WorkFailed) as caught:
            await running
        assert (caught.value.failure.reason, caught.value.failure.retryable) == (Reason.ENGINE, True)
        assert bench.containers()
        proxy.path.symlink_to(ENGINE_SOCKET)  # it is back: the removal is tried again
        await eventually(bench.gone, within=10)
