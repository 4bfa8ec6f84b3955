"""A thread reads what arrives in the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bacalhau_nats.blocking import in_thread
from bacalhau_nats.clients.arriving import Arriving


async def read_all(chunks: AsyncIterator[bytes], sizes: Sequence[int]) -> bytes:
    loop = asyncio.get_running_loop()

    def work(stopped) -> bytes:
        source, out, turn = Arriving(loop, chunks, stopped), b"", 0
        while data := source.read(sizes[turn % len(sizes)]):
            assert len(data) <= sizes[turn % len(sizes)]
            out, turn = out + data, turn + 1
        return out

    return await in_thread(work)


@given(st.lists(st.binary(max_size=40), max_size=20), st.lists(st.integers(1, 30), min_size=1, max_size=5))
def test_every_byte_comes_once_and_in_order_however_it_is_cut(pieces, sizes):
    async def arrive() -> AsyncIterator[bytes]:
        for piece in pieces:
            yield piece

    assert asyncio.run(read_all(arrive(), sizes)) == b"".join(pieces)


@pytest.mark.parametrize("error", [TimeoutError("the read timed out"), ConnectionError("reset")])
async def test_what_breaks_the_arrival_breaks_the_reading(error):
    async def arrive() -> AsyncIterator[bytes]:
        yield b"some"
        raise error

    with pytest.raises(type(error), match=str(error)):
        await read_all(arrive(), [100])


async def test_a_reader_that_is_cancelled_while_nothing_comes_ends():
    begun, left = asyncio.Event(), asyncio.Event()

    async def arrive() -> AsyncIterator[bytes]:
        begun.set()
        try:
            await asyncio.Event().wait()
            yield b"never"
        finally:
            left.set()

    reading = asyncio.create_task(read_all(arrive(), [100]))
    await begun.wait()
    reading.cancel()
    done, _ = await asyncio.wait({reading}, timeout=5)
    assert reading in done
    async with asyncio.timeout(5):
        await left.wait()
