"""The load generator, a process of its own: `python -m benchmarks.load '{"mode": …}'`, answer on stdout.

Modes: ``rate`` submits ``count`` jobs over ``connections`` keep-alive connections, each sending the next one
when the last was accepted, with at most ``window`` unfinished jobs (0: no such limit). ``one_by_one`` waits
for the end of each job before it submits the next.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import uvloop

from benchmarks.ear import Ear, listening
from benchmarks.http import Connection, request

JOBS = "/api/v1/orchestrator/jobs"


@dataclass(slots=True)
class Submitted:
    """When each job was sent and when it was accepted."""

    sent: dict[str, float] = field(default_factory=dict)
    accepted: dict[str, float] = field(default_factory=dict)


async def submit(connection: Connection, wire: bytes, log: Submitted) -> str:
    """Submit one job; give its id. Raises ValueError with the answer when it is refused."""
    sent = time.perf_counter()
    status, body = await connection.send(wire)
    if status != 200:
        raise ValueError(f"refused with {status}: {body[:300].decode(errors='replace')}")
    job: str = json.loads(body)["JobID"]
    log.sent[job], log.accepted[job] = sent, time.perf_counter()
    return job


async def rate(asked: dict[str, Any], ear: Ear) -> dict[str, Any]:
    """Submit as fast as the gateway takes them, within the limits; wait for all ends."""
    count, window = int(asked["count"]), int(asked.get("window", 0))
    wire, log = request("PUT", JOBS, {"Job": asked["job"]}), Submitted()
    left = iter(range(count))

    async def worker() -> None:
        connection = await Connection.open(int(asked["api_port"]))
        for number in left:
            if window:
                await ear.until_count(number - window + 1)
            await submit(connection, wire, log)
        await connection.close()

    begin, cpu = time.perf_counter(), time.process_time()
    await asyncio.gather(*(worker() for _ in range(int(asked["connections"]))))
    submitted = time.perf_counter()
    await ear.until_count(count)
    return {
        "submit_seconds": submitted - begin,
        "seconds": max(ear.ended.values()) - begin,
        "silence": longest_silence([begin, *ear.ended.values()]),
        "states": dict(ear.states),
        "accepted": [log.accepted[job] - log.sent[job] for job in log.sent],
        "ended": [ear.ended[job] - log.sent[job] for job in log.sent],
        "cpu": time.process_time() - cpu,
    }


def longest_silence(times: Sequence[float]) -> float:
    """Give the longest time in which no job ended: a rate alone hides that everything stood still."""
    ordered = sorted(times)
    return max((late - early for early, late in pairwise(ordered)), default=0.0)


async def one_by_one(asked: dict[str, Any], ear: Ear) -> dict[str, Any]:
    """Submit, wait for the end, again; the first ``warm`` ones do not count."""
    wire, log = request("PUT", JOBS, {"Job": asked["job"]}), Submitted()
    connection = await Connection.open(int(asked["api_port"]))
    order = [
        await _whole(connection, wire, log, ear)
        for _ in range(int(asked.get("warm", 0)) + int(asked["count"]))
    ][int(asked.get("warm", 0)) :]
    await connection.close()
    return {
        "states": dict(ear.states),
        "accepted": [log.accepted[job] - log.sent[job] for job in order],
        "running": [ear.running[job] - log.sent[job] for job in order],
        "ended": [ear.ended[job] - log.sent[job] for job in order],
    }


async def _whole(connection: Connection, wire: bytes, log: Submitted, ear: Ear) -> str:
    job = await submit(connection, wire, log)
    await ear.until_ended(job)
    return job


async def main(asked: dict[str, Any]) -> dict[str, Any]:
    """Do what is asked."""
    serial = asked["mode"] == "one_by_one"
    async with listening(asked["nats"], starts=serial) as ear:
        return await (one_by_one if serial else rate)(asked, ear)


if __name__ == "__main__":
    print(json.dumps(uvloop.run(main(json.loads(sys.argv[1])))))
