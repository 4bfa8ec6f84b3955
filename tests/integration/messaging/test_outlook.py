"""What a process sees of the cell, and who waits for it."""

from __future__ import annotations

import asyncio

from bacalhau_nats.domain.facts import spec_key
from bacalhau_nats.domain.ids import JobID
from bacalhau_nats.domain.spec import JobSpec
from bacalhau_nats.messaging import follower, jsapi, topology
from bacalhau_nats.messaging.bus import Bus
from bacalhau_nats.messaging.outlook import Outlook
from bacalhau_nats.messaging.records import JetRecords
from bacalhau_nats.messaging.topology import STATE
from bacalhau_nats.node.ground import SystemClock
from tests.integration.messaging.conftest import SMALL
from tests.support.waiting import eventually


async def test_who_waits_for_a_job_is_told_when_the_stream_is_made_anew(bus: Bus, monkeypatch):
    monkeypatch.setattr(follower, "WATCH_SECONDS", 0.05)
    job = JobID("j-1")
    outlook = Outlook(bus, SystemClock(), 10)
    async with outlook.open():
        await JetRecords(bus).create(spec_key(job), JobSpec(id=job, name="x", nonce="n"))
        await eventually(lambda: outlook.view.job(job) is not None)
        gone = asyncio.create_task(outlook.until(job, lambda found: found is None))
        await asyncio.sleep(0)
        await jsapi.call(bus, f"STREAM.DELETE.{bus.cell.stream(STATE)}")
        await topology.ensure(bus, SMALL)
        async with asyncio.timeout(5):
            await gone
