"""Small hand-made surroundings for the logic of one role: a clock that jumps, and buses that remember."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any

from bacalhau_nats.domain.facts import Fact, Key, Record
from bacalhau_nats.domain.ids import ExecutionID, JobID, NodeID
from bacalhau_nats.domain.node import Heartbeat
from bacalhau_nats.errors import Unavailable
from bacalhau_nats.messages import Bid, Decline, Offer, Wanted, WhatShouldIDo
from tests.support.builders import NOW
from tests.support.loop import run_virtually
from tests.support.stream import MemoryRecords, Stream


def virtually(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """Run a test on a loop whose clock jumps: waiting costs no time."""

    @functools.wraps(test)
    def run(*args: Any, **kwargs: Any) -> None:
        run_virtually(test(*args, **kwargs))

    return run


async def breathe(times: int = 20) -> None:
    """Let everybody else go as far as they can without time passing."""
    for _ in range(times):
        await asyncio.sleep(0)


class LoopClock:
    """`ports.Clock` by the running loop; the loop begins at `NOW`."""

    def __init__(self) -> None:
        self._start = asyncio.get_running_loop().time()

    def now(self) -> float:
        return NOW + self.monotonic() - self._start

    def monotonic(self) -> float:
        return asyncio.get_running_loop().time()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


Answerer = Callable[[Offer], "Bid | Decline | None"]


@dataclass
class RequesterEar:
    """What a requester says; a node in ``answers`` answers offers after its delay in seconds."""

    offers: list[Offer] = field(default_factory=list)
    withdrawn: list[tuple[NodeID, ExecutionID]] = field(default_factory=list)
    nudges: list[tuple[JobID, int, str]] = field(default_factory=list)
    roll_calls: int = 0
    answers: dict[NodeID, tuple[float, Answerer]] = field(default_factory=dict)
    to: Callable[[Bid | Decline], None] = lambda _answer: None

    async def offer(self, node: NodeID, offer: Offer) -> None:
        if offer.withdrawn:
            self.withdrawn.append((node, offer.execution_id))
            return
        self.offers.append(offer)
        delay, answer = self.answers.get(node, (0.0, lambda _: None))
        said = answer(offer)
        if said is not None:
            asyncio.get_running_loop().call_later(delay, self.to, said)

    async def nudge(self, job: JobID, seq: int, cause: str) -> None:
        self.nudges.append((job, seq, cause))

    async def roll_call(self) -> None:
        self.roll_calls += 1

    def asked(self) -> list[NodeID]:
        """Name the nodes that were offered something, in order."""
        return [offer.node_id for offer in self.offers]


def bids(offer: Offer) -> Bid:
    """Say yes."""
    return Bid(bid_id=f"bid of {offer.node_id}", execution_id=offer.execution_id, node_id=offer.node_id)


def declines(reason: str = "is busy", *, never: bool = False) -> Answerer:
    """Say no."""

    def answer(offer: Offer) -> Decline:
        return Decline(execution_id=offer.execution_id, node_id=offer.node_id, reason=reason, never=never)

    return answer


@dataclass
class ComputeEar:
    """What a compute node says; ``wanted`` is what requesters answer (None: nobody answers)."""

    beats: list[Heartbeat] = field(default_factory=list)
    answers: list[tuple[str, Bid | Decline]] = field(default_factory=list)
    questions: list[WhatShouldIDo] = field(default_factory=list)
    wanted: Wanted | None = field(default_factory=Wanted)

    async def heartbeat(self, beat: Heartbeat) -> None:
        self.beats.append(beat)

    async def answer(self, requester: str, answer: Bid | Decline) -> None:
        self.answers.append((requester, answer))

    async def ask_wanted(self, question: WhatShouldIDo) -> Wanted:
        self.questions.append(question)
        if self.wanted is None:
            raise Unavailable("nobody answered")
        return self.wanted


class TroubledRecords(MemoryRecords):
    """Records that go wrong as told: each entry of ``trouble`` is for one write, in order.

    An error is raised before the write, or after it where it comes with ``stored``.
    """

    def __init__(self, stream: Stream) -> None:
        super().__init__(stream)
        self.trouble: list[tuple[Exception, bool] | None] = []
        self.reads_fail = 0
        self.before_write: Callable[[Key], None] = lambda _key: None

    async def _write(self, key: Key, record: Record, revision: int | None) -> int:
        self.before_write(key)
        trouble = self.trouble.pop(0) if self.trouble else None
        if trouble is None:
            return self.stream.write(key, record, revision)
        error, stored = trouble
        if stored:
            self.stream.write(key, record, revision)
        raise error

    async def create(self, key: Key, record: Record) -> int:
        return await self._write(key, record, 0)

    async def update(self, key: Key, record: Record, revision: int) -> int:
        return await self._write(key, record, revision)

    async def get(self, key: Key) -> Fact | None:
        if self.reads_fail:
            self.reads_fail -= 1
            raise Unavailable("cannot read")
        return await super().get(key)
