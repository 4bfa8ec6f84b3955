"""A seeded, unkind world in which the real logic of the roles runs.

Messages are late, lost and doubled; each requester's view lags on its own; answers to writes are lost
after the write was stored; the bus restarts and forgets its nudges and timers; a process stalls for a
minute, is killed at any await and comes back as another instance, while its containers run on.

What is simulated is the protocol, not the broker: `Stream` is the state stream, `Network` the core
messages, `NudgeQueue` the work queue. All trouble comes from one `random.Random(seed)`.
"""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from random import Random
from typing import Any

from bacalhau_nats.compute.agent import Agent, Step
from bacalhau_nats.compute.bidder import Bidder
from bacalhau_nats.compute.capacity import Ledger
from bacalhau_nats.compute.pulse import Pulse
from bacalhau_nats.compute.reports import Reporter
from bacalhau_nats.domain.execution import Desired, ExecutionState, Observed, Reason, RunOutput
from bacalhau_nats.domain.facts import Fact, Key, Kind, Record, report_key, spec_key
from bacalhau_nats.domain.ids import ExecutionID, JobID, NodeID
from bacalhau_nats.domain.node import Heartbeat, NodeReport
from bacalhau_nats.domain.resources import Resources
from bacalhau_nats.domain.retry import RetryPolicy
from bacalhau_nats.domain.roster import Roster
from bacalhau_nats.domain.scheduling.plan import Policy
from bacalhau_nats.domain.spec import JobSpec
from bacalhau_nats.domain.view import View
from bacalhau_nats.errors import BusTimeout, Unavailable
from bacalhau_nats.messages import Bid, Decline, Nudge, Offer, Wanted, WhatShouldIDo
from bacalhau_nats.requester.desk import Desk, DeskSettings
from tests.support.stream import Stream

_PROCESS: contextvars.ContextVar[Process | None] = contextvars.ContextVar("process", default=None)


@dataclass
class Trouble:
    """How unkind the world is: probabilities and seconds."""

    loss: float = 0.02
    double: float = 0.02
    delay: float = 0.05
    late: float = 0.01  # chance of a very late message
    lateness: float = 3.0
    write_lost: float = 0.01  # not stored, no answer
    answer_lost: float = 0.01  # stored, no answer
    lag: float = 0.05
    crash_every: float = 25.0
    pause_every: float = 40.0
    restart_bus_every: float = 60.0
    fail: float = 0.05
    hopeless: float = 0.01


QUIET = Trouble(0, 0, 0.002, 0, 0, 0, 0, 0.002, 0, 0, 0, 0, 0)


class Process:
    """One life of a requester or a node: its tasks, and whether it is dead or stopped for a while."""

    def __init__(self, world: World, name: str, life: int) -> None:
        self.world, self.name, self.life = world, name, life
        self.instance = f"{name}#{life}"
        self.dead = False
        self.asleep_until = 0.0
        self.tasks: set[asyncio.Task[Any]] = set()

    def start(self, coroutine: Coroutine[Any, Any, Any], name: str) -> None:
        context = contextvars.copy_context()
        context.run(_PROCESS.set, self)
        self.world.loop.create_task(coroutine, name=f"{self.instance} {name}", context=context)

    async def gate(self) -> None:
        """Pass a point where the outside is touched: not when dead, later when stopped."""
        while not self.dead and self.asleep_until > self.world.time():  # noqa: ASYNC110 - virtual time, not polling
            await asyncio.sleep(self.asleep_until - self.world.time())
        if self.dead:
            raise asyncio.CancelledError

    def kill(self) -> None:
        self.dead = True
        for task in list(self.tasks):
            task.cancel()

    # the clock of this process (ports.Clock)
    def now(self) -> float:
        return self.world.time() + 1_700_000_000

    def monotonic(self) -> float:
        return self.world.time()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
        await self.gate()


class Bus:
    """Everything one process says to others; a port of both roles and the records."""

    def __init__(self, process: Process) -> None:
        self.p, self.world = process, process.world

    def _send(self, deliver: Callable[[], Any]) -> None:
        self.world.carry(self.p, deliver)

    async def offer(self, node: NodeID, offer: Offer) -> None:
        await self.p.gate()
        self._send(lambda: self.world.to_node(node, lambda n: n.agent.on_offer(offer)))

    async def nudge(self, job: JobID, seq: int, cause: str) -> None:
        await self.p.gate()
        self._send(lambda: self.world.nudges.push(job, seq))

    async def roll_call(self) -> None:
        await self.p.gate()
        for node in self.world.nodes.values():
            self._send(lambda n=node: self.world.to_node(n.id, lambda x: x.agent.pulse.soon()))

    async def heartbeat(self, beat: Heartbeat) -> None:
        await self.p.gate()
        for requester in self.world.requesters.values():
            self._send(lambda r=requester: self.world.to_requester(r.id, lambda x: x.desk.on_beat(beat)))

    async def answer(self, requester: str, answer: Bid | Decline) -> None:
        await self.p.gate()
        self._send(lambda: self.world.to_requester(requester, lambda r: r.desk.on_answer(answer)))

    async def ask_wanted(self, question: WhatShouldIDo) -> Wanted:
        await self.p.gate()
        await self.world.transit()
        alive = [r for r in self.world.requesters.values() if r.process and not r.process.dead]
        if not alive or self.world.bus_down or self.world.rng.random() < self.world.trouble.loss:
            msg = "nobody answered"
            raise Unavailable(msg)
        requester = self.world.rng.choice(alive)
        asleep = requester.process.asleep_until - self.world.time()
        await asyncio.sleep(max(0.0, min(2.0, asleep)))
        if requester.process.dead or asleep > 2.0:
            msg = "no answer in time"
            raise Unavailable(msg)
        answer = requester.desk.wanted(question)
        await self.world.transit()
        await self.p.gate()
        return answer

    # ports.Records
    async def _write(self, key: Key, record: Record, revision: int | None) -> int:
        world, rng = self.world, self.world.rng
        await self.p.gate()
        await world.transit()
        await self.p.gate()
        if world.bus_down or rng.random() < world.trouble.write_lost:
            await self.p.sleep(2.0)
            msg = "not stored, no answer"
            raise BusTimeout(msg)
        seq = world.stream.write(key, record, revision)
        if rng.random() < world.trouble.answer_lost:
            await self.p.sleep(2.0)
            msg = "stored, no answer"
            raise BusTimeout(msg)
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


class NudgeQueue:
    """A memory work queue with one message per job; a fresh one replaces a timer."""

    ACK_WAIT = 15.0

    def __init__(self, world: World) -> None:
        self.world = world
        self.ready: dict[JobID, int] = {}
        self.waiting: dict[JobID, tuple[float, int]] = {}  # in flight or a timer: due again at
        self.some = asyncio.Event()

    def push(self, job: JobID, seq: int) -> None:
        if self.world.bus_down:
            return
        self.waiting.pop(job, None)
        self.ready[job] = max(seq, self.ready.get(job, 0)) if self.world.rng.random() < 0.5 else seq
        self.some.set()

    def forget(self) -> None:
        self.ready.clear()
        self.waiting.clear()

    async def take(self) -> tuple[Nudge, tuple[float, int]]:
        while True:
            for job, (due, seq) in list(self.waiting.items()):
                if due <= self.world.time():
                    del self.waiting[job]
                    self.ready.setdefault(job, seq)
            if self.ready and not self.world.bus_down:
                job = next(iter(self.ready))
                seq = self.ready.pop(job)
                mark = (self.world.time() + self.ACK_WAIT, seq)
                self.waiting[job] = mark
                return Nudge(job_id=job, seq=seq), mark
            self.some.clear()
            try:
                async with asyncio.timeout(0.5):
                    await self.some.wait()
            except TimeoutError:
                continue

    def done(self, job: JobID, mark: tuple[float, int], later: float | None) -> None:
        if self.waiting.get(job) != mark:
            return  # a fresh nudge came, or it was delivered again
        del self.waiting[job]
        if later is not None:
            self.waiting[job] = (self.world.time() + later, mark[1])


class Requester:
    """A requester across its lives; `begin` is what `requester/service.py` does with a real bus."""

    def __init__(self, world: World, name: str) -> None:
        self.world, self.id, self.life = world, NodeID(name), 0
        self.process: Process = Process(world, name, 0)
        self.desk: Desk
        self.view = View()

    def begin(self) -> None:
        self.life += 1
        self.process = p = Process(self.world, self.id, self.life)
        self.view = View()
        self._moved = asyncio.Event()
        bus = Bus(p)
        self.desk = Desk(
            self.id,
            p.instance,
            view=self.view,
            sight=self,
            roster=Roster(window=self.world.window),
            records=bus,
            bus=bus,
            clock=p,
            settings=DeskSettings(policy=self.world.policy, sweep_every=30.0),
        )
        p.start(self._follow(p), "follow")
        p.start(self._serve(p), "serve")

    async def reached(self, seq: int, within: float) -> bool:
        try:
            async with asyncio.timeout(within):
                while self.view.seq < seq:
                    self._moved.clear()
                    await self._moved.wait()
        except TimeoutError:
            return False
        return True

    async def _follow(self, p: Process) -> None:
        while True:
            facts = self.world.stream.facts
            while self.view.seq < len(facts) and not self.world.bus_down:
                fact = facts[self.view.seq]
                self.desk.on_fact(fact, self.view.apply(fact))
                self._moved.set()
            await p.sleep(self.world.rng.uniform(0.001, self.world.trouble.lag * 2 + 0.001))

    async def _serve(self, p: Process) -> None:
        await self.reached(self.world.stream.seq, 60)
        await self.desk.awake()
        p.start(self.desk.pump(), "pump")
        for n in range(4):
            p.start(self._take(p), f"take {n}")
        while True:
            await p.sleep(1.0)
            await self.desk.tick()

    async def _take(self, p: Process) -> None:
        while True:
            nudge, mark = await self.world.nudges.take()
            await p.gate()
            again = await self.desk.on_nudge(nudge)
            await p.gate()
            self.world.nudges.done(nudge.job_id, mark, again)


class Node:
    """A compute node across its lives."""

    def __init__(self, world: World, name: str, capacity: Resources) -> None:
        self.world, self.id, self.life = world, NodeID(name), 0
        self.capacity = capacity
        self.process: Process = Process(world, name, 0)
        self.agent: Agent

    def begin(self) -> None:
        self.life += 1
        self.process = p = Process(self.world, self.id, self.life)
        bus = Bus(p)
        ledger = Ledger(self.capacity)
        report = NodeReport(node_id=self.id, instance=p.instance, engines=("noop",), capacity=self.capacity)
        self.agent = Agent(
            bus=bus,
            reporter=Reporter(self.id, p.instance, bus, p),
            pulse=Pulse(self.id, p.instance, ledger, bus, p),
            runner=Work(self.world, self.id, p),
            ledger=ledger,
            bidder=Bidder(self.id, ledger, lambda: report),
        )
        p.start(self._serve(p, bus, report), "serve")

    async def _serve(self, p: Process, bus: Bus, report: NodeReport) -> None:
        while True:
            try:
                await bus.put(report_key(self.id), report)
                break
            except BusTimeout:
                continue
        p.start(self.agent.pulse.run(), "beats")
        ask = self.agent.settle_in
        while True:
            try:
                await ask()
                ask = self.agent.catch_up
            except Unavailable:
                pass
            await p.sleep(5.0)


class Work:
    """The runner: leaves a mark outside for each start, takes its time, and may go wrong."""

    def __init__(self, world: World, node: NodeID, process: Process) -> None:
        self.world, self.node, self.p = world, node, process

    async def run(self, desired: Desired, step: Step) -> Observed:
        await self.p.gate()
        world, rng = self.world, self.world.rng
        world.starts.setdefault(desired.execution_id, []).append(self.node)
        endless = desired.job is not None and desired.job.type.endless
        takes = 1e6 if endless and rng.random() < 0.8 else rng.choice((0.01, 0.5, 3.0, 10.0))
        if rng.random() < 0.5:
            world.containers[desired.execution_id] = (self.node, world.time() + takes)
        try:
            await self.p.sleep(takes)
            if rng.random() < 0.3:
                await step(ExecutionState.PUBLISHING)
        except asyncio.CancelledError:
            if not self.p.dead:
                world.containers.pop(desired.execution_id, None)
            raise
        world.containers.pop(desired.execution_id, None)
        return self._ended(desired)

    async def attach(self, desired: Desired, step: Step) -> Observed | None:
        await self.p.gate()
        found = self.world.containers.get(desired.execution_id)
        if found is None:
            return None
        try:
            await self.p.sleep(max(0.0, found[1] - self.world.time()))
        except asyncio.CancelledError:
            if not self.p.dead:
                self.world.containers.pop(desired.execution_id, None)
            raise
        self.world.containers.pop(desired.execution_id, None)
        return self._ended(desired)

    async def sweep(self, keep: list[ExecutionID]) -> None:
        await self.p.gate()
        for execution, (node, _) in list(self.world.containers.items()):
            if node == self.node and execution not in keep:
                del self.world.containers[execution]

    def _ended(self, desired: Desired) -> Observed:
        rng, trouble = self.world.rng, self.world.trouble
        seen = Observed(
            state=ExecutionState.RUNNING,
            execution_id=desired.execution_id, job_id=desired.job_id, node_id=self.node, instance=self.p.instance,
            nonce=f"{self.p.instance}-{rng.random()}",
        )  # fmt: skip
        if rng.random() < trouble.hopeless:
            return seen.but(state=ExecutionState.FAILED, reason=Reason.INVALID, message="cannot ever work")
        if rng.random() < trouble.fail:
            return seen.but(
                state=ExecutionState.FAILED, reason=Reason.ENGINE, message="did not work", retryable=True
            )
        return seen.but(state=ExecutionState.COMPLETED, output=RunOutput(stdout="done"))


@dataclass
class World:
    """One run. `live` starts the processes, `settle` ends all trouble and waits for peace."""

    seed: int
    trouble: Trouble = field(default_factory=Trouble)
    window: float = 15.0
    policy: Policy = field(default_factory=lambda: Policy(RetryPolicy(max_attempts=4, max_losses=200)))

    def __post_init__(self) -> None:
        self.rng = Random(self.seed)
        self.loop = asyncio.get_running_loop()
        self.loop.set_task_factory(self._own)
        self.stream = Stream(lambda: self.time() + 1_700_000_000)
        self.stream.listeners.append(self._announce)
        self.nudges = NudgeQueue(self)
        self.requesters: dict[str, Requester] = {}
        self.nodes: dict[str, Node] = {}
        self.starts: dict[ExecutionID, list[NodeID]] = {}
        self.containers: dict[ExecutionID, tuple[NodeID, float]] = {}
        self.bus_down = False
        self.crashes: list[BaseException] = []

    def time(self) -> float:
        return self.loop.time()

    def _own(self, loop: Any, coroutine: Any, **kwargs: Any) -> asyncio.Task[Any]:
        task = asyncio.Task(coroutine, loop=loop, **kwargs)
        context = kwargs.get("context")
        process = context.get(_PROCESS) if context is not None else _PROCESS.get()
        if process is not None:
            process.tasks.add(task)
        task.add_done_callback(lambda t: self._ended(t, process))
        return task

    def _ended(self, task: asyncio.Task[Any], process: Process | None) -> None:
        if process is not None:
            process.tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if (
            error is not None
            and process is not None
            and not process.dead
            and not isinstance(error, BusTimeout)
        ):
            self.crashes.append(error)

    # --- messages -------------------------------------------------------------------------------------

    async def transit(self) -> None:
        await asyncio.sleep(self.rng.uniform(0.0005, self.trouble.delay + 0.001))

    def carry(self, sender: Process, deliver: Callable[[], Any]) -> None:
        """Take a core message along: perhaps lost, doubled or late."""
        if sender.dead or self.bus_down:
            return
        for copy in range(2):
            lost = (
                self.rng.random() < self.trouble.loss
                if copy == 0
                else self.rng.random() >= self.trouble.double
            )
            if lost:
                continue
            late = self.trouble.lateness if self.rng.random() < self.trouble.late else 0.0
            self.loop.call_later(
                self.rng.uniform(0.0005, self.trouble.delay + 0.001) + late * self.rng.random(), deliver
            )

    def to_node(self, node: str, handle: Callable[[Node], Any]) -> None:
        self._arrive(self.nodes.get(node), handle)

    def to_requester(self, requester: str, handle: Callable[[Requester], Any]) -> None:
        self._arrive(self.requesters.get(requester), handle)

    def _arrive(self, who: Any, handle: Callable[[Any], Any]) -> None:
        if who is None or who.process.dead or self.bus_down:
            return
        process = who.process

        async def handled() -> None:
            await process.gate()
            result = handle(who)
            if asyncio.iscoroutine(result):
                await result

        process.start(handled(), "message")

    def _announce(self, fact: Fact) -> None:
        """Republish: the node that a desired record names may hear of it."""
        if fact.key.kind is Kind.DESIRED:
            record = fact.record

            def deliver() -> None:
                self.to_node(fact.key.part, lambda n: n.agent.on_desired(record, fact.seq))

            everybody = Process(self, "stream", 0)
            self.carry(everybody, deliver)

    # --- life -----------------------------------------------------------------------------------------

    def populate(self, requesters: int, nodes: int, cpu: int = 2000) -> None:
        for n in range(requesters):
            self.requesters[f"r{n}"] = Requester(self, f"r{n}")
        for n in range(nodes):
            self.nodes[f"n{n}"] = Node(self, f"n{n}", Resources(milli_cpu=cpu, memory=10**9))
        for who in (*self.requesters.values(), *self.nodes.values()):
            who.begin()

    async def submit(self, spec: JobSpec) -> None:
        """What a gateway does: store the wish (until it is stored), then nudge (which may be lost)."""
        seq = self.stream.write(spec_key(spec.id), spec, 0)
        if self.rng.random() >= self.trouble.loss:
            self.nudges.push(spec.id, seq)
        await self.transit()

    async def change(self, job: str, change: Callable[[JobSpec], JobSpec]) -> None:
        """Write the next revision of a wish: an update, or a stop."""
        fact = self.stream.last[spec_key(job)]
        assert isinstance(fact.record, JobSpec)
        seq = self.stream.write(spec_key(job), change(fact.record), fact.seq)
        if self.rng.random() >= self.trouble.loss:
            self.nudges.push(JobID(job), seq)
        await self.transit()

    async def misfortune(self, duration: float) -> None:
        """Crash, stop and restart things for a while."""
        until = self.time() + duration
        everybody = [*self.requesters.values(), *self.nodes.values()]
        while self.time() < until:
            await asyncio.sleep(self.rng.uniform(0.1, 4.0))
            who = self.rng.choice(everybody)
            dice = self.rng.random() * 4.0
            if self.trouble.crash_every and dice < 4.0 / self.trouble.crash_every * 2:
                who.process.kill()
                await asyncio.sleep(self.rng.choice((0.05, 2.0, 20.0)))
                who.begin()
            elif self.trouble.pause_every and dice < 1.0:
                who.process.asleep_until = self.time() + self.rng.choice((1.0, 10.0, 60.0))
            elif self.trouble.restart_bus_every and dice < 1.3:
                await self._restart_bus()

    async def _restart_bus(self) -> None:
        self.bus_down = True
        await asyncio.sleep(self.rng.choice((0.2, 3.0)))
        self.nudges.forget()
        self.bus_down = False
        for requester in self.requesters.values():
            if not requester.process.dead:
                requester.process.start(requester.desk.awake(), "reconnected")

    async def settle(self, within: float, quiet: Callable[[View], bool]) -> View:
        """End all trouble, let everybody live, and wait until the fold of the stream is as wanted."""
        self.trouble = QUIET
        for who in (*self.requesters.values(), *self.nodes.values()):
            who.process.asleep_until = 0.0
            if who.process.dead:
                who.begin()
        deadline = self.time() + within
        view = View()
        while True:
            for fact in self.stream.facts[view.seq :]:
                view.apply(fact)
            if quiet(view) and not self._strays(view):
                return view
            assert self.time() < deadline, (
                f"seed {self.seed}: no peace after {within} s: {self.restless(view)}"
            )
            await asyncio.sleep(1.0)

    def _strays(self, view: View) -> list[ExecutionID]:
        """Give the containers that nobody wants."""
        wanted = {e.id for n in self.nodes.values() for e in view.wanted_of(n.id)}
        return [e for e in self.containers if e not in wanted]

    def restless(self, view: View) -> str:
        """Describe what keeps the world from peace."""
        lines = [f"containers {self.containers}"]
        lines += [
            f"{who.process.instance}: {sorted(t.get_name() for t in who.process.tasks)}"
            for who in (*self.requesters.values(), *self.nodes.values())
        ]
        for job in view.unfinished.values():
            if not job.settled:
                what = [
                    (e.id[:6], e.node_id, e.version, e.state.value, e.wish.value, e.desired.partition)
                    for e in job.executions.values()
                ]
                lines.append(
                    f"{job.id} {job.spec.type.value} v{job.spec.version} x{job.spec.count} {job.state} stop={job.spec.stop} {what[-8:]}"
                )
        return "\n".join(lines)

    def end(self) -> None:
        for who in (*self.requesters.values(), *self.nodes.values()):
            who.process.kill()
