"""What the fault run does to the processes: each fault once in turn, or a storm of them."""

from __future__ import annotations

import asyncio
import random
import signal
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from bacalhau_nats.testing.server import NatsServer
from tests.support.nodes import NodeProcess

SERVER_AFTER = {2: True, 7: False}
"""After which fault the server is restarted, and whether by kill -9."""


@dataclass(frozen=True, slots=True)
class Trouble:
    """Seconds throughout; ``window`` is the silence after which a node counts as lost."""

    nodes: Mapping[str, NodeProcess]
    server: NatsServer
    seed: int
    window: float
    pause: float
    tell: Callable[[str], None]

    async def in_turn(self) -> None:
        """Kill each process, stop each for ``pause``, restart the server twice; in a drawn order."""
        dice = random.Random(self.seed)
        faults = [(fault, name) for fault in (self._kill, self._stop) for name in self.nodes]
        dice.shuffle(faults)
        for number, (fault, name) in enumerate(faults):
            # Every other time a killed node is away for longer than the window, so that it counts as lost.
            away = self.pause if fault == self._stop else dice.choice((0.3, self.window + 2))
            await fault(name, away)
            if number in SERVER_AFTER:
                await self._restart_server(kill=SERVER_AFTER[number])
            await asyncio.sleep(dice.uniform(0.5, 2))

    async def storm(self, seconds: float) -> None:
        """Do all of it at once: every process and the server have troubles of their own."""
        end = time.monotonic() + seconds
        async with asyncio.TaskGroup() as group:
            for name in (*self.nodes, ""):
                group.create_task(self._trouble(name, end, random.Random(f"{self.seed} {name}")))

    async def _trouble(self, name: str, end: float, dice: random.Random) -> None:
        while time.monotonic() < end:
            await asyncio.sleep(dice.uniform(1, 8))
            kill = dice.random() < 0.7
            if not name:
                await self._restart_server(kill=kill)
            elif kill:
                await self._kill(name, dice.choice((0, 0.5, 3)))
            else:
                await self._stop(name, dice.uniform(0.1, self.pause))

    async def _kill(self, name: str, away: float) -> None:
        self.tell(f"kill -9 {name}, back after {away:g} s")
        await self.nodes[name].kill()
        await asyncio.sleep(away)
        for last in (False, False, True):
            try:
                await self.nodes[name].start()
            except AssertionError:  # in a storm the server may be away just now
                if last:
                    raise
                await self.nodes[name].kill()
            else:
                return

    async def _stop(self, name: str, away: float) -> None:
        self.tell(f"stop {name} for {away:.1f} s")
        self.nodes[name].signal(signal.SIGSTOP)
        await asyncio.sleep(away)
        self.nodes[name].signal(signal.SIGCONT)

    async def _restart_server(self, *, kill: bool) -> None:
        self.tell(f"restart nats-server{' with kill -9' if kill else ''}")
        await self.server.restart(kill=kill)
