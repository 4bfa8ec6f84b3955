"""Logs of executions on the bus, as a runner opens them and finds them again; against a real server."""

from bacalhau_nats.compute.logbook import StreamLogbook
from bacalhau_nats.domain.execution import OUTPUT_LIMIT
from bacalhau_nats.domain.ids import ExecutionID, JobID
from bacalhau_nats.messaging.bus import connect
from bacalhau_nats.messaging.log_chunks import data_of
from bacalhau_nats.messaging.logs import read_logs
from bacalhau_nats.messaging.subjects import Cell
from bacalhau_nats.messaging.topology import Topology, ensure
from bacalhau_nats.ports import Stream
from bacalhau_nats.testing.server import NatsServer

JOB, E1 = JobID("j-1"), ExecutionID("e-1")
SMALL = Topology(state_max_bytes=32 << 20, logs_max_bytes=32 << 20)


async def test_a_log_is_gone_on_with_where_an_earlier_life_left_it():
    async with NatsServer() as server, connect(server.url, cell=Cell("test"), name="test") as bus:
        await ensure(bus, SMALL)
        book = StreamLogbook(bus, quota=1 << 20)
        assert (await book.stored(JOB, E1)).seen == {Stream.STDOUT: 0, Stream.STDERR: 0}
        first = book.open(JOB, E1)
        await first.write(Stream.STDOUT, b"before")
        await first.write(Stream.STDERR, b"x" * (OUTPUT_LIMIT + 7))
        await first.close()
        stored = await book.stored(JOB, E1)
        assert stored.seen == {Stream.STDOUT: 6, Stream.STDERR: OUTPUT_LIMIT + 7}
        assert stored.heads == {Stream.STDOUT: b"before", Stream.STDERR: b"x" * OUTPUT_LIMIT}
        again = book.open(JOB, E1, stored)
        await again.write(Stream.STDOUT, b" and after")
        await again.close()
        chunks = [c async for c in read_logs(bus, JOB, E1) if c.stream == Stream.STDOUT]
        assert b"".join(data_of(c) for c in chunks) == b"before and after"
        await again.close()
        assert (await book.stored(JOB, E1)).seen[Stream.STDOUT] == 16


async def test_each_execution_has_its_own_log():
    async with NatsServer() as server, connect(server.url, cell=Cell("test"), name="test") as bus:
        await ensure(bus, SMALL)
        book = StreamLogbook(bus, quota=1 << 20, rate=1 << 20)
        log = book.open(JOB, E1)
        await log.write(Stream.STDOUT, b"mine")
        await log.close()
        assert (await book.stored(JOB, ExecutionID("e-2"))).heads == {}
