"""The records on JetStream do what `ports.Records` says."""

from __future__ import annotations

from collections.abc import AsyncIterator
from uuid import uuid4

import pytest

from bacalhau_nats.messaging import topology
from bacalhau_nats.messaging.bus import connect
from bacalhau_nats.messaging.records import JetRecords
from bacalhau_nats.messaging.subjects import Cell
from bacalhau_nats.ports import Records
from bacalhau_nats.testing.records import RECORDS_CHECKS, check_records
from bacalhau_nats.testing.server import NatsServer


@pytest.fixture
async def records() -> AsyncIterator[Records]:
    cell = Cell(f"test-{uuid4().hex[:8]}")
    async with NatsServer() as server, connect(server.url, cell=cell, name="test") as bus:
        await topology.ensure(bus)
        yield JetRecords(bus)


@pytest.mark.parametrize("check", RECORDS_CHECKS, ids=lambda check: check.__name__)
async def test_jetstream_records(check, records: Records):
    await check(records)


async def test_all_checks_may_share_one_stream(records: Records):
    await check_records(records)


async def test_the_checks_notice_records_without_a_fence(records: Records):
    class Unfenced(JetRecords):
        async def create(self, key, record):
            return await self.put(key, record)

    with pytest.raises(AssertionError, match="created twice"):
        await check_records(Unfenced(records._bus))
