"""Three servers, three replicas: the same rules, and a leader that is killed."""

from __future__ import annotations

import asyncio
import itertools
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest

from bacalhau_nats.domain.execution import Desired
from bacalhau_nats.domain.facts import Fact, desired_key, spec_key
from bacalhau_nats.domain.spec import JobSpec
from bacalhau_nats.errors import Conflict
from bacalhau_nats.messaging import jsapi, topology
from bacalhau_nats.messaging.bus import Bus, connect
from bacalhau_nats.messaging.follower import Follower
from bacalhau_nats.messaging.records import JetRecords
from bacalhau_nats.messaging.subjects import Cell
from bacalhau_nats.messaging.topology import STATE, Topology
from bacalhau_nats.testing.records import check_records
from bacalhau_nats.testing.server import NatsServer
from tests.support.waiting import eventually

pytestmark = pytest.mark.slow

SMALL = Topology(replicas=3, state_max_bytes=32 << 20, logs_max_bytes=32 << 20)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture
async def cluster(tmp_path) -> AsyncIterator[dict[str, NatsServer]]:
    ports = [free_port() for _ in range(3)]
    routes = ", ".join(f"nats://127.0.0.1:{port}" for port in ports)
    servers: dict[str, NatsServer] = {}
    async with AsyncExitStack() as stack:
        for number, port in enumerate(ports):
            conf = tmp_path / f"{number}.conf"
            conf.write_text(
                f"server_name: n{number}\n"
                f'cluster {{ name: test, listen: "127.0.0.1:{port}", routes: [{routes}] }}\n'
            )
            servers[f"n{number}"] = await stack.enter_async_context(NatsServer(conf=conf))
        yield servers


async def leader(bus: Bus) -> str:
    info = await jsapi.call(bus, f"STREAM.INFO.{bus.cell.stream(STATE)}")
    return info["cluster"].get("leader", "")


async def test_three_replicas_keep_the_rules_and_survive_their_leader(
    cluster: dict[str, NatsServer], cell: Cell
):
    urls = [server.url for server in cluster.values()]
    async with connect(urls, cell=cell, name="a") as bus, connect(urls, cell=cell, name="b") as other:
        await topology.ensure(bus, SMALL)
        records = JetRecords(bus, patience=30)
        await check_records(records)
        await _race(bus, other)
        await _kill_the_leader(cluster, bus, other, records)


async def _race(bus: Bus, other: Bus) -> None:
    """Placements race through two servers; refusals come as 10071 or 10164."""
    one, two = JetRecords(bus), JetRecords(other)
    for number in range(100):
        answers = await asyncio.gather(
            *(
                records.create(desired_key(f"e{number}", node), Desired(wish="run", nonce=node))
                for records, node in ((one, "a"), (two, "b"), (one, "c"))
            ),
            return_exceptions=True,
        )
        assert sum(isinstance(answer, int) for answer in answers) == 1, answers
        assert sum(isinstance(answer, Conflict) for answer in answers) == 2, answers


async def _kill_the_leader(cluster: dict[str, NatsServer], bus: Bus, other: Bus, records: JetRecords) -> None:
    before = await records.last_seq()
    facts: list[Fact] = []
    follower = Follower(other, facts.append)
    following = asyncio.create_task(follower.run())
    answers: dict[int, int] = {}
    numbers, enough = itertools.count(), asyncio.Event()

    async def write() -> None:
        while not enough.is_set():
            number = next(numbers)
            answers[number] = await records.create(spec_key(f"k{number}"), JobSpec(nonce=f"n{number}"))

    async with asyncio.timeout(60), asyncio.TaskGroup() as group:
        for _ in range(8):
            group.create_task(write())
        await eventually(lambda: len(answers) > 200)
        killed = cluster[await leader(bus)]
        await killed.kill()
        back = len(answers)
        await eventually(lambda: len(answers) > back + 200, within=40)
        await killed.start()
        enough.set()
    last = await records.last_seq()
    assert sorted(answers.values()) == list(range(before + 1, last + 1)), "each write once, none lost"
    assert await follower.reached(last, 20)
    assert [fact.seq for fact in facts] == list(range(1, last + 1))
    following.cancel()
