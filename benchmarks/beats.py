"""Publishes heartbeats of many nodes as fast as it can: `python -m benchmarks.beats '{"nats": …}'`.

First one of each node, which makes it known; then ``count`` in turn, written before the clock starts; at last one
of the node `SENTINEL`, whose free capacity says that all before it were heard (one subscription keeps order).
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from typing import Any

import nats
import uvloop
from nats.aio.client import Client

from bacalhau_nats.domain.ids import NodeID
from bacalhau_nats.domain.node import Heartbeat
from bacalhau_nats.domain.resources import Resources
from bacalhau_nats.messaging import codec
from bacalhau_nats.messaging.subjects import HEARTBEAT
from benchmarks.stand import CELL

SENTINEL = NodeID("sentinel")
MARK = 7
"""Whole CPUs that the sentinel says are free at the end."""
_FLUSH_EVERY = 500
_KNOWN_SECONDS = 1.0

Wire = tuple[str, bytes, dict[str, str]]


def name(number: int) -> NodeID:
    """Give the id of one of the nodes."""
    return NodeID(f"beat-{number}")


def beat(node: NodeID, tick: int, cores: int) -> Wire:
    """Write a heartbeat as it goes onto the bus."""
    free = Resources(milli_cpu=cores * 1000, memory=8 << 30, disk=64 << 30)
    model = Heartbeat(node_id=node, instance="0001", tick=tick, free=free, running=1, every=3.0)
    payload, headers = codec.encode(model)
    return HEARTBEAT(cell=CELL, node=node), payload, headers


async def main(asked: dict[str, Any]) -> dict[str, float]:
    """Publish; give when it began and ended, in seconds since 1970."""
    nodes, count = int(asked["nodes"]), int(asked["count"])
    known = [beat(name(number), 1, 4) for number in range(nodes)]
    many = [
        beat(name(number % nodes), 2 + number // nodes, 3 + number // nodes % 2) for number in range(count)
    ]
    client = await nats.connect(asked["nats"])
    try:
        await _send(client, [*known, beat(SENTINEL, 1, 1)])
        await asyncio.sleep(_KNOWN_SECONDS)
        begin = time.time()
        await _send(client, [*many, beat(SENTINEL, 2, MARK)])
        return {"begin": begin, "end": time.time()}
    finally:
        await client.close()


async def _send(client: Client, messages: list[Wire]) -> None:
    for number, (subject, payload, headers) in enumerate(messages):
        await client.publish(subject, payload, headers=headers)
        if number % _FLUSH_EVERY == 0:
            await client.flush()
    await client.flush()


if __name__ == "__main__":
    print(json.dumps(uvloop.run(main(json.loads(sys.argv[1])))))
