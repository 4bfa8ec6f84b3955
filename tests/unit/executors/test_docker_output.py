from __future__ import annotations

import asyncio
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bacalhau_nats.executors.docker_output import Demultiplexer, Output
from bacalhau_nats.ports import Stream
from tests.support.docker import Sink, StuckSink
from tests.support.waiting import eventually

NUMBERS = {Stream.STDOUT: 1, Stream.STDERR: 2}
frames = st.lists(st.tuples(st.sampled_from(list(Stream)), st.binary(max_size=40)), max_size=12)


def multiplex(pieces) -> bytes:
    return b"".join(bytes([NUMBERS[s], 0, 0, 0]) + len(d).to_bytes(4, "big") + d for s, d in pieces)


def joined(pieces) -> dict[Stream, bytes]:
    return {s: b"".join(d for found, d in pieces if found is s) for s in Stream}


def reader(*chunks: bytes):
    left = [*chunks, b""]

    async def read() -> bytes:
        return left.pop(0)

    return read


class Source:
    closed = False

    def close(self) -> None:
        self.closed = True


@given(frames, st.lists(st.integers(0, 600), max_size=8))
def test_output_is_the_same_wherever_the_socket_cuts_it(pieces, cuts):
    wire = multiplex(pieces)
    places = [0, *sorted(min(cut, len(wire)) for cut in cuts), len(wire)]
    demultiplexer = Demultiplexer()
    found = [piece for a, b in pairwise(places) for piece in demultiplexer.feed(wire[a:b])]
    assert joined(found) == joined(pieces)


def test_neighbours_are_joined_and_streams_stay_in_order():
    wire = multiplex(
        [(Stream.STDOUT, b"a"), (Stream.STDOUT, b"b"), (Stream.STDERR, b"c"), (Stream.STDOUT, b"d")]
    )
    assert Demultiplexer().feed(wire) == [
        (Stream.STDOUT, b"ab"),
        (Stream.STDERR, b"c"),
        (Stream.STDOUT, b"d"),
    ]


def test_frames_of_other_streams_are_no_output():
    assert Demultiplexer().feed(b"\x03\0\0\0\0\0\0\x02no" + multiplex([(Stream.STDERR, b"x")])) == [
        (Stream.STDERR, b"x")
    ]


@given(frames, st.integers(0, 80), st.integers(0, 80))
def test_a_replay_leaves_out_exactly_what_was_seen(pieces, out, err):
    whole = joined(pieces)
    seen = {
        Stream.STDOUT: min(out, len(whole[Stream.STDOUT])),
        Stream.STDERR: min(err, len(whole[Stream.STDERR])),
    }

    async def replay() -> Sink:
        sink = Sink()
        await Output(sink, seen).replay(reader(*(multiplex([piece]) for piece in pieces)))
        return sink

    sink = asyncio.run(replay())
    assert {s: bytes(sink.out[s]) for s in Stream} == {s: whole[s][seen[s] :] for s in Stream}


async def test_a_sink_in_time_stays_on_the_live_stream():
    sink, source = Sink(), Source()
    assert await Output(sink).live(source, reader(multiplex([(Stream.STDOUT, b"hello")])))
    assert sink.stdout == "hello"
    assert not source.closed


async def test_a_sink_that_stalls_is_taken_off_the_live_stream_and_nothing_counts_twice():
    sink, source = StuckSink(), Source()
    output = Output(sink, stall=0.01)
    wire = [(Stream.STDOUT, b"one")], [(Stream.STDOUT, b"two")]
    live = asyncio.create_task(output.live(source, reader(*map(multiplex, wire))))
    await eventually(lambda: source.closed)
    sink.go.set()
    assert await live is False
    await output.replay(reader(multiplex([(Stream.STDOUT, b"onetwo")])))
    assert sink.stdout == "onetwo"


async def test_the_error_of_a_sink_goes_on():
    class Broken(Sink):
        async def write(self, stream, data):
            raise OSError("full")

    with pytest.raises(OSError, match="full"):
        await Output(Broken()).live(Source(), reader(multiplex([(Stream.STDOUT, b"x")])))
