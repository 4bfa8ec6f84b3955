"""A deployment as in docker-compose.yml: one server with the shipped nats.conf, each role with its own password."""

from __future__ import annotations

import asyncio
from pathlib import Path

from bacalhau_nats.testing.server import NatsServer
from tests.acceptance.program import ROOT, WASM, Caller, Node, settings

_STORE = "/var/lib/bacalhau/nats"


async def test_a_node_that_may_do_little_does_its_work(command: Path, tmp_path: Path) -> None:
    shipped = (ROOT / "nats.conf").read_text()
    assert _STORE in shipped
    conf = tmp_path / "nats.conf"
    conf.write_text(shipped.replace(_STORE, str(tmp_path / "store")))
    passwords = {
        "BACALHAU_CONTROL_PASSWORD": "c-secret",
        "BACALHAU_NODE_1_PASSWORD": "n-secret",
        "BACALHAU_NODE_2_PASSWORD": "o-secret",
        "BACALHAU_NODE_3_PASSWORD": "p-secret",
    }
    async with NatsServer(conf=conf, env=passwords) as server:

        def url(user: str, password: str) -> str:
            return f"nats://{user}:{password}@127.0.0.1:{server.port}"

        control = settings(Orchestrator__URLs=url("control", "c-secret"))
        gateway = Node(command, tmp_path / "gateway", "--name", "gateway", "--orchestrator", *control)
        join = settings(Compute__Orchestrators=url("node-1", "n-secret"))
        node = Node(command, tmp_path / "node-1", "--name", "node-1", "--compute", *join)
        try:
            await asyncio.to_thread(gateway.start().ready)
            await asyncio.to_thread(node.start().ready)
            assert "secret" not in gateway.nats
            bacalhau = Caller(command, tmp_path, gateway.api)
            done = await bacalhau(
                *("wasm", "run", "--follow", "--publisher", "nats", "--output", "out:/out"),
                *(WASM / "write.wasm", "/out/x", "done by a node"),
            )
            (await bacalhau("job", "get", done.ok().id)).ok()
            assert (tmp_path / f"job-{done.id}" / "out" / "x").read_text() == "done by a node"
        finally:
            await asyncio.to_thread(node.stop)
            await asyncio.to_thread(gateway.stop)
        assert "permission" not in (gateway.log.read_text() + node.log.read_text()).lower()
        assert not [line for line in server.lines if "Violation" in line]
