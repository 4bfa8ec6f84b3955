"""One connection: who may connect, what is asked and answered, what is dropped."""

from __future__ import annotations

import asyncio
import json
import logging

import pytest
import uvloop

from bacalhau_nats.domain.facts import report_key
from bacalhau_nats.domain.node import Heartbeat, NodeReport
from bacalhau_nats.errors import (
    BusTimeout,
    Forbidden,
    InternalError,
    InvalidSettings,
    NoResponders,
    NotFound,
    Unavailable,
    UnsupportedServer,
)
from bacalhau_nats.messages import Bid, Decline, NodeStatus, Offer, RollCall
from bacalhau_nats.messaging import link
from bacalhau_nats.messaging.bus import Bus, Endpoint, connect
from bacalhau_nats.messaging.records import JetRecords
from bacalhau_nats.messaging.subjects import BID, HEARTBEAT, NODE_STATUS, ROLL_CALL, Cell
from bacalhau_nats.testing.server import NatsServer
from tests.support.waiting import eventually


async def test_no_server_is_one_clear_error_that_names_the_url(cell: Cell):
    with pytest.raises(Unavailable, match=r"nats://127\.0\.0\.1:9 .*") as failure:
        async with connect("nats://me:secret@127.0.0.1:9", cell=cell, name="t", timeout=0.5):
            pass
    assert "secret" not in failure.value.message
    assert failure.value.hint


async def test_a_wrong_token_is_refused_at_once(cell: Cell):
    async with NatsServer(args=("--auth", "right")) as server:
        with pytest.raises(Forbidden, match="refuses"):
            async with connect(server.url, cell=cell, name="t", token="wrong"):
                pass
        async with connect(server.url, cell=cell, name="t", token="right") as bus:
            assert bus.connected


def test_it_closes_in_peace_when_the_server_is_gone_and_something_is_unsent(cell: Cell):
    """Under uvloop, as nodes run: it refuses to write to a connection that is gone."""

    async def live(server: NatsServer) -> None:
        async with connect(server.url, cell=cell, name="t") as bus:
            await server.kill()
            await eventually(lambda: not bus.connected)
            await bus.client.publish("unsent", b"kept for a reconnect")

    with NatsServer() as server:
        uvloop.run(live(server))


async def test_missing_credentials_are_said_at_once(server: NatsServer, cell: Cell, tmp_path):
    with pytest.raises(InvalidSettings, match="no NATS credentials file"):
        async with connect(server.url, cell=cell, name="t", creds=tmp_path / "me.creds"):
            pass


async def test_a_server_that_ignores_the_fence_is_refused(server: NatsServer, cell: Cell, monkeypatch):
    monkeypatch.setattr(link, "OLDEST_SERVER", (99, 0, 0))
    with pytest.raises(UnsupportedServer, match=r"is version 2\.\d+\.\d+; at least 99\.0\.0 is needed"):
        async with connect(server.url, cell=cell, name="t"):
            pass


async def test_what_is_published_is_heard_as_the_model_it_was(bus: Bus, cell: Cell):
    heard: list[Bid | Decline] = []
    await bus.subscribe(BID.any(cell=cell.name, requester="r"), [Bid, Decline], heard.append)
    await bus.flush()
    bid = Bid(bid_id="b1", hold_seconds=3.5)
    no = Decline(reason="too busy", never=True)
    for answer in (bid, no):
        await bus.publish(BID(cell=cell.name, requester="r", execution="e", node="n.x"), answer)
    await eventually(lambda: len(heard) == 2)
    assert heard == [bid, no]


@pytest.mark.parametrize(
    ("payload", "headers"),
    [
        (b"\xff\x00 garbage", {"Bacalhau-Type": "Heartbeat"}),
        (b"[]", {"Bacalhau-Type": "Heartbeat"}),
        (b'{"Tick": "soon"}', {"Bacalhau-Type": "Heartbeat"}),
        (b"{}", {"Bacalhau-Type": "Bid"}),
        (b"{}", {"Bacalhau-Type": "Heartbeat", "Bacalhau-Version": "2"}),
    ],
)
async def test_a_malformed_message_is_logged_and_dropped(bus: Bus, cell: Cell, caplog, payload, headers):
    heard: list[Heartbeat] = []
    await bus.subscribe(HEARTBEAT.any(cell=cell.name), [Heartbeat], heard.append)
    await bus.flush()
    subject = HEARTBEAT(cell=cell.name, node="n")
    await bus.client.publish(subject, payload, headers=headers)
    await bus.publish(subject, Heartbeat(tick=7))
    await eventually(lambda: heard)
    assert [beat.tick for beat in heard] == [7]
    assert any(subject in record.getMessage() for record in caplog.records)


async def test_a_handler_that_fails_is_logged_and_the_next_message_is_heard(bus: Bus, cell: Cell, caplog):
    heard: list[int] = []

    async def handler(beat: Heartbeat) -> None:
        if beat.tick == 1:
            raise RuntimeError("boom")
        heard.append(beat.tick)

    await bus.subscribe(HEARTBEAT.any(cell=cell.name), [Heartbeat], handler)
    await bus.flush()
    for tick in (1, 2):
        await bus.publish(HEARTBEAT(cell=cell.name, node="n"), Heartbeat(tick=tick))
    await eventually(lambda: heard == [2])
    assert any(record.exc_info and "boom" in str(record.exc_info[1]) for record in caplog.records)


async def test_nothing_is_kept_of_a_subscription_that_ended(bus: Bus, cell: Cell):
    before = len(bus.client.direct)
    subscription = await bus.listen(ROLL_CALL(cell=cell.name), lambda _msg: None)
    assert len(bus.client.direct) == before + 1
    await subscription.unsubscribe()
    assert len(bus.client.direct) == before


async def test_nobody_there_is_known_at_once(bus: Bus, cell: Cell):
    async with asyncio.timeout(1):
        with pytest.raises(NoResponders, match="Nobody serves"):
            await bus.ask(NODE_STATUS(cell=cell.name, node="n"), RollCall(), NodeStatus, timeout=30)


async def test_no_answer_in_time_is_a_timeout(bus: Bus, cell: Cell):
    await bus.listen(ROLL_CALL(cell=cell.name), lambda _msg: None)
    with pytest.raises(BusTimeout, match="may have happened"):
        await bus.ask(ROLL_CALL(cell=cell.name), RollCall(), NodeStatus, timeout=0.05)


async def test_a_broken_connection_ends_waiting_at_once(own_bus: Bus, own_server: NatsServer, cell: Cell):
    await own_bus.listen(ROLL_CALL(cell=cell.name), lambda _msg: None)
    asking = asyncio.create_task(own_bus.ask(ROLL_CALL(cell=cell.name), RollCall(), NodeStatus, timeout=60))
    await own_bus.flush()
    await own_server.kill()
    async with asyncio.timeout(5):
        with pytest.raises(BusTimeout, match="broke"):
            await asking
    with pytest.raises(Unavailable, match="Not connected"):
        await own_bus.ask(ROLL_CALL(cell=cell.name), RollCall(), NodeStatus, timeout=60)
    await own_bus.publish(ROLL_CALL(cell=cell.name), RollCall())  # dropped, no error


async def test_reconnects_and_says_so(own_bus: Bus, own_server: NatsServer):
    back = asyncio.Event()
    forget = own_bus.on_reconnect(back.set)
    await own_server.restart()
    async with asyncio.timeout(5):
        await back.wait()
    assert own_bus.connected
    forget()


async def test_an_error_for_which_nats_py_gives_up_is_a_reconnect(own_bus: Bus, cell: Cell):
    back = asyncio.Event()
    own_bus.on_reconnect(back.set)
    await own_bus.client._process_err("'slow consumer'")
    async with asyncio.timeout(5):
        await back.wait()
    with pytest.raises(NoResponders):
        await own_bus.ask(ROLL_CALL(cell=cell.name), RollCall(), NodeStatus, timeout=5)


async def test_an_outage_is_logged_once_and_not_ten_times_a_second(
    own_bus: Bus, own_server: NatsServer, caplog
):
    await own_server.kill()
    await eventually(lambda: not own_bus.connected)
    await asyncio.sleep(0.5)  # five attempts
    refused = [record for record in caplog.records if "Connect call failed" in record.getMessage()]
    assert len(refused) == 1


async def test_what_a_user_may_not_publish_is_forbidden_at_once(cell: Cell, tmp_path):
    conf = tmp_path / "nats.conf"
    conf.write_text(
        'authorization { users [{ user: n, password: p, permissions: { publish: "allowed.>", subscribe: ">" } }] }'
    )
    async with (
        NatsServer(conf=conf) as server,
        connect(server.url, cell=cell, name="t", user="n", password="p") as bus,
    ):
        async with asyncio.timeout(2):
            with pytest.raises(Forbidden, match=r"publish to bacalhau\..*\.node\.Other\.report"):
                await JetRecords(bus).put(report_key("Other"), NodeReport())
        with pytest.raises(NoResponders):
            await bus.request("allowed.x", b"", within=2)


async def test_a_service_answers_models_with_models_or_errors(bus: Bus, other_bus: Bus, cell: Cell, caplog):
    async def status(question: Offer) -> NodeStatus:
        match question.requester:
            case "bad":
                raise NotFound("No such node: bäd.", hint="Try another.", node="bad")
            case "bug":
                raise RuntimeError("secret insides")
        return NodeStatus(version="1.2.3", details={"asked by": question.requester})

    subject = NODE_STATUS(cell=cell.name, node="n")
    endpoint = Endpoint("status", subject, Offer, status)
    async with bus.service("bacalhau-compute", "1.2.3", "A test.", [endpoint]):
        answer = await other_bus.ask(subject, Offer(requester="me"), NodeStatus, timeout=5)
        assert answer == NodeStatus(version="1.2.3", details={"asked by": "me"})

        with pytest.raises(NotFound, match="No such node: bäd") as missing:
            await other_bus.ask(subject, Offer(requester="bad"), NodeStatus, timeout=5)
        assert missing.value.hint == "Try another."
        assert missing.value.details == {"node": "bad"}

        with pytest.raises(InternalError, match="A bug; look for id") as bug:
            await other_bus.ask(subject, Offer(requester="bug"), NodeStatus, timeout=5)
        assert "secret" not in bug.value.message
        error_id = bug.value.message.split()[5]
        assert any(error_id in record.getMessage() for record in caplog.records)

        with pytest.raises(InternalError, match="cannot be read"):
            await other_bus.ask(subject, RollCall(), NodeStatus, timeout=5)

        by_hand = await other_bus.client.request(subject, b"", timeout=5)  # nats req … ''
        assert json.loads(by_hand.data)["Version"] == "1.2.3"
        ping = await other_bus.client.request("$SRV.PING.bacalhau-compute", b"", timeout=5)
        assert json.loads(ping.data)["name"] == "bacalhau-compute"  # what `nats micro ls` reads
    with pytest.raises(NoResponders):
        await other_bus.ask(subject, Offer(), NodeStatus, timeout=5)


async def test_an_answer_of_the_wrong_type_is_a_bug_of_the_other_side(bus: Bus, other_bus: Bus, cell: Cell):
    async def wrong(_question: RollCall) -> RollCall:
        return RollCall()

    endpoint = Endpoint("wrong", NODE_STATUS(cell=cell.name, node="n"), RollCall, wrong)
    async with bus.service("wrong", "1.0.0", "", [endpoint]):
        with pytest.raises(InternalError, match=r"RollCall.*where NodeStatus is expected"):
            await other_bus.ask(endpoint.subject, RollCall(), NodeStatus, timeout=5)


async def test_leaving_lets_a_running_handler_finish(server: NatsServer, cell: Cell, caplog):
    caplog.set_level(logging.WARNING)
    done = asyncio.Event()
    started = asyncio.Event()

    async def handler(_beat: Heartbeat) -> None:
        started.set()
        await asyncio.sleep(0.05)
        done.set()

    async with connect(server.url, cell=cell, name="t") as bus:
        await bus.subscribe(HEARTBEAT.any(cell=cell.name), [Heartbeat], handler)
        await bus.flush()
        await bus.publish(HEARTBEAT(cell=cell.name, node="n"), Heartbeat())
        await started.wait()
    assert done.is_set()
    assert not caplog.records


async def test_leaving_does_not_wait_for_ever(server: NatsServer, cell: Cell):
    started = asyncio.Event()

    async def handler(_beat: Heartbeat) -> None:
        started.set()
        await asyncio.sleep(60)

    async with asyncio.timeout(3):
        async with connect(server.url, cell=cell, name="t", drain_timeout=0.2) as bus:
            await bus.subscribe(HEARTBEAT.any(cell=cell.name), [Heartbeat], handler)
            await bus.flush()
            await bus.publish(HEARTBEAT(cell=cell.name, node="n"), Heartbeat())
            await started.wait()
    assert bus.client.is_closed
    assert asyncio.current_task().cancelling() == 0


async def test_leaving_while_the_server_is_away_is_quick(own_server: NatsServer, cell: Cell):
    async with asyncio.timeout(5):
        async with connect(own_server.url, cell=cell, name="t") as bus:
            await own_server.kill()
            await eventually(lambda: not bus.connected)
    assert bus.client.is_closed
