"""The heartbeat of a compute node: every few seconds, and at once when room grows."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from bacalhau_nats.compute.capacity import Ledger
from bacalhau_nats.domain.ids import ExecutionID, NodeID
from bacalhau_nats.domain.node import Heartbeat
from bacalhau_nats.ports import Clock, ComputeBus


@dataclass(slots=True)
class Pulse:
    """Owns the tick, which orders all that this node says about its free capacity."""

    me: NodeID
    instance: str
    ledger: Ledger
    bus: ComputeBus
    clock: Clock
    every: float = 3.0
    tick: int = 0
    _now: asyncio.Event = field(default_factory=asyncio.Event)

    def next_tick(self) -> int:
        """Count on."""
        self.tick += 1
        return self.tick

    def soon(self) -> None:
        """Beat at once: somebody asked, or room has grown."""
        self._now.set()

    def release(self, execution: ExecutionID) -> None:
        """End a hold or a claim, and tell."""
        if self.ledger.release(execution):
            self._now.set()

    async def beat(self) -> None:
        """Send one heartbeat."""
        self.ledger.expire(self.clock.monotonic())
        self.next_tick()
        await self.bus.heartbeat(self.now())

    def now(self) -> Heartbeat:
        """Say what is free and what runs at this moment."""
        return Heartbeat(
            node_id=self.me,
            instance=self.instance,
            tick=self.tick,
            free=self.ledger.free,
            running=self.ledger.claimed,
            every=self.every,
        )

    async def run(self) -> None:
        """Beat for ever."""
        while True:
            self._now.clear()
            await self.beat()
            expiry = self.ledger.next_expiry()
            pause = (
                self.every if expiry is None else min(self.every, max(0.0, expiry - self.clock.monotonic()))
            )
            try:
                async with asyncio.timeout(pause):
                    await self._now.wait()
            except TimeoutError:
                continue
