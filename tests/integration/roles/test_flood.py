"""An execution that floods its output harms nobody else."""

from __future__ import annotations

import itertools
import time

import pytest

from bacalhau_nats.client import Job
from bacalhau_nats.messaging.bus import Msg, connect
from bacalhau_nats.messaging.subjects import HEARTBEAT, Cell
from tests.support.marks import MODULE, marking
from tests.support.waiting import eventually

from .conftest import Site, all_end, states, submit_all

FILL = MODULE.with_name("fill.wasm")


def flood(size: int) -> Job:
    """Build a job that prints so many bytes as fast as they are taken."""
    job = marking(FILL.parent)
    task = job["Tasks"][0]
    task["Engine"]["Params"] = {"EntryModule": "/fill.wasm", "Parameters": [str(size), "1024"]}
    module = {"Type": "local", "Params": {"SourcePath": str(FILL)}}
    task["InputSources"] = [{"Source": module, "Target": "/fill.wasm"}]
    return job


@pytest.mark.slow
@pytest.mark.parametrize("quota", ["1MB", "4GB"], ids=["cut off", "stored"])
async def test_a_flood_of_output_delays_neither_heartbeats_nor_other_jobs_of_the_node(
    site: Site, quota: str
) -> None:
    client = await site.client(await site.process("o1", "orchestrator"))
    paths = f"Compute.AllowListedLocalPaths={FILL},{MODULE},{site.marks}/**:rw"
    await site.process("c1", "compute", settings=[paths, f"Compute.Logs.Quota={quota}"])
    every, beats = 0.5, []

    def note(_: Msg) -> None:
        beats.append(time.monotonic())

    async with connect(site.server.url, cell=Cell("main"), name="tap") as bus:
        await bus.listen(HEARTBEAT(cell="main", node="c1"), note)
        flooding = (await client.submit(flood(20_000_000_000))).job_id
        await eventually(lambda: _output(bus, site, flooding), within=10)
        quiet = (await client.submit(marking(site.marks))).job_id
        await all_end(client, [quiet], within=5)

        beats.clear()
        begun = time.monotonic()
        ids = await submit_all(client, [marking(site.marks, 0.1) for _ in range(20)])
        assert await all_end(client, ids, within=10) == {"Completed"}
        took = time.monotonic() - begun
        await eventually(lambda: time.monotonic() - begun > 4, within=6)
        assert await states(client, flooding) == [("c1", "BidAccepted")], "the flood went on meanwhile"
        await client.stop(flooding)
        await all_end(client, [flooding], within=5)

    assert took < 3, f"20 jobs of 0.1 s took {took:.2f} s beside the flood"
    gaps = [later - earlier for earlier, later in itertools.pairwise(beats)]
    assert max(gaps) < 2 * every, f"a gap of {max(gaps):.2f} s between heartbeats"


async def _output(bus, site, job):
    answer = await bus.request("$JS.API.STREAM.INFO.BACALHAU_main_LOGS", b"", within=2)
    return b'"messages":0' not in answer.data
