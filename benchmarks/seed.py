"""Fill a node's store with finished jobs, faster than by running them.

The facts are those of one real job, as the product wrote them, under other ids and times. They are written
through `JetRecords` while the node is down, with a server that does not sync each write.
"""

from __future__ import annotations

import asyncio
import uuid
from pathlib import Path

import nats
from nats.aio.msg import Msg

from bacalhau_nats.domain.execution import Desired, Observed
from bacalhau_nats.domain.facts import Fact, Key, Kind, Record
from bacalhau_nats.domain.ids import ExecutionID, JobID
from bacalhau_nats.domain.job import Conclusion
from bacalhau_nats.domain.spec import JobSpec
from bacalhau_nats.messaging import codec
from bacalhau_nats.messaging.bus import connect
from bacalhau_nats.messaging.records import JetRecords
from bacalhau_nats.messaging.server import EmbeddedServer
from bacalhau_nats.messaging.subjects import FACT, Cell
from benchmarks import workload
from benchmarks.ear import listening
from benchmarks.http import Connection, request
from benchmarks.load import JOBS, Submitted, submit
from benchmarks.stand import CELL, BenchmarkFailed, Node

_OWN = frozenset({Kind.SPEC, Kind.DESIRED, Kind.OBSERVED, Kind.CONCLUSION})
_AT_ONCE = 64
_MILLISECOND = 1_000_000
GOLD = 10
"""Every tenth job has the label ``tier=gold``."""


async def facts_of_a_job(node: Node) -> list[Fact]:
    """Run one WASM job and give its facts. Raises BenchmarkFailed when there are not five or more."""
    cell, heard = Cell(CELL), list[Fact]()

    async def hear(message: Msg) -> None:
        key = cell.key_of(message.subject)
        if key is not None and key.kind in _OWN:
            headers = message.headers or {}
            time = headers[codec.TIME]
            heard.append(codec.decode_fact(key, message.data, headers, seq=0, time=time))

    client = await nats.connect(node.nats)
    await client.subscribe(FACT.any(cell=CELL), cb=hear)
    await client.flush()
    gateway = await Connection.open(node.api_port)
    async with listening(node.nats) as ear:
        job = await submit(gateway, request("PUT", JOBS, {"Job": workload.wasm_noop()}), Submitted())
        await ear.until_ended(job)
    await client.flush()
    await asyncio.sleep(0.1)
    await gateway.close()
    await client.close()
    if len(heard) < 5:
        raise BenchmarkFailed(f"a job has left {len(heard)} facts only: {[fact.key for fact in heard]}")
    return heard


async def fill(folder: Path, facts: list[Fact], count: int) -> None:
    """Store ``count`` copies of a job in the data folder of a node that is down."""
    async with (
        EmbeddedServer(folder / "nats", port=-1, sync_interval="2m") as server,
        connect(server.url, cell=Cell(CELL), name="seed") as bus,
    ):
        records = JetRecords(bus)
        numbers = iter(range(count))

        async def write() -> None:
            for number in numbers:
                for key, record in _copy(facts, number):
                    await records.put(key, record)

        await asyncio.gather(*(write() for _ in range(_AT_ONCE)))


def _copy(facts: list[Fact], number: int) -> list[tuple[Key, Record]]:
    job, execution = JobID(f"j-{uuid.uuid4()}"), ExecutionID(f"e-{uuid.uuid4()}")
    nonce, spec, written = uuid.uuid4().hex, JobSpec(), list[tuple[Key, Record]]()
    for fact in facts:
        record = fact.record
        match record:
            case JobSpec():
                at = record.created + number * _MILLISECOND
                tier = "plain" if number % GOLD else "gold"
                spec = record.but(
                    id=job, name=job, nonce=nonce, created=at, submitted=at, labels={"tier": tier}
                )
                written.append((Key(Kind.SPEC, job), spec))
            case Desired():
                record = record.but(execution_id=execution, job_id=job, job=spec, nonce=nonce)
                written.append((Key(Kind.DESIRED, execution, fact.key.part), record))
            case Observed():
                record = record.but(execution_id=execution, job_id=job, nonce=uuid.uuid4().hex)
                written.append((Key(Kind.OBSERVED, execution, fact.key.part), record))
            case Conclusion():
                record = record.but(job_id=job, nonce=uuid.uuid4().hex)
                written.append((Key(Kind.CONCLUSION, job, fact.key.part), record))
    return written
