"""Output on the bus, against a real server."""

from __future__ import annotations

import asyncio
import contextlib
import json

import pytest

from bacalhau_nats.messages import LogChunk
from bacalhau_nats.messaging import log_reader
from bacalhau_nats.messaging.bus import Bus, connect
from bacalhau_nats.messaging.log_chunks import CHUNK_BYTES, data_of, take_chunk
from bacalhau_nats.messaging.logs import LogWriter, last_offsets, read_logs
from bacalhau_nats.messaging.subjects import LOG, Cell
from bacalhau_nats.messaging.topology import ensure
from bacalhau_nats.testing.server import NatsServer
from tests.support.waiting import eventually

MIB = 1024 * 1024


@pytest.fixture
async def server():
    async with NatsServer() as server:
        yield server


@pytest.fixture
async def bus(server):
    async with connect(server.url, cell=Cell("test"), name="test") as bus:
        await ensure(bus)
        yield bus


async def _stored(bus: Bus) -> int:
    return (await bus.jetstream.stream_info(bus.cell.stream("LOGS"))).state.messages


async def _consumers(bus: Bus) -> int:
    return (await bus.jetstream.stream_info(bus.cell.stream("LOGS"))).state.consumer_count


async def _subscriptions(bus: Bus) -> int:
    await bus.flush()
    return len(bus.client._subs)


async def _read(bus: Bus, job: str = "j", execution: str | None = "e", **options) -> list[LogChunk]:
    async with asyncio.timeout(20):
        return [chunk async for chunk in read_logs(bus, job, execution, **options)]


def _bytes(chunks: list[LogChunk], stream: str = "stdout", execution: str = "e") -> bytes:
    """Put a row together, and see that every chunk begins where the one before it ended."""
    row = b""
    for chunk in chunks:
        if (chunk.stream, chunk.execution_id) == (stream, execution):
            assert chunk.offset == len(row)
            row += data_of(chunk)
    return row


async def test_what_is_written_is_read_back_per_stream(bus):
    log = LogWriter(bus, "j", "e")
    await log.write("stdout", b"one\n")
    await log.write("stderr", b"oops\n")
    await log.write("stdout", b"two\n")
    await log.event("pulling\nan image")
    await log.close()
    chunks = await _read(bus, streams=("stdout", "stderr", "event"))
    assert _bytes(chunks) == b"one\ntwo\n"
    assert _bytes(chunks, "stderr") == b"oops\n"
    assert _bytes(chunks, "event") == b"pulling an image\n"
    assert all(chunk.end for chunk in chunks)
    assert await _stored(bus) == 3
    assert {chunk.stream for chunk in await _read(bus)} == {"stdout", "stderr"}


async def test_an_execution_that_prints_nothing_costs_nothing(bus):
    await LogWriter(bus, "j", "e").close()
    assert await _stored(bus) == 0
    assert await _read(bus) == []
    ended = asyncio.Event()
    ended.set()
    assert await _read(bus, follow=True, ended=ended) == []


async def test_a_thousand_lines_are_few_messages(bus):
    log = LogWriter(bus, "j", "e")
    for number in range(1000):
        await log.write("stdout", b"line %d\n" % number)
    await log.close()
    assert _bytes(await _read(bus)) == b"".join(b"line %d\n" % n for n in range(1000))
    assert await _stored(bus) < 50


async def test_each_line_reaches_its_follower_before_the_next_is_written(bus):
    log, ended, got = LogWriter(bus, "j", "e"), asyncio.Event(), []

    async def follow():
        async for chunk in read_logs(bus, "j", "e", follow=True, ended=ended):
            got.append(chunk.text)  # noqa: PERF401 - as they come

    lines = [f"line {number}\n" for number in range(100)]
    async with asyncio.timeout(20), asyncio.TaskGroup() as tasks:
        tasks.create_task(follow())
        for number, line in enumerate(lines, 1):
            await log.write("stdout", line.encode())
            await eventually(lambda number=number: len(got) == number)
        await log.close()
        ended.set()
    assert "".join(got) == "".join(lines)


async def test_bytes_that_are_not_utf8_come_back_unchanged(bus):
    log = LogWriter(bus, "j", "e")
    await log.write("stdout", b"caf\xe9\n\x00\xff")
    await log.close()
    (chunk,) = await _read(bus)
    assert not chunk.text
    assert _bytes([chunk]) == b"caf\xe9\n\x00\xff"


async def test_a_character_cut_across_writes_stays_text(bus):
    log, ended = LogWriter(bus, "j", "e"), asyncio.Event()
    text = "Grüße, 世界 🐟\n"
    async with asyncio.timeout(20), asyncio.TaskGroup() as tasks:
        following = tasks.create_task(_read(bus, follow=True, ended=ended))
        for byte in text.encode():
            await log.write("stdout", bytes([byte]))
            await asyncio.sleep(0.004)  # longer than it coalesces: each byte could go alone
        await log.close()
        ended.set()
    chunks = following.result()
    assert "".join(chunk.text for chunk in chunks) == text
    assert len(chunks) > 3


async def test_half_a_character_at_the_end_is_stored_as_it_is(bus):
    log = LogWriter(bus, "j", "e")
    await log.write("stdout", "ab🐟".encode()[:-1])
    await log.close()
    assert _bytes(await _read(bus)) == "ab🐟".encode()[:-1]


@pytest.mark.parametrize("text", ["a" * 7, "é" * 7, "世" * 7, "🐟" * 7, "\xff"])
def test_chunks_are_cut_between_characters(text):
    pad = "x" * (CHUNK_BYTES - 2)
    buffer = bytearray((pad + text).encode())
    first = take_chunk(buffer, final=False)
    assert first.decode() + buffer.decode() == pad + text


async def test_a_ten_megabyte_line_is_cut_and_put_together(bus):
    line = ("0123456789abcdé" * (10 * MIB // 16)).encode() + b"\n"
    log = LogWriter(bus, "j", "e", rate=1000 * MIB)
    await log.write("stdout", line)
    await log.close()
    assert _bytes(await _read(bus)) == line


async def test_a_quota_ends_the_log_with_one_event(bus):
    log = LogWriter(bus, "j", "e", quota=100_000)
    for _ in range(30):
        await log.write("stdout", b"x" * 9_999 + b"\n")
    await log.close()
    chunks = await _read(bus, streams=("stdout", "stderr", "event"))
    assert len(_bytes(chunks)) == 100_000
    assert _bytes(chunks, "event").count(b"\n") == 1
    assert b"output limit" in _bytes(chunks, "event")


async def test_a_flood_is_not_finished_before_others_are_heard(bus):
    async def flood():
        log = LogWriter(bus, "flood", "f", rate=4 * MIB)
        while not enough.is_set():
            await log.write("stdout", b"x" * 65_535 + b"\n")
        await log.close()

    enough = asyncio.Event()
    async with asyncio.timeout(30), asyncio.TaskGroup() as tasks:
        flooding = tasks.create_task(flood())
        await eventually(lambda: _stored(bus))
        for number in range(20):
            log = LogWriter(bus, "j", f"e{number}")
            await log.write("stdout", b"hello\n")
            await log.close()
            assert _bytes(await _read(bus, execution=f"e{number}"), execution=f"e{number}") == b"hello\n"
        assert not flooding.done()
        enough.set()


async def test_a_reader_that_does_not_read_costs_little_and_misses_nothing(bus, monkeypatch):
    monkeypatch.setattr(log_reader, "_HEARD_BYTES", 4 * CHUNK_BYTES)
    reading = log_reader._Reading(bus, "j", "e", log_reader.OUTPUT)
    await reading.listen()
    log = LogWriter(bus, "j", "e")
    await log.write("stdout", b"x" * MIB)
    await log.close()
    await bus.flush()
    held = sum(len(data_of(chunk)) for chunk, _ in reading._heard)
    assert 0 < held <= 5 * CHUNK_BYTES
    assert _bytes([chunk async for _, chunk in reading.heard()]) == b"x" * MIB
    await reading.close()


async def test_a_server_restart_loses_and_doubles_nothing(bus, server):
    log, ended = LogWriter(bus, "j", "e"), asyncio.Event()
    async with asyncio.timeout(30), asyncio.TaskGroup() as tasks:
        following = tasks.create_task(_read(bus, follow=True, ended=ended))
        expected = b""
        for number in range(300):
            line = b"line %d\n" % number
            expected += line
            await log.write("stdout", line)
            if number in {100, 200}:
                await server.restart(kill=number == 200)
            await asyncio.sleep(0.001)
        await log.close()
        ended.set()
    assert _bytes(following.result()) == expected
    assert _bytes(await _read(bus)) == expected


async def test_a_follower_that_missed_chunks_reads_them_back(bus):
    """The live subject alone is not enough: what a follower did not hear is refilled by offset."""
    ended, got = asyncio.Event(), []
    chunks = [LogChunk(execution_id="e", stream="stdout", offset=3 * n, text=f"{n:02}\n") for n in range(5)]
    subject = LOG(cell="test", job="j", execution="e", stream="stdout")
    log = LogWriter(bus, "j", "e")
    await log.write("stdout", b"00\n")
    await log.close()

    async def follow():
        async for chunk in read_logs(bus, "j", "e", follow=True, ended=ended):
            got.append(chunk)  # noqa: PERF401 - as they come

    async with asyncio.timeout(20), asyncio.TaskGroup() as tasks:
        tasks.create_task(follow())
        await eventually(lambda: got)
        (subscription,) = [s for s in bus.client._subs.values() if s.subject.startswith("bacalhau.test.log")]
        callback, subscription._cb = subscription._cb, _deaf
        await bus.request(subject, chunks[1].to_json(), within=2)
        await bus.request(subject, chunks[2].to_json(), within=2)
        await bus.flush()
        subscription._cb = callback
        await bus.request(subject, chunks[3].to_json(), within=2)
        await eventually(lambda: len(got) == 4)
        ended.set()
    assert _bytes(got) == b"00\n01\n02\n03\n"


async def _deaf(_msg):
    """Hear nothing."""


async def test_a_writer_that_comes_back_goes_on_at_the_stored_offset(bus):
    first = LogWriter(bus, "j", "e")
    await first.write("stdout", b"before\n")
    await first.write("stderr", b"e")
    await first.close()
    start = await last_offsets(bus, "j", "e")
    assert start == {"stdout": 7, "stderr": 1}
    second = LogWriter(bus, "j", "e", start=start)
    await second.write("stdout", b"after\n")
    await second.close()
    assert _bytes(await _read(bus)) == b"before\nafter\n"
    assert await last_offsets(bus, "j", "nobody") == {}


async def test_chunks_stored_twice_are_given_once(bus):
    for _ in range(2):
        log = LogWriter(bus, "j", "e")
        await log.write("stdout", b"same\n")
        await log.close()
    assert await _stored(bus) == 2
    assert _bytes(await _read(bus)) == b"same\n"


@pytest.mark.parametrize(
    ("tail", "expected"), [(None, b"1\n2\n3"), (0, b""), (1, b"3"), (2, b"2\n3"), (9, b"1\n2\n3")]
)
async def test_tail_gives_the_last_lines(bus, tail, expected):
    log = LogWriter(bus, "j", "e")
    await log.write("stdout", b"1\n2\n")
    await asyncio.sleep(0.01)
    await log.write("stdout", b"3")
    await log.close()
    assert b"".join(map(data_of, await _read(bus, tail=tail))) == expected


async def test_the_executions_of_a_job_are_merged(bus):
    for execution in ("e1", "e2"):
        log = LogWriter(bus, "j", execution)
        await log.write("stdout", execution.encode())
        await log.close()
    other = LogWriter(bus, "another", "e3")
    await other.write("stdout", b"no")
    await other.close()
    chunks = await _read(bus, execution=None)
    assert [(chunk.execution_id, chunk.text) for chunk in chunks] == [("e1", "e1"), ("e2", "e2")]


async def test_leaving_early_leaves_nothing_behind(bus):
    log = LogWriter(bus, "j", "e")
    await log.write("stdout", b"hello\n")
    await log.close()
    before = await _subscriptions(bus)
    async with contextlib.aclosing(read_logs(bus, "j", "e", follow=True)) as chunks:
        async for _ in chunks:
            assert await _subscriptions(bus) == before + 1
            break
    assert await _subscriptions(bus) == before
    assert await _consumers(bus) == 0


async def test_output_is_dropped_and_not_waited_for_when_nothing_stores_it(bus, caplog):
    await bus.jetstream.delete_stream(bus.cell.stream("LOGS"))
    log = LogWriter(bus, "j", "e", patience=0.2)
    async with asyncio.timeout(5):
        await log.write("stdout", b"x" * 3 * MIB)
        await log.close()
    assert "is dropped" in caplog.text


async def test_a_chunk_on_the_bus_is_readable_json(bus):
    heard = []
    await bus.client.subscribe("bacalhau.test.log.>", cb=_into(heard))
    log = LogWriter(bus, "j", "e")
    await log.write("stdout", b"hello\n")
    await log.close()
    await bus.flush()
    (message,) = heard
    assert message.subject == "bacalhau.test.log.j.e.stdout"
    assert message.headers["Bacalhau-Type"] == "LogChunk"
    assert json.loads(message.data)["Text"] == "hello\n"


def _into(heard):
    async def receive(msg):
        heard.append(msg)

    return receive
