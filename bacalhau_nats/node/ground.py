"""What the roles of one process stand on: settings, who they are, the connections, and what is closed at the end."""

from __future__ import annotations

import asyncio
import time
from contextlib import AsyncExitStack
from dataclasses import dataclass

from bacalhau_nats.messaging.blobs import ObjectStore
from bacalhau_nats.messaging.bus import Bus
from bacalhau_nats.messaging.topology import Topology
from bacalhau_nats.node import slices
from bacalhau_nats.node.identity import Self
from bacalhau_nats.settings import Settings


class SystemClock:
    """`ports.Clock` of the real world."""

    def now(self) -> float:
        """Seconds since the epoch."""
        return time.time()

    def monotonic(self) -> float:
        """Seconds that never go back."""
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        await asyncio.sleep(seconds)


@dataclass(frozen=True, slots=True)
class Ground:
    """Shared by the roles; ``bulk`` is the connection for what comes in quantities, ``stack`` closes what was opened."""

    settings: Settings
    me: Self
    bus: Bus
    bulk: Bus
    stack: AsyncExitStack
    clock: SystemClock

    def topology(self) -> Topology:
        """Say what streams the cell has."""
        return slices.topology(self.settings, clustered=self.settings.orchestrator.cluster.port > 0)

    def store(self, name: str) -> ObjectStore:
        """Give an object store of the cell."""
        return ObjectStore(self.bulk, self.bus.cell.bucket(name), replicas=self.topology().replicas)

    def labels(self) -> dict[str, str]:
        """Say what the node is selected by: what is known of every node, and what its settings add."""
        build = self.me.build
        own = {"name": str(self.me.node_id), "os_type": build.goos, "os_arch": build.goarch}
        return own | dict(self.settings.labels)
