"""A real server for the session, a cell of its own for each test."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from uuid import uuid4

import pytest

from bacalhau_nats.messaging import topology
from bacalhau_nats.messaging.bus import Bus, connect
from bacalhau_nats.messaging.subjects import Cell
from bacalhau_nats.messaging.topology import Topology
from bacalhau_nats.testing.server import NatsServer

# The server sets max_bytes aside when a stream is made, and a session makes many.
SMALL = Topology(state_max_bytes=32 << 20, logs_max_bytes=32 << 20)


@pytest.fixture(scope="session")
def server() -> Iterator[NatsServer]:
    with NatsServer() as running:
        yield running


@pytest.fixture
async def own_server() -> AsyncIterator[NatsServer]:
    """A server that a test may kill."""
    async with NatsServer() as running:
        yield running


@pytest.fixture
def cell() -> Cell:
    return Cell(f"test-{uuid4().hex[:8]}")


@pytest.fixture
async def bus(server: NatsServer, cell: Cell) -> AsyncIterator[Bus]:
    async with connect(server.url, cell=cell, name="test") as connected:
        await topology.ensure(connected, SMALL)
        yield connected


@pytest.fixture
async def other_bus(server: NatsServer, cell: Cell) -> AsyncIterator[Bus]:
    async with connect(server.url, cell=cell, name="other") as connected:
        yield connected


@pytest.fixture
async def own_bus(own_server: NatsServer, cell: Cell) -> AsyncIterator[Bus]:
    async with connect(own_server.url, cell=cell, name="test", drain_timeout=1) as connected:
        await topology.ensure(connected, SMALL)
        yield connected
