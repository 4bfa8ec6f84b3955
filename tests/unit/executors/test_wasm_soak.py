"""A node runs modules for weeks: nothing may grow."""

import gc
from pathlib import Path

import pytest

from bacalhau_nats.testing.engine import RecordingSink

from .guests import engine, work


def descriptors():
    """Open descriptors, those of other tests' garbage aside."""
    gc.collect()
    return len(list(Path("/proc/self/fd").iterdir()))


def resident():
    """Bytes of memory this process holds."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


async def many(executor, job, runs):
    for _ in range(runs):
        await executor.run(job, RecordingSink())


async def test_two_thousand_runs_keep_the_number_of_descriptors(tmp_path):
    async with engine(tmp_path) as executor:
        job = work(tmp_path, "echo", "hello")
        await many(executor, job, 5)
        before = descriptors()
        await many(executor, job, 2000)
        assert descriptors() == before


async def test_a_closed_engine_gives_everything_back(tmp_path):
    before = descriptors()
    async with engine(tmp_path) as executor:
        await many(executor, work(tmp_path, "echo", "hello"), 5)
        assert descriptors() > before
    assert descriptors() == before


@pytest.mark.slow
async def test_three_thousand_runs_keep_their_memory(tmp_path):
    async with engine(tmp_path) as executor:
        jobs = [work(tmp_path, "echo", "hello"), work(tmp_path, "trap"), work(tmp_path, "exit", "3")]
        for job in jobs:
            await many(executor, job, 300)
        gc.collect()
        before = resident()
        for job in jobs:
            await many(executor, job, 1000)
        gc.collect()
        assert resident() - before < 16 * 1024 * 1024
