"""Engine `docker` on a real engine: what goes in, what comes out, how it ends."""

from __future__ import annotations

import asyncio
import dataclasses
import hashlib
import os
import socket
import time
from dataclasses import replace

import pytest

from bacalhau_nats.domain.execution import Reason
from bacalhau_nats.domain.resources import Resources
from bacalhau_nats.domain.spec import NetworkConfig, NetworkType, Port, SpecConfig
from bacalhau_nats.executors import docker_engine
from bacalhau_nats.ports import Stream, Volume, WorkFailed
from tests.support.docker import Bench, Sink, StuckSink, docker_work
from tests.support.waiting import eventually

pytestmark = pytest.mark.docker


@pytest.fixture
def bench(tmp_path):
    bench = Bench(tmp_path)
    yield bench
    bench.close()


async def run(bench, work, logs=None, **settings):
    async with bench.open(**settings) as executor:
        return await executor.run(work, logs or Sink())


# --- output ---------------------------------------------------------------------------------------------


@pytest.mark.slow
async def test_of_200_short_containers_every_line_arrives_once(bench):
    room = asyncio.Semaphore(8)
    sinks = [Sink() for _ in range(200)]
    async with bench.open() as executor:

        async def echo(number: int) -> None:
            async with room:
                await executor.run(docker_work("echo", f"line {number}"), sinks[number])

        async with asyncio.TaskGroup() as group:
            for number in range(len(sinks)):
                group.create_task(echo(number))
    assert [sink.stdout for sink in sinks] == [f"line {number}\n" for number in range(len(sinks))]
    assert not bench.containers()


async def test_stdout_and_stderr_are_told_apart_and_any_bytes_pass(bench, tmp_path):
    data = os.urandom(3_000_000)
    (tmp_path / "data").write_bytes(data)
    logs = Sink()
    work = docker_work("sh", "-c", "cat /data; tac /data >&2", inputs=(Volume(tmp_path / "data", "/data"),))
    await run(bench, work, logs)
    assert hashlib.sha256(logs.out[Stream.STDOUT]).digest() == hashlib.sha256(data).digest()
    assert len(logs.out[Stream.STDERR]) >= len(data)


async def test_a_line_arrives_milliseconds_after_it_was_printed(bench, tmp_path):
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    logs = Sink()
    async with bench.open() as executor:
        work = docker_work("cat", "/fifo", inputs=(Volume(fifo, "/fifo"),))
        running = asyncio.create_task(executor.run(work, logs))
        pipe = await asyncio.to_thread(fifo.open, "wb", 0)
        delays = []
        for number in range(50):
            before = time.perf_counter()
            pipe.write(b"%03d\n" % number)
            await eventually(lambda until=4 * (number + 1): len(logs.out[Stream.STDOUT]) == until)
            delays.append(time.perf_counter() - before)
        pipe.close()
        await running
    # `eventually` looks every 5 ms; a poll of the engine would cost tens of them.
    assert sorted(delays)[25] < 0.02, delays


async def test_a_sink_that_stalls_neither_loses_output_nor_locks_the_engine(bench):
    """Sizes around what pipes and buffers hold: there the engine keeps the lock of a container that has ended."""
    sizes = [1_260_000, 1_300_000, 1_340_000, 1_380_000, 4_000_000]
    sinks = [StuckSink() for _ in sizes]
    async with bench.open() as executor:
        runs = [
            asyncio.create_task(
                executor.run(docker_work("sh", "-c", f"head -c {size} /dev/zero; echo end >&2; exit 3"), sink)
            )
            for size, sink in zip(sizes, sinks, strict=True)
        ]

        async def ended():
            found = await asyncio.to_thread(bench.containers)
            return [item["State"] for item in found] == ["exited"] * len(sizes)

        async with asyncio.timeout(20):
            await eventually(ended, within=15)
        for sink in sinks:
            sink.go.set()
        assert [outcome.exit_code for outcome in await asyncio.gather(*runs)] == [3] * len(sizes)
    assert [len(sink.out[Stream.STDOUT]) for sink in sinks] == sizes
    assert [sink.stderr for sink in sinks] == ["end\n"] * len(sizes)


async def test_a_program_that_closes_its_output_is_waited_for(bench):
    began = time.monotonic()
    outcome = await run(bench, docker_work("sh", "-c", "exec >&- 2>&-; sleep 0.5; exit 7"))
    assert outcome.exit_code == 7
    assert time.monotonic() - began > 0.5


async def test_waiting_goes_on_when_one_request_has_waited_long_enough(bench, monkeypatch):
    monkeypatch.setattr(docker_engine, "_WAIT_TURN", 0.2)
    outcome = await run(bench, docker_work("sh", "-c", "exec >&- 2>&-; sleep 1; exit 7"))
    assert outcome.exit_code == 7


# --- how it ends ----------------------------------------------------------------------------------------


async def test_an_exit_code_is_no_failure(bench):
    outcome = await run(bench, docker_work("sh", "-c", "exit 42"))
    assert (outcome.exit_code, outcome.failure) == (42, None)


async def test_it_tells_the_image_that_ran_when_results_are_published(bench):
    work = docker_work("true")
    kept = dataclasses.replace(work, task=work.task.but(publisher=SpecConfig(type="local")))
    assert (await run(bench, kept)).program.startswith("sha256:")
    assert (await run(bench, docker_work("true"))).program == ""  # nobody asks: one request less


async def test_running_out_of_memory_is_told_with_the_limit(bench):
    work = docker_work("sh", "-c", "x=a; while :; do x=$x$x; done", resources=Resources(memory=32_000_000))
    outcome = await run(bench, work)
    assert outcome.failure is not None
    assert outcome.failure.reason is Reason.MEMORY
    assert "32.0 MB" in outcome.failure.message
    assert not outcome.failure.retryable


@pytest.mark.parametrize(
    ("command", "params", "words"),
    [
        (["no-such-program"], {}, 'exec: "no-such-program": executable file not found'),
        (["/etc/passwd"], {}, "permission denied"),
        (["true"], {"WorkingDirectory": "/etc/passwd"}, "not a directory"),
    ],
)
async def test_what_cannot_start_is_the_jobs_fault_and_said_plainly(bench, command, params, words):
    async with bench.open() as executor:
        with pytest.raises(WorkFailed, match=words) as caught:
            await executor.run(docker_work(*command, **params), Sink())
        assert not bench.containers()
    assert (caught.value.failure.reason, caught.value.failure.retryable) == (Reason.INVALID, False)
    assert "runc" not in caught.value.failure.message


async def test_anonymous_volumes_go_with_their_container(bench):
    saved = bench.api.create_container("busybox:1.37", name=f"bacalhau-test-{bench.node}")
    image = f"{bench.node}:1"
    content = b"".join(bench.api.export(saved["Id"]))
    bench.api.remove_container(saved["Id"])
    bench.api.import_image_from_data(content, repository=bench.node, tag="1", changes=["VOLUME /anonymous"])
    before = {volume["Name"] for volume in bench.api.volumes()["Volumes"] or ()}
    try:
        assert (await run(bench, docker_work("test", "-d", "/anonymous", image=image))).exit_code == 0
        assert {volume["Name"] for volume in bench.api.volumes()["Volumes"] or ()} <= before
    finally:
        bench.api.remove_image(image, force=True)


# --- what goes in ---------------------------------------------------------------------------------------


async def test_the_parameters_arrive(bench):
    logs = Sink()
    work = docker_work(
        "-c",
        'pwd; echo "$A $B"',
        env={"A": "task", "B": "task"},
        Entrypoint=["sh"],
        EnvironmentVariables=["A=engine"],
        WorkingDirectory="/made/here",
    )
    await run(bench, work, logs)
    assert logs.stdout == "/made/here\nengine task\n"


async def test_limits_hold(bench):
    logs = Sink()
    script = "for i in 1 2 3 4 5 6 7 8; do sleep 1 & done; wait"
    await run(bench, docker_work("sh", "-c", script), logs, PidsLimit=4)
    assert "can't fork" in logs.stderr


async def test_without_a_network_there_is_only_the_loopback(bench):
    logs = Sink()
    await run(bench, docker_work("ls", "/sys/class/net"), logs)
    assert logs.stdout.split() == ["lo"]


async def test_the_default_network_is_the_nodes_choice(bench):
    open_, closed = Sink(), Sink()
    work = docker_work("ls", "/sys/class/net", network=NetworkType.DEFAULT)
    await run(bench, work, open_)
    await run(bench, work, closed, RejectNetworked=True)
    assert "eth0" in open_.stdout
    assert closed.stdout.split() == ["lo"]


async def test_the_host_network_is_the_hosts(bench):
    logs = Sink()
    await run(bench, docker_work("ls", "/sys/class/net", network=NetworkType.HOST), logs)
    assert set(logs.stdout.split()) >= {name for _, name in socket.if_nameindex() if "veth" not in name}


async def test_a_bridge_port_leads_into_the_container(bench):
    with socket.create_server(("127.0.0.1", 0)) as free:
        number = free.getsockname()[1]
    port = Port(name="web", target=8080, host_network="127.0.0.1")
    network = NetworkConfig(type=NetworkType.BRIDGE, ports=(port,))
    work = docker_work("sh", "-c", "echo hello | nc -l -p 8080", network=network, ports={"web": number})
    async with bench.open() as executor:
        running = asyncio.create_task(executor.run(work, Sink()))

        async def said():
            try:
                reader, writer = await asyncio.open_connection("127.0.0.1", number)
            except OSError:
                return b""
            said = await reader.read(100)
            writer.close()
            return said

        assert await eventually(said, within=10) == b"hello\n"
        running.cancel()
        await asyncio.wait({running})


async def test_a_stale_container_of_the_same_execution_makes_room(bench):
    work, logs = docker_work("sh", "-c", "echo fresh"), Sink()
    bench.create(work)
    await run(bench, work, logs)
    assert logs.stdout == "fresh\n"


async def test_two_nodes_of_one_name_on_one_engine_never_touch_each_others_containers(bench, tmp_path):
    """Two clusters on one machine may use the same cell and node names, and even run the same execution."""
    other = Bench(tmp_path / "another", bench.node)
    work = docker_work("sleep", "30")
    try:
        async with other.open() as theirs, bench.open() as ours:
            running = asyncio.create_task(theirs.run(work, Sink()))
            await eventually(lambda: [item for item in other.containers() if item["State"] == "running"])
            assert await ours.attach(work, Sink(), seen={}) is None
            assert await ours.sweep([]) == 0
            logs = Sink()
            await run(bench, replace(docker_work("echo", "ours"), execution_id=work.execution_id), logs)
            assert logs.stdout == "ours\n"
            assert [item["State"] for item in other.containers()] == ["running"]
            running.cancel()
            await asyncio.wait({running})
    finally:
        other.close()
