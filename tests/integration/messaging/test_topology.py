"""Streams and consumers: made once, changed when the settings change, or a clear word why not."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from bacalhau_nats.errors import InvalidSettings, StorageFull, Unavailable
from bacalhau_nats.messaging import jsapi, topology
from bacalhau_nats.messaging.bus import Bus, connect
from bacalhau_nats.messaging.subjects import Cell
from bacalhau_nats.messaging.topology import LOGS, NUDGES, REQUESTERS, STATE, Topology
from bacalhau_nats.testing.server import NatsServer
from tests.integration.messaging.conftest import SMALL


async def _config(bus: Bus, stream: str) -> dict:
    answer = await jsapi.call(bus, f"STREAM.INFO.{bus.cell.stream(stream)}")
    return answer["config"]


async def test_the_streams_are_what_the_design_says(bus: Bus):
    state, nudges, logs = [await _config(bus, name) for name in (STATE, NUDGES, LOGS)]
    assert (state["storage"], state["discard"], state["retention"]) == ("file", "new", "limits")
    assert state["deny_delete"]
    assert state["allow_direct"]
    assert state["allow_msg_ttl"]
    assert not state["allow_rollup_hdrs"]
    assert state["max_msgs_per_subject"] == -1
    assert (nudges["storage"], nudges["retention"], nudges["max_msgs_per_subject"]) == (
        "memory",
        "workqueue",
        1,
    )
    assert (logs["discard"], logs["persist_mode"]) == ("old", "async")
    consumer = await jsapi.call(bus, f"CONSUMER.INFO.{bus.cell.stream(NUDGES)}.{REQUESTERS}")
    assert consumer["config"]["max_ack_pending"] == -1
    assert consumer["config"]["ack_wait"] == 15_000_000_000


async def test_ensuring_twice_at_once_is_fine(server: NatsServer, cell: Cell):
    async with (
        connect(server.url, cell=cell, name="a") as one,
        connect(server.url, cell=cell, name="b") as two,
    ):
        await asyncio.gather(*(topology.ensure(bus, SMALL) for bus in (one, two, one, two)))
        assert (await _config(one, STATE))["subjects"] == cell.facts()


async def test_a_changed_setting_changes_the_stream(bus: Bus):
    await topology.ensure(bus, Topology(logs_max_age=60, logs_max_bytes=1 << 20, state_max_bytes=1 << 21))
    logs = await _config(bus, LOGS)
    assert (logs["max_age"], logs["max_bytes"]) == (60_000_000_000, 1 << 20)
    assert (await _config(bus, STATE))["max_bytes"] == 1 << 21


async def test_what_cannot_be_changed_is_said_clearly(bus: Bus):
    config, _, _ = topology.streams(bus.cell, SMALL)
    await jsapi.call(bus, f"STREAM.DELETE.{config.name}")
    await jsapi.call(bus, f"STREAM.CREATE.{config.name}", {**config.as_dict(), "storage": "memory"})
    with pytest.raises(
        InvalidSettings, match=rf"{config.name} exists and cannot be changed.*storage"
    ) as refusal:
        await topology.ensure(bus, SMALL)
    assert "restore" in refusal.value.hint


async def test_more_replicas_than_servers_is_said_clearly(server: NatsServer, cell: Cell):
    async with connect(server.url, cell=cell, name="t") as bus:
        with pytest.raises(InvalidSettings, match=r"cannot be created: .*replicas"):
            await topology.ensure(bus, replace(SMALL, replicas=3))


async def test_a_server_without_room_is_said_clearly(server: NatsServer, cell: Cell):
    async with connect(server.url, cell=cell, name="t") as bus:
        with pytest.raises(StorageFull, match=r"no room for the stream .* 1125899906842624 bytes") as refusal:
            await topology.ensure(bus, Topology(state_max_bytes=1 << 50))
        assert "max_file_store" in refusal.value.hint


async def test_a_server_without_jetstream_is_said_clearly(cell: Cell, tmp_path):
    conf = tmp_path / "nats.conf"
    conf.write_text("accounts { A { users [{ user: a, password: b }] } }\n")
    async with (
        NatsServer(conf=conf) as server,
        connect(server.url, cell=cell, name="t", user="a", password="b") as bus,
    ):
        with pytest.raises(Unavailable, match="JetStream not enabled"):
            await topology.ensure(bus)
