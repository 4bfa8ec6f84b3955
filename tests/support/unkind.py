"""What stands between the processes of a simulated world: life and death, messages, writes, nudges.

How unkind it is, `Trouble` says by chance; a test of one rule takes the dice away and decides itself, by
`World.fate` (of a write) and `World.drops` (a message).
"""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable, Coroutine, Iterable
from dataclasses import dataclass
from enum import Enum, auto
from typing import TYPE_CHECKING, Any

from bacalhau_nats.domain.facts import Fact, Key, Record
from bacalhau_nats.domain.ids import ExecutionID, JobID, NodeID
from bacalhau_nats.domain.node import Heartbeat
from bacalhau_nats.errors import BusTimeout, Unavailable
from bacalhau_nats.messages import Bid, Decline, Nudge, Offer, Wanted, WhatShouldIDo

if TYPE_CHECKING:
    from tests.support.world import World

PROCESS: contextvars.ContextVar[Process | None] = contextvars.ContextVar("process", default=None)


@dataclass
class Trouble:
    """How unkind the world is: probabilities and seconds."""

    loss: float = 0.02
    double: float = 0.02
    delay: float = 0.05
    late: float = 0.01  # chance of a very late message, or of a view that falls behind
    lateness: float = 3.0
    write_lost: float = 0.01  # not stored, no answer
    answer_lost: float = 0.01  # stored, no answer
    lag: float = 0.05
    crash_every: float = 25.0
    pause_every: float = 40.0
    pauses: tuple[float, ...] = (1.0, 10.0, 60.0)
    restart_bus_every: float = 60.0
    reject_every: float = 40.0
    fail: float = 0.05
    hopeless: float = 0.01


QUIET = Trouble(0, 0, 0.002, 0, 0, 0, 0, 0.002, 0, 0, (), 0, 0, 0, 0)


class Fate(Enum):
    """What becomes of a write and of its writer."""

    STORED = auto()
    LOST = auto()  # not stored, no answer
    UNANSWERED = auto()  # stored, no answer
    DIES_BEFORE = auto()  # the writer is killed, nothing is stored
    DIES_AFTER = auto()  # stored, and the writer is killed before it hears of it


class Process:
    """One life of a requester or a node: its tasks, and whether it is dead or stopped for a while."""

    def __init__(self, world: World, name: str, life: int) -> None:
        self.world, self.name, self.life = world, name, life
        self.instance = f"{name}#{life}"
        self.dead = False
        self.asleep_until = 0.0
        self.tasks: dict[asyncio.Task[Any], None] = {}  # in the order of their start: a seed is a seed

    def start(self, coroutine: Coroutine[Any, Any, Any], name: str) -> None:
        context = contextvars.copy_context()
        context.run(PROCESS.set, self)
        self.world.loop.create_task(coroutine, name=f"{self.instance} {name}", context=context)

    async def gate(self) -> None:
        """Pass a point where the outside is touched: not when dead, later when stopped."""
        while not self.dead and self.asleep_until > self.world.time():  # noqa: ASYNC110 - virtual time, not polling
            await asyncio.sleep(self.asleep_until - self.world.time())
        if self.dead:
            raise asyncio.CancelledError

    def stall(self, seconds: float) -> None:
        """Stop it, as SIGSTOP would."""
        self.asleep_until = self.world.time() + seconds

    def kill(self) -> None:
        self.dead = True
        for task in list(self.tasks):
            task.cancel()

    # the clock of this process (ports.Clock)
    def now(self) -> float:
        return self.world.now()

    def monotonic(self) -> float:
        return self.world.time()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
        await self.gate()


class Bus:
    """Everything one process says to others: a port of both roles, the records and the purger."""

    def __init__(self, process: Process) -> None:
        self.p, self.world = process, process.world

    def _send(self, message: object, deliver: Callable[[], Any]) -> None:
        self.world.carry(self.p, message, deliver)

    async def offer(self, node: NodeID, offer: Offer) -> None:
        await self.p.gate()
        self._send(offer, lambda: self.world.to_node(node, lambda n: n.agent.on_offer(offer)))

    async def nudge(self, job: JobID, seq: int, cause: str) -> None:
        await self.p.gate()
        nudge = Nudge(job_id=job, seq=seq, cause=cause)
        self._send(nudge, lambda: self.world.nudges.push(job, seq))

    async def roll_call(self) -> None:
        await self.p.gate()
        for node in self.world.nodes.values():
            self._send("roll call", lambda n=node: self.world.to_node(n.id, lambda x: x.agent.pulse.soon()))

    async def heartbeat(self, beat: Heartbeat) -> None:
        await self.p.gate()
        for requester in self.world.requesters.values():
            self._send(
                beat, lambda r=requester: self.world.to_requester(r.id, lambda x: x.desk.on_beat(beat))
            )

    async def answer(self, requester: str, answer: Bid | Decline) -> None:
        await self.p.gate()
        self._send(answer, lambda: self.world.to_requester(requester, lambda r: r.desk.on_answer(answer)))

    async def ask_wanted(self, question: WhatShouldIDo) -> Wanted:
        await self.p.gate()
        await self.world.transit()
        world = self.world
        alive = [r for r in world.requesters.values() if not r.process.dead]
        lost = world.rng.random() < world.trouble.loss or world.drops(question)
        if not alive or world.bus_down or lost:
            msg = "nobody answered"
            raise Unavailable(msg)
        requester = world.rng.choice(alive)
        asleep = requester.process.asleep_until - world.time()
        await asyncio.sleep(max(0.0, min(2.0, asleep)))
        if requester.process.dead or asleep > 2.0:
            msg = "no answer in time"
            raise Unavailable(msg)
        answer: Wanted = requester.desk.wanted(question)
        await world.transit()
        await self.p.gate()
        return answer

    # ports.Records
    async def _write(self, key: Key, record: Record | None, revision: int | None, remember: float = 0) -> int:
        world = self.world
        await self.p.gate()
        await world.transit()
        await self.p.gate()
        fate = Fate.LOST if world.bus_down else world.fate(self.p, key, record)
        if fate is Fate.DIES_BEFORE:
            self.p.kill()
        await self.p.gate()
        if fate is Fate.LOST:
            await self.p.sleep(2.0)
            msg = "not stored, no answer"
            raise BusTimeout(msg)
        seq = world.stream.write(key, record, revision)
        if record is None:
            world.loop.call_later(remember, world.stream.forget_tombstone, key)
        if fate is Fate.UNANSWERED:
            await self.p.sleep(2.0)
            msg = "stored, no answer"
            raise BusTimeout(msg)
        if fate is Fate.DIES_AFTER:
            self.p.kill()
        await self.p.gate()
        await world.transit()
        await self.p.gate()
        return seq

    async def create(self, key: Key, record: Record) -> int:
        return await self._write(key, record, 0)

    async def update(self, key: Key, record: Record, revision: int) -> int:
        return await self._write(key, record, revision)

    async def put(self, key: Key, record: Record) -> int:
        return await self._write(key, record, None)

    async def get(self, key: Key) -> Fact | None:
        await self.p.gate()
        await self.world.transit()
        return self.world.stream.last.get(key)

    async def last_seq(self) -> int:
        await self.p.gate()
        await self.world.transit()
        return self.world.stream.seq

    # requester.retention.Purger
    async def purge(self, key: Key, revision: int, *, remember: float) -> int:
        seq = await self._write(key, None, revision, remember)
        self.world.stream.forget_before(key, seq)
        return seq

    async def purge_rest(self, job: JobID, executions: Iterable[ExecutionID]) -> None:
        if self.world.dies_in_rest:
            self.world.dies_in_rest = False
            self.p.kill()
        await self.p.gate()
        await self.world.transit()
        await self.p.gate()
        if self.world.bus_down or self.world.rng.random() < self.world.trouble.write_lost:
            msg = "the purge was not answered"
            raise BusTimeout(msg)
        self.world.purged_rest(job, executions)


class NudgeQueue:
    """A memory work queue with one message per job; a fresh one replaces a timer."""

    ACK_WAIT = 15.0

    def __init__(self, world: World) -> None:
        self.world = world
        self.ready: dict[JobID, int] = {}
        self.waiting: dict[JobID, tuple[float, int]] = {}  # in flight or a timer: due again at
        self._takers: list[asyncio.Future[None]] = []
        self.pushed: list[tuple[float, JobID]] = []

    def push(self, job: JobID, seq: int) -> None:
        if self.world.bus_down:
            return
        self.pushed.append((self.world.time(), job))
        self.waiting.pop(job, None)
        self.ready[job] = max(seq, self.ready.get(job, 0)) if self.world.rng.random() < 0.5 else seq
        self.ring()

    def forget(self) -> None:
        self.ready.clear()
        self.waiting.clear()

    def ring(self) -> None:
        """Wake any one of those who wait for work."""
        if self._takers:
            chosen = self._takers.pop(self.world.rng.randrange(len(self._takers)))
            if chosen.done():
                self.ring()  # it was cancelled in this very moment
            else:
                chosen.set_result(None)

    def _wait(self, job: JobID, due: float, seq: int) -> tuple[float, int]:
        self.waiting[job] = mark = (due, seq)
        self.world.loop.call_at(due + 0.001, self.ring)
        return mark

    async def take(self) -> tuple[Nudge, tuple[float, int]]:
        while True:
            for job, (due, seq) in list(self.waiting.items()):
                if due <= self.world.time():
                    del self.waiting[job]
                    self.ready.setdefault(job, seq)
            if self.ready and not self.world.bus_down:
                job = next(iter(self.ready))
                seq = self.ready.pop(job)
                if self.ready:
                    self.ring()
                return Nudge(job_id=job, seq=seq), self._wait(job, self.world.time() + self.ACK_WAIT, seq)
            await self._turn()

    async def _turn(self) -> None:
        turn: asyncio.Future[None] = self.world.loop.create_future()
        self._takers.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn in self._takers:
                self._takers.remove(turn)
            elif not turn.cancelled():
                self.ring()  # it was our turn, and we died
            raise

    def done(self, job: JobID, mark: tuple[float, int], later: float | None) -> None:
        if self.waiting.get(job) != mark:
            return  # a fresh nudge came, or it was delivered again
        del self.waiting[job]
        if later is not None:
            self._wait(job, self.world.time() + later, mark[1])
