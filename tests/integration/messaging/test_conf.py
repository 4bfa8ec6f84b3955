"""The shipped nats.conf on a real server: a node says what it does itself, and nothing else is believed or heard."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bacalhau_nats.domain.execution import Desired, Observed
from bacalhau_nats.domain.facts import Key, Kind
from bacalhau_nats.domain.ids import ExecutionID, NodeID
from bacalhau_nats.domain.job import Conclusion
from bacalhau_nats.domain.node import Membership, NodeReport
from bacalhau_nats.errors import Forbidden
from bacalhau_nats.messages import Bid
from bacalhau_nats.messaging import topology
from bacalhau_nats.messaging.bids import read_answers
from bacalhau_nats.messaging.blobs import ObjectStore
from bacalhau_nats.messaging.bus import connect
from bacalhau_nats.messaging.logs import LogWriter, last_offsets, read_logs
from bacalhau_nats.messaging.records import JetRecords
from bacalhau_nats.messaging.subjects import (
    BID,
    DESIRED,
    HEARTBEAT,
    NODE_STATUS,
    OFFER,
    ROLL_CALL,
    UPLOAD,
    WANTED,
    Cell,
)
from bacalhau_nats.testing.server import NatsServer
from tests.support.waiting import eventually

CONF = Path(__file__).parents[3] / "nats.conf"
CELL = Cell("main")
PASSWORDS = {
    "BACALHAU_CONTROL_PASSWORD": "c-secret",
    "BACALHAU_NODE_1_PASSWORD": "n-secret",
    "BACALHAU_NODE_2_PASSWORD": "o-secret",
    "BACALHAU_NODE_3_PASSWORD": "p-secret",
}
STORE = "/var/lib/bacalhau/nats"
MIB = 1024 * 1024


@pytest.fixture
async def server(tmp_path):
    conf = tmp_path / "nats.conf"
    shipped = CONF.read_text()
    assert STORE in shipped
    conf.write_text(shipped.replace(STORE, str(tmp_path / "store")))
    async with NatsServer(conf=conf, env=PASSWORDS) as server:
        yield server


@pytest.fixture
async def control(server):
    async with connect(server.url, cell=CELL, name="control", user="control", password="c-secret") as bus:
        await topology.ensure(bus)
        await ObjectStore(bus, CELL.bucket("blobs"), max_bytes=10 * MIB).ensure()
        await ObjectStore(bus, CELL.bucket("results"), max_bytes=10 * MIB).ensure()
        yield bus


@pytest.fixture
async def node(server, control):
    async with connect(server.url, cell=CELL, name="node-1", user="node-1", password="n-secret") as bus:
        yield bus


async def _say(bus, subject: str) -> None:
    """Publish as a stranger to our code would, and wait until the server has judged it."""
    await bus.client.publish(subject, b"{}")
    await bus.flush()


async def _hears(hearer, speaker, subject: str) -> bool:
    subscription = await hearer.client.subscribe(subject)
    await hearer.flush()
    await _say(speaker, subject)
    await hearer.flush()  # what the server sent before this answer has arrived
    heard = subscription.pending_msgs > 0
    await subscription.unsubscribe()
    return heard


async def test_nobody_gets_in_without_a_password(server):
    for user, password in ((None, None), ("node-1", "c-secret"), ("control", "guess")):
        with pytest.raises(Forbidden):
            async with connect(server.url, cell=CELL, name="x", user=user, password=password):
                pass


async def test_a_node_may_write_its_own_records(node, control):
    records = JetRecords(node)
    for key, record in (
        (Key(Kind.OBSERVED, "e-1", "node-1"), Observed(state="running")),
        (Key(Kind.REPORT, "node-1"), NodeReport()),
    ):
        seq = await records.put(key, record)
        assert (await JetRecords(control).get(key)).seq == seq


@pytest.mark.parametrize(
    ("key", "record"),
    [
        (Key(Kind.OBSERVED, "e-1", "node-2"), Observed(state="running")),
        (Key(Kind.REPORT, "node-2"), NodeReport()),
        (Key(Kind.DESIRED, "e-1", "node-1"), Desired(wish="run")),
        (Key(Kind.MEMBERSHIP, "node-1"), Membership()),
        (Key(Kind.CONCLUSION, "j-1", "1"), Conclusion(state="Completed")),
        (Key(Kind.SPEC, "j-1"), None),
    ],
)
async def test_a_forged_record_is_refused_and_not_stored(node, control, key, record):
    payload = record.to_json() if record is not None else json.dumps({"ID": "j-1"}).encode()
    with pytest.raises(Forbidden):
        await node.request(CELL.of_key(key), payload, within=0.3)
    assert (await control.jetstream.stream_info(CELL.stream(topology.STATE))).state.messages == 0


async def test_a_forged_fact_is_not_heard_by_its_followers(node, control):
    forged = CELL.republished(CELL.of_key(Key(Kind.DESIRED, "e-1", "node-1")))
    assert not await _hears(control, node, forged)
    assert await _hears(control, control, forged)


async def test_a_node_hears_what_is_wanted_of_it_and_of_nobody_else(node, control):
    heard = []

    async def hear(msg):
        heard.append(msg.subject)

    for who in ({"node": "node-1"}, {"node": "node-2"}, {}):
        await node.client.subscribe(CELL.republished(DESIRED.any(cell=CELL.name, **who)), cb=hear)
    await node.flush()
    for who in ("node-2", "node-1"):
        await JetRecords(control).put(Key(Kind.DESIRED, f"e-of-{who}", who), Desired(wish="run"))
    await eventually(lambda: heard)
    await node.flush()
    assert {subject.rpartition(".")[2] for subject in heard} == {"node-1"}


async def test_a_node_takes_part_in_the_auction_and_answers_questions(node, control):
    cell = CELL.name
    assert await _hears(node, control, OFFER(cell=cell, node="node-1", execution="e"))
    assert await _hears(node, control, ROLL_CALL(cell=cell))
    assert await _hears(control, node, BID(cell=cell, requester="r", execution="e", node="node-1"))
    assert await _hears(control, node, HEARTBEAT(cell=cell, node="node-1"))
    assert await _hears(control, node, WANTED(cell=cell))
    assert not await _hears(node, control, OFFER(cell=cell, node="node-2", execution="e"))
    assert not await _hears(control, node, BID(cell=cell, requester="r", execution="e", node="node-2"))
    assert not await _hears(control, node, HEARTBEAT(cell=cell, node="node-2"))
    assert await _hears(control, node, ROLL_CALL(cell=cell))

    async def answer(msg):
        await msg.respond(b"fine")

    subject = NODE_STATUS(cell=cell, node="node-1")
    await node.client.subscribe(subject, cb=answer)
    await node.flush()
    assert (await control.request(subject, b"", within=2)).data == b"fine"


async def test_a_user_in_the_url_is_a_user_like_one_that_is_given(server, control):
    url = server.url.replace("nats://", "nats://node-1:n-secret@")
    async with connect(url, cell=CELL, name="node-1") as bus:
        await JetRecords(bus).put(Key(Kind.REPORT, "node-1"), NodeReport())


async def test_a_node_does_not_hear_the_replies_to_others(node, control):
    assert not await _hears(node, control, "_INBOX.control.x")


async def test_a_node_writes_output_and_results_and_reads_large_inputs(node, control):
    log = LogWriter(node, "j", "e")
    await log.write("stdout", b"hello\n")
    await log.close()
    assert await last_offsets(node, "j", "e") == {"stdout": 6}
    assert [chunk.text async for chunk in read_logs(control, "j", "e")] == ["hello\n"]
    results = ObjectStore(node, CELL.bucket("results"))
    await results.put("r", b"x" * 300_000)
    await results.put("r", b"y")
    assert [chunk async for chunk in ObjectStore(control, CELL.bucket("results")).get("r")] == [b"y"]
    await ObjectStore(control, CELL.bucket("blobs")).put("b", b"input")
    assert [chunk async for chunk in ObjectStore(node, CELL.bucket("blobs")).get("b")] == [b"input"]


async def test_a_bid_of_a_node_is_kept_and_the_control_user_reads_it(node, control):
    await topology.ensure_bids(control)
    bid = Bid(execution_id=ExecutionID("e"), node_id=NodeID("node-1"))
    await node.publish(BID(cell=CELL.name, requester="r", execution="e", node="node-1"), bid)

    async def kept() -> bool:
        return [answer.node_id for answer in await read_answers(control, [ExecutionID("e")])] == ["node-1"]

    await eventually(kept)


async def test_a_node_may_not_touch_streams(node, control):
    for verb in ("STREAM.DELETE", "STREAM.PURGE", "STREAM.UPDATE"):
        await _say(node, f"$JS.API.{verb}.{CELL.stream(topology.STATE)}")
    await _say(node, f"$O.{CELL.bucket('blobs')}.C.forged")
    await control.jetstream.stream_info(CELL.stream(topology.STATE))
    blobs = await control.jetstream.stream_info(f"OBJ_{CELL.bucket('blobs')}")
    assert blobs.state.messages == 0


def test_the_shipped_file_syncs_each_write_and_listens_on_loopback():
    text = CONF.read_text()
    assert "\n  sync_interval: always\n" in text
    assert '\nhost: "127.0.0.1"' in text


def test_both_nodes_of_the_shipped_file_may_do_the_same():
    first, second = (_block(CONF.read_text(), name) for name in ("node-1", "node-2"))
    assert len(first) > 20
    assert [word.replace("node-1", "node-2") for word in first] == second


def _block(text: str, user: str) -> list[str]:
    """Give the subjects of a user, as written."""
    block = text.partition(f"user: {user}\n")[2].partition("allow_responses")[0]
    lines = [line.strip() for line in block.splitlines()]
    return [line.split('"')[1] for line in lines if line.startswith('"')]


async def test_a_node_may_ask_where_results_go_and_does_not_hear_what_others_ask(node, control):
    subject = UPLOAD(cell=CELL.name)
    assert await _hears(control, node, subject)
    subscription = await node.client.subscribe(subject)
    await node.flush()
    await _say(control, subject)
    await node.flush()
    assert subscription.pending_msgs == 0
