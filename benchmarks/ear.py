"""Hears facts: when a job starts to run, when it has ended. Listening costs the nodes next to nothing."""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import nats
from nats.aio.msg import Msg

from bacalhau_nats.messaging.subjects import CONCLUSION, OBSERVED, Cell
from benchmarks.stand import CELL


class Ear:
    """Times, by this process' clock, at which facts were heard, by job."""

    def __init__(self) -> None:
        self.running: dict[str, float] = {}
        self.ended: dict[str, float] = {}
        self.nodes: dict[str, list[str]] = {}  # where a job was seen running, in order
        self.states: Counter[str] = Counter()
        self._news = asyncio.Event()

    async def on_conclusion(self, message: Msg) -> None:
        """Note the end of a job; its id is in the subject, so that a thousand a second are cheap to hear."""
        self.ended.setdefault(message.subject.split(".")[4], time.perf_counter())
        self.states[json.loads(message.data).get("State", "Completed")] += 1
        self._news.set()

    async def on_observed(self, message: Msg) -> None:
        """Note the first sign of life of a job."""
        said: dict[str, Any] = json.loads(message.data)
        job, node = said["JobID"], said["NodeID"]
        self.running.setdefault(job, time.perf_counter())
        seen = self.nodes.setdefault(job, [])
        if said.get("State", "running") == "running" and node not in seen:
            seen.append(node)
        self._news.set()

    async def until_ended(self, job: str) -> float:
        """Wait for the end of a job; give its time."""
        while job not in self.ended:
            await self._next()
        return self.ended[job]

    async def until_count(self, count: int) -> None:
        """Wait until ``count`` jobs have ended."""
        while len(self.ended) < count:
            await self._next()

    async def until_on(self, job: str, nodes: int) -> str:
        """Wait until a job has run on so many different nodes; give the latest."""
        while len(self.nodes.get(job, ())) < nodes:
            await self._next()
        return self.nodes[job][-1]

    async def _next(self) -> None:
        self._news.clear()
        await self._news.wait()


@asynccontextmanager
async def listening(url: str, *, starts: bool = True) -> AsyncIterator[Ear]:
    """Hear conclusions, and with ``starts`` what nodes observe."""
    cell, ear = Cell(CELL), Ear()
    client = await nats.connect(url)
    try:
        await client.subscribe(cell.republished(CONCLUSION.any(cell=CELL)), cb=ear.on_conclusion)
        if starts:
            await client.subscribe(cell.republished(OBSERVED.any(cell=CELL)), cb=ear.on_observed)
        await client.flush()
        yield ear
    finally:
        await client.close()
