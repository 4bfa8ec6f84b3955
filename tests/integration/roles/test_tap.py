"""Everything that is said on the bus is what the catalogue of subjects says."""

from __future__ import annotations

from collections import Counter

from bacalhau_nats import messages
from bacalhau_nats.domain.facts import RECORD_TYPES
from bacalhau_nats.domain.model import Model
from bacalhau_nats.domain.node import Heartbeat
from bacalhau_nats.messaging import codec, subjects
from bacalhau_nats.messaging.bus import Msg, connect
from bacalhau_nats.messaging.subjects import (
    CATALOGUE,
    FACT,
    GATEWAY_STATUS,
    NODE_STATUS,
    REQUESTER_STATUS,
    Cell,
    Subject,
)
from tests.support.marks import marking, noop
from tests.support.waiting import eventually

from .conftest import Site, all_end, submit_all

MODELS: dict[str, type[Model]] = {**RECORD_TYPES, "Heartbeat": Heartbeat} | {
    name: model
    for name, model in vars(messages).items()
    if isinstance(model, type) and issubclass(model, Model)
}


def catalogued(subject: str) -> Subject | None:
    """Find what the catalogue has for a subject; a republished fact is what it is a copy of."""
    head, fact, rest = subject.partition(".fact.")
    written = f"{head}.{rest}" if fact else subject
    return next((s for s in CATALOGUE if s is not FACT and s.parse(written) is not None), None)


async def test_every_message_of_a_mixed_run_is_of_the_type_its_subject_declares(site: Site) -> None:
    heard: list[Msg] = []
    async with connect(site.server.url, cell=Cell("main"), name="tap") as bus:
        await bus.listen("bacalhau.>", heard.append)
        clients = [await site.client(await site.node(name, "orchestrator")) for name in ("o1", "o2")]
        small = ["Compute.AllocatedCapacity.CPU=200m"]
        for name in ("c1", "c.2"):
            await site.node(name, "compute", settings=small)
        held = noop(60, type="service", cpu="150m", Name="held", ID="j-chosen-id", Count=2)
        ids = [(await clients[0].submit(held)).job_id]
        ids += await submit_all(clients[0], [noop(0.05, cpu="40m") for _ in range(10)])
        ids += await submit_all(clients[1], [marking(site.marks, Count=2) for _ in range(5)])
        ids.append((await clients[0].submit(noop(cpu="200m"))).job_id)
        for ask in (
            NODE_STATUS(cell="main", node="c.2"),
            REQUESTER_STATUS(cell="main", node="o1"),
            GATEWAY_STATUS(cell="main", node="o2"),
        ):
            await bus.ask(ask, messages.NodeStatus(), messages.NodeStatus, timeout=2)
        await eventually(lambda: any(".waiting." in m.subject for m in heard))
        await clients[1].stop("held")
        await clients[0]._http.json(
            "PUT", "/api/v1/orchestrator/nodes/c1", body={"Action": "reject", "NodeID": "c1"}
        )
        assert await all_end(clients[0], ids) == {"Completed", "Stopped"}
        await eventually(lambda: any(".membership" in m.subject for m in heard))

    faults, seen = [], Counter[str]()
    for msg in heard:
        known = catalogued(msg.subject)
        if known is None:
            faults.append(f"{msg.subject} is not in the catalogue")
            continue
        seen[known.message] += 1
        declared = [name.strip() for name in known.message.split(",")]
        said, version = ((msg.headers or {}).get(name, "") for name in (codec.TYPE, codec.VERSION))
        if said not in declared or version != "1":
            faults.append(f"{msg.subject} carries {said!r} {version!r}, declared is {declared}")
            continue
        MODELS[said].model_validate_json(msg.data)
    assert faults == []
    expected = {
        "JobSpec, Alias",
        "Conclusion",
        "Desired",
        "Observed",
        "NodeReport",
        "Membership",
        "Heartbeat",
    }
    expected |= {
        "Offer",
        "Bid, Decline",
        "WhatShouldIDo",
        "RollCall",
        "Nudge",
        "LogChunk",
        "Waiting",
        "NodeStatus",
    }
    assert expected <= set(seen), f"not heard: {expected - set(seen)}"


def test_every_subject_that_is_declared_is_in_the_catalogue() -> None:
    declared = {name: s for name, s in vars(subjects).items() if isinstance(s, Subject)}
    assert [name for name, subject in declared.items() if subject not in CATALOGUE] == []
