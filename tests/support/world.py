"""A seeded, unkind world in which the real logic of the roles runs.

Messages are late, lost and doubled; each requester's view lags on its own; answers to writes are lost
after the write was stored; the bus restarts and forgets its nudges and timers; a process stalls for a
minute, is killed at any await and comes back as another instance, while its containers run on; nodes are
rejected or drained and welcome again; finished jobs are purged.

What is simulated is the protocol, not the broker: `Stream` is the state stream, `Bus` the core messages,
`NudgeQueue` the work queue. All trouble comes from one `random.Random(seed)`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from random import Random
from typing import Any

from bacalhau_nats.compute.agent import Agent, Step
from bacalhau_nats.compute.bidder import Bidder
from bacalhau_nats.compute.capacity import Ledger
from bacalhau_nats.compute.pulse import Pulse
from bacalhau_nats.compute.reports import Reporter
from bacalhau_nats.domain.execution import Desired, ExecutionState, Observed, Reason, RunOutput
from bacalhau_nats.domain.facts import Fact, Key, Kind, Record, membership_key, report_key, spec_key
from bacalhau_nats.domain.ids import ExecutionID, JobID, NodeID
from bacalhau_nats.domain.node import Approval, Membership, NodeReport, Scheduling
from bacalhau_nats.domain.resources import Resources
from bacalhau_nats.domain.retry import RetryPolicy
from bacalhau_nats.domain.roster import Roster
from bacalhau_nats.domain.scheduling.plan import Policy
from bacalhau_nats.domain.spec import JobSpec
from bacalhau_nats.domain.view import View
from bacalhau_nats.errors import BusTimeout, Unavailable
from bacalhau_nats.requester.desk import Desk, DeskSettings
from bacalhau_nats.requester.retention import Retention
from tests.support.stream import Stream
from tests.support.unkind import PROCESS, QUIET, Bus, Fate, NudgeQueue, Process, Trouble

EPOCH = 1_700_000_000
_UNKIND = (
    Membership(approval=Approval.REJECTED),
    Membership(scheduling=Scheduling.CORDONED),
    Membership(scheduling=Scheduling.DRAINING),
)


class NoObjects:
    """An object store that holds nothing."""

    async def ages(self) -> dict[str, float]:
        return {}

    async def delete(self, name: str) -> None:
        """Forget what is not there."""


class Requester:
    """A requester across its lives; `begin` is what `requester/service.py` does with a real bus."""

    def __init__(self, world: World, name: str) -> None:
        self.world, self.id, self.life = world, NodeID(name), 0
        self.process: Process = Process(world, name, 0)
        self.desk: Desk
        self.retention: Retention
        self.view = View()
        self.blind = False  # its view follows nothing
        self.at = 0  # how far it has followed
        self.news = asyncio.Event()

    def begin(self) -> None:
        self.life += 1
        self.process = p = Process(self.world, self.id, self.life)
        self.view, self.at = View(), 0
        self.news, self._moved = asyncio.Event(), asyncio.Event()
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
            settings=DeskSettings(policy=self.world.policy, sweep_every=self.world.sweep_every),
        )
        self.retention = Retention(self.view, bus, NoObjects(), NoObjects(), p, self.world.keep)
        p.start(self._follow(p), "follow")
        p.start(self._serve(p), "serve")

    async def reached(self, seq: int, within: float) -> bool:
        if self.at >= seq:
            return True
        try:
            async with asyncio.timeout(within):
                while self.at < seq:
                    self._moved.clear()
                    await self._moved.wait()
        except TimeoutError:
            return False
        return True

    async def _follow(self, p: Process) -> None:
        while True:
            self.news.clear()
            if not (self.world.bus_down or self.blind):
                for fact in self.world.stream.after(self.at):
                    self.desk.on_fact(fact, self.view.apply(fact))
                self.at = self.world.stream.seq
                self._moved.set()
            await self.news.wait()
            await p.sleep(self.world.lag())

    async def _serve(self, p: Process) -> None:
        await self.reached(self.world.stream.seq, 60)
        await self.desk.awake()
        p.start(self.desk.pump(), "pump")
        p.start(self.retention.run(), "retention")
        for n in range(4):
            p.start(self._take(p), f"take {n}")
        while True:
            await p.sleep(1.0)
            self.view.tidy()
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

    def kill(self) -> None:
        """Kill it; its reaper outlives it, and removes its containers unless it comes back in time."""
        self.process.kill()
        life = self.life

        def reap() -> None:
            if self.life == life:
                for execution, (node, _) in list(self.world.containers.items()):
                    if node == self.id:
                        del self.world.containers[execution]

        self.world.loop.call_later(self.world.window, reap)

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
        takes, outlives = world.takes(desired)
        if outlives:
            world.containers[desired.execution_id] = (self.node, world.time() + takes)
        try:
            await self.p.sleep(takes)
            if rng.random() < 0.3:
                await step(ExecutionState.PUBLISHING)
        except asyncio.CancelledError:
            self._remove(desired)
            raise
        self._remove(desired)
        return self._ended(desired)

    async def attach(self, desired: Desired, step: Step) -> Observed | None:
        await self.p.gate()
        found = self.world.containers.get(desired.execution_id)
        if found is None:
            return None
        try:
            await self.p.sleep(max(0.0, found[1] - self.world.time()))
            if self.world.rng.random() < 0.3:
                await step(ExecutionState.PUBLISHING)
        finally:
            self._remove(desired)
        return self._ended(desired)

    async def sweep(self, keep: list[ExecutionID]) -> None:
        await self.p.gate()
        for execution, (node, _) in list(self.world.containers.items()):
            if node == self.node and execution not in keep:
                del self.world.containers[execution]

    def _remove(self, desired: Desired) -> None:
        if not self.p.dead:
            self.world.containers.pop(desired.execution_id, None)

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
    """One run. `populate` starts the processes, `settle` ends all trouble and waits for peace.

    ``keep``: seconds that finished jobs are kept, 0 for ever. ``drops`` may lose a message, and is given it.
    """

    seed: int
    trouble: Trouble = field(default_factory=Trouble)
    window: float = 15.0
    sweep_every: float = 30.0
    keep: float = 0.0
    policy: Policy = field(default_factory=lambda: Policy(RetryPolicy(max_attempts=4, max_losses=200)))
    drops: Callable[[object], bool] = lambda _: False
    dies_in_rest: bool = False  # the next requester that purges is killed after the tombstone

    def __post_init__(self) -> None:
        self.rng = Random(self.seed)
        self.loop = asyncio.get_running_loop()
        self.loop.set_task_factory(self._own)
        self.stream = Stream(self.now)
        self.stream.listeners.append(self._announce)
        self.nudges = NudgeQueue(self)
        self.requesters: dict[str, Requester] = {}
        self.nodes: dict[str, Node] = {}
        self.starts: dict[ExecutionID, list[NodeID]] = {}
        self.containers: dict[ExecutionID, tuple[NodeID, float]] = {}
        self.bus_down = False
        self.crashes: list[BaseException] = []
        self.on_purge: list[Callable[[JobID, Iterable[ExecutionID]], None]] = []

    def time(self) -> float:
        return self.loop.time()

    def now(self) -> float:
        return self.time() + EPOCH

    def _own(self, loop: Any, coroutine: Any, **kwargs: Any) -> asyncio.Task[Any]:
        task = asyncio.Task(coroutine, loop=loop, **kwargs)
        context = kwargs.get("context")
        process = context.get(PROCESS) if context is not None else PROCESS.get()
        if process is not None:
            process.tasks[task] = None
        task.add_done_callback(lambda t: self._ended(t, process))
        return task

    def _ended(self, task: asyncio.Task[Any], process: Process | None) -> None:
        if process is not None:
            process.tasks.pop(task, None)
        error = None if task.cancelled() else task.exception()
        if error is not None and process is not None and not process.dead:
            self.crashes.append(error)

    # --- chance ---------------------------------------------------------------------------------------

    def fate(self, process: Process, key: Key, record: Record | None) -> Fate:
        """Decide what becomes of a write; a test may put its own function here."""
        dice = self.rng.random()
        if dice < self.trouble.write_lost:
            return Fate.LOST
        return Fate.UNANSWERED if dice < self.trouble.write_lost + self.trouble.answer_lost else Fate.STORED

    def takes(self, desired: Desired) -> tuple[float, bool]:
        """Decide how many seconds an execution takes, and whether its work outlives its node's process."""
        endless = desired.job is not None and desired.job.type.endless
        seconds = 1e6 if endless and self.rng.random() < 0.8 else self.rng.choice((0.01, 0.5, 3.0, 10.0))
        return seconds, self.rng.random() < 0.5

    def lag(self) -> float:
        """Decide after how many seconds a view follows what is new."""
        late = self.trouble.lateness if self.rng.random() < self.trouble.late else 0.0
        return self.rng.uniform(0.001, self.trouble.lag * 2 + 0.001) + late * self.rng.random()

    # --- messages -------------------------------------------------------------------------------------

    async def transit(self) -> None:
        await asyncio.sleep(self.rng.uniform(0.0005, self.trouble.delay + 0.001))

    def carry(self, sender: Process | None, message: object, deliver: Callable[[], Any]) -> None:
        """Take a core message along: perhaps lost, doubled or late. The stream itself has no sender."""
        if (sender is not None and sender.dead) or self.bus_down or self.drops(message):
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
        """Republish: views follow, and the node that a desired record names may hear of it."""
        for requester in self.requesters.values():
            requester.news.set()
        if fact.key.kind is Kind.DESIRED:
            record = fact.record
            self.carry(
                None,
                record,
                lambda: self.to_node(fact.key.part, lambda n: n.agent.on_desired(record, fact.seq)),
            )

    def purged_rest(self, job: JobID, executions: Iterable[ExecutionID]) -> None:
        """Remove what belonged to a purged job."""
        self.stream.purge_rest(job, executions)
        for listener in self.on_purge:
            listener(job, executions)

    # --- what gateways do -----------------------------------------------------------------------------

    async def submit(self, spec: JobSpec) -> None:
        """Store the wish (until it is stored), then nudge (which may be lost)."""
        self._write_spec(spec, 0)
        await self.transit()

    async def change(self, job: str, change: Callable[[JobSpec], JobSpec]) -> None:
        """Write the next revision of a wish: an update, or a stop. Nothing happens to a purged job."""
        fact = self.stream.last.get(spec_key(job))
        if fact is not None and isinstance(fact.record, JobSpec):
            self._write_spec(change(fact.record), fact.seq)
            await self.transit()

    def _write_spec(self, spec: JobSpec, revision: int) -> None:
        seq = self.stream.write(spec_key(spec.id), spec, revision)
        if self.rng.random() >= self.trouble.loss and not self.drops("gateway's nudge"):
            self.nudges.push(spec.id, seq)

    def decide(self, node: str, decision: Membership) -> None:
        """Decide about a node."""
        self.stream.write(membership_key(node), decision.but(node_id=NodeID(node)), None)

    # --- life -----------------------------------------------------------------------------------------

    def populate(self, requesters: int, nodes: int, cpu: int = 2000) -> None:
        for n in range(requesters):
            self.requesters[f"r{n}"] = Requester(self, f"r{n}")
        for n in range(nodes):
            self.nodes[f"n{n}"] = Node(self, f"n{n}", Resources(milli_cpu=cpu, memory=10**9))
        for who in self.everybody():
            who.begin()

    def everybody(self) -> list[Requester | Node]:
        return [*self.requesters.values(), *self.nodes.values()]

    async def misfortune(self, duration: float) -> None:
        """Crash, stop and restart things for a while."""
        until = self.time() + duration
        while self.time() < until:
            await asyncio.sleep(self.rng.uniform(0.1, 4.0))
            who = self.rng.choice(self.everybody())
            dice = self.rng.random() * 4.0
            if self.trouble.crash_every and dice < 4.0 / self.trouble.crash_every * 2:
                who.kill() if isinstance(who, Node) else who.process.kill()
                await asyncio.sleep(self.rng.choice((0.05, 2.0, 20.0)))
                who.begin()
            elif self.trouble.pause_every and dice < 1.0:
                who.process.stall(self.rng.choice(self.trouble.pauses))
            elif self.trouble.restart_bus_every and dice < 1.3:
                await self.restart_bus(self.rng.choice((0.2, 3.0)))
            elif self.trouble.reject_every and dice < 1.6:
                node = self.rng.choice(list(self.nodes))
                self.decide(node, self.rng.choice(_UNKIND))
                self.loop.call_later(self.rng.choice((1.0, 10.0)), self.decide, node, Membership())

    async def restart_bus(self, seconds: float) -> None:
        """Take the bus away for a while; it comes back without its nudges and timers."""
        self.bus_down = True
        await asyncio.sleep(seconds)
        self.nudges.forget()
        self.bus_down = False
        for requester in self.requesters.values():
            requester.news.set()
            if not requester.process.dead:
                requester.process.start(requester.desk.awake(), "reconnected")

    async def settle(self, within: float, quiet: Callable[[View], bool]) -> View:
        """End all trouble, let everybody live, and wait until the fold of the stream is as wanted."""
        self.trouble = QUIET
        for who in self.everybody():
            who.process.asleep_until = 0.0
            if who.process.dead:
                who.begin()
        return await self.until(within, lambda view: quiet(view) and not self._strays(view))

    async def until(self, within: float, holds: Callable[[View], bool]) -> View:
        """Wait until something holds of the fold of the stream; fail after ``within`` seconds."""
        deadline = self.time() + within
        view = View()
        while True:
            for fact in self.stream.after(view.seq):
                view.apply(fact)
            if holds(view):
                return view
            assert self.time() < deadline, f"seed {self.seed}: not so after {within} s: {self.restless(view)}"
            await asyncio.sleep(min(1.0, within / 20))

    def _strays(self, view: View) -> list[ExecutionID]:
        """Give the containers that nobody wants."""
        wanted = {e.id for n in self.nodes.values() for e in view.wanted_of(n.id)}
        return [e for e in self.containers if e not in wanted]

    def restless(self, view: View) -> str:
        """Describe what keeps the world from peace."""
        lines = [f"containers {self.containers}"]
        lines += [
            f"{who.process.instance}: {sorted(t.get_name() for t in who.process.tasks)}"
            for who in self.everybody()
        ]
        for job in view.unfinished.values():
            if not job.settled:
                what = [
                    (e.id[:6], e.node_id, e.version, e.state.value, e.wish.value, e.desired.partition)
                    for e in job.executions.values()
                ]
                lines.append(
                    f"{job.id} {job.spec.type.value} v{job.spec.version} x{job.spec.count}"
                    f" {job.state} stop={job.spec.stop} {what[-8:]}"
                )
        return "\n".join(lines)

    def end(self) -> None:
        for who in self.everybody():
            who.process.kill()
