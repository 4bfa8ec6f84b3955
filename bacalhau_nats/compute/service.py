"""Connects a node's agent to the bus: the only module of this room that knows NATS."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bacalhau_nats.compute.agent import Agent
from bacalhau_nats.compute.bidder import Bidder, Rule
from bacalhau_nats.compute.capacity import Ledger
from bacalhau_nats.compute.disk import DiskReserve
from bacalhau_nats.compute.logbook import StreamLogbook
from bacalhau_nats.compute.port_book import PortBook
from bacalhau_nats.compute.pulse import Pulse
from bacalhau_nats.compute.reports import Reporter
from bacalhau_nats.compute.runner import Plugins, WorkRunner
from bacalhau_nats.compute.survey import Survey
from bacalhau_nats.domain.execution import Desired
from bacalhau_nats.domain.facts import Fact, report_key
from bacalhau_nats.domain.node import Heartbeat, NodeReport
from bacalhau_nats.errors import BacalhauError, StartFailed, Unavailable
from bacalhau_nats.messages import Bid, Decline, NodeStatus, Offer, RollCall, Wanted, WhatShouldIDo
from bacalhau_nats.messaging.bus import Bus
from bacalhau_nats.messaging.follower import follow_desired
from bacalhau_nats.messaging.records import JetRecords
from bacalhau_nats.messaging.services import Endpoint
from bacalhau_nats.messaging.subjects import BID, HEARTBEAT, NODE_STATUS, OFFER, ROLL_CALL, WANTED
from bacalhau_nats.ports import Clock

log = logging.getLogger(__name__)
_ASK_TIMEOUT = 2.0
_ASK_AGAIN = 1.0  # seconds, when nobody answered
_ROLL_CALL_SECONDS = 0.25
_DISK_EVERY = 1.0  # seconds


@dataclass(frozen=True, slots=True)
class ComputeServiceSettings:
    """How this node works; seconds throughout."""

    data_dir: Path
    report: NodeReport  # labels, capacity, address, build; what plugins it has is found out
    every: float = 3.0
    catch_up_every: float = 5.0
    survey_every: float = 5.0
    hold_seconds: float = 3.0
    grace: float = 5.0
    log_quota: int = 64 * 1024 * 1024
    log_rate: int = 0
    ports: tuple[int, int] = (20000, 32000)
    env_allowed: tuple[str, ...] = ()
    node_env: Mapping[str, str] = field(default_factory=dict)
    rules: tuple[Rule, ...] = ()
    disk_reserve: int = 0  # bytes


class NatsComputeBus:
    """`ports.ComputeBus` over NATS."""

    def __init__(self, bus: Bus) -> None:
        self._bus, self._cell = bus, bus.cell.name

    async def heartbeat(self, beat: Heartbeat) -> None:
        """Say that we are here."""
        await self._bus.publish(HEARTBEAT(cell=self._cell, node=beat.node_id), beat)

    async def answer(self, requester: str, answer: Bid | Decline) -> None:
        """Bid or decline."""
        subject = BID(
            cell=self._cell, requester=requester, execution=answer.execution_id, node=answer.node_id
        )
        await self._bus.publish(subject, answer)

    async def ask_wanted(self, question: WhatShouldIDo) -> Wanted:
        """Ask any requester what should be done."""
        return await self._bus.ask(WANTED(cell=self._cell), question, Wanted, timeout=_ASK_TIMEOUT)


class ComputeService:
    """One compute node; `run` until ``stop`` is set."""

    def __init__(
        self,
        bus: Bus,
        bulk: Bus,
        clock: Clock,
        settings: ComputeServiceSettings,
        plugins: Plugins,
        *,
        version: str,
    ) -> None:
        self._bus, self._clock, self._settings, self._version = bus, clock, settings, version
        me, instance = settings.report.node_id, settings.report.instance
        self._me, self._instance = me, instance
        self._records = JetRecords(bus)
        compute_bus = NatsComputeBus(bus)
        ledger = Ledger(settings.report.capacity)
        reserve = DiskReserve(settings.data_dir, settings.disk_reserve)
        self.survey = Survey(settings.report, plugins, reserve)
        self.pulse = Pulse(me, instance, ledger, compute_bus, clock, settings.every)
        reporter = Reporter(me, instance, self._records, clock)
        runner = WorkRunner(
            settings.data_dir,
            plugins,
            StreamLogbook(bulk, quota=settings.log_quota, rate=settings.log_rate),
            reporter,
            PortBook(*settings.ports),
            reserve,
            settings.env_allowed,
            settings.node_env,
        )
        bidder = Bidder(me, ledger, lambda: self.survey.report, settings.rules, settings.hold_seconds)
        self.agent = Agent(compute_bus, reporter, self.pulse, runner, ledger, bidder)
        self._ask = asyncio.Event()
        self._foreign: str = ""
        self.ready = asyncio.Event()

    async def run(self, stop: asyncio.Event) -> None:
        """Take part until ``stop`` is set. ``ready`` is set when offers are heard and the node is reported.

        Raises StartFailed when another process of this node id turns up that was there before us.
        """
        bus, cell = self._bus, self._bus.cell.name
        subscriptions = [
            await bus.subscribe(HEARTBEAT(cell=cell, node=self._me), (Heartbeat,), self._hear_myself)
        ]
        forget = bus.on_reconnect(self._reconnected)
        endpoints = (Endpoint("status", NODE_STATUS(cell=cell, node=self._me), NodeStatus, self._status),)
        try:
            await asyncio.gather(self.survey.look(), self._call_my_name())
            self._alone()
            subscriptions += [
                await bus.subscribe(OFFER.any(cell=cell, node=self._me), (Offer,), self.agent.on_offer),
                await bus.subscribe(ROLL_CALL(cell=cell), (RollCall,), self._roll_call),
                await follow_desired(bus, self._me, self._on_desired),
            ]
            async with bus.service("bacalhau-compute", self._version, f"runs work on {self._me}", endpoints):
                await self._tell()
                await self._live(stop)
        finally:
            forget()
            for subscription in subscriptions:
                if bus.connected:
                    await subscription.unsubscribe()
        self._alone()

    def _alone(self) -> None:
        if self._foreign:
            raise StartFailed(
                f"another process runs as node {self._me}",
                hint="give this one another name with --name, or another data folder",
            )

    async def _call_my_name(self) -> None:
        """Wait a moment for the heartbeat of a process that has this node's id already.

        Before anything else: we would answer its offers, and report what it runs as lost at our start.
        """
        await self._bus.publish(ROLL_CALL(cell=self._bus.cell.name), RollCall())
        await self._clock.sleep(_ROLL_CALL_SECONDS)

    async def _live(self, stop: asyncio.Event) -> None:
        over = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(self.pulse.run(), name="compute heartbeats"),
                group.create_task(self._catch_up(), name="compute catches up"),
                group.create_task(self._watch_plugins(), name="compute survey"),
                group.create_task(self._watch_disk(), name="compute disk"),
                group.create_task(self._until_foreign(over), name="compute identity"),
            ]
            self.ready.set()
            stopped = group.create_task(stop.wait(), name="compute stop")
            foreign = group.create_task(over.wait(), name="compute foreign")
            await asyncio.wait({stopped, foreign}, return_when=asyncio.FIRST_COMPLETED)
            if stop.is_set():
                await self._leave()
            for task in (*tasks, stopped, foreign):
                task.cancel()

    async def _leave(self) -> None:
        """Take no new work, end what runs, and say good-bye: staged, so that nothing is waited for in vain."""
        self.survey.draining = True
        await self._report()
        await self.agent.shut_down(self._settings.grace)
        self.survey.left = True
        await self._report()

    # --- what arrives ------------------------------------------------------------------------------------

    def _on_desired(self, fact: Fact) -> None:
        if isinstance(fact.record, Desired):
            self.agent.on_desired(fact.record, fact.seq)

    def _roll_call(self, _: RollCall) -> None:
        self.pulse.soon()

    def _hear_myself(self, beat: Heartbeat) -> None:
        # Instances sort by their start: of two processes with one node id, the later one leaves.
        if beat.instance != self._instance and beat.instance < self._instance:
            self._foreign = beat.instance

    def _reconnected(self) -> None:
        self._ask.set()
        self.pulse.soon()

    async def _until_foreign(self, over: asyncio.Event) -> None:
        while not self._foreign:
            await self._clock.sleep(1.0)
        over.set()

    # --- loops -------------------------------------------------------------------------------------------

    async def _catch_up(self) -> None:
        ask: Callable[[], Awaitable[object]] = self.agent.settle_in
        while True:
            self._ask.clear()
            pause = self._settings.catch_up_every
            try:
                await ask()
                ask = self.agent.catch_up
            except Unavailable as error:
                log.debug("nobody says what to do: %s", error.message)
                pause = _ASK_AGAIN
            except BacalhauError as error:
                # A requester that cannot answer, or a bug in it, must not take the nodes along.
                log.warning("cannot find out what to do: %s", error.message)
            try:
                async with asyncio.timeout(pause):
                    await self._ask.wait()
            except TimeoutError:
                continue

    async def _watch_plugins(self) -> None:
        while True:
            await self._clock.sleep(self._settings.survey_every)
            if await self.survey.look():
                await self._tell()

    async def _watch_disk(self) -> None:
        while True:
            await self._clock.sleep(_DISK_EVERY)
            if await self.survey.look_at_disk():
                await self._tell()

    async def _tell(self) -> None:
        # While the node is busy nothing of it is free, so that nobody waits for its room.
        self.agent.ledger.closed = bool(self.survey.busy)
        await self._report()
        self.pulse.soon()

    async def _report(self) -> None:
        try:
            await self._records.put(report_key(self._me), self.survey.report)
        except Unavailable as error:
            log.warning("cannot report what this node has yet: %s", error.message)
            self.survey.forget()

    def inside(self) -> dict[str, Any]:
        """Show what this node does, in the words of ``GET /api/v1/agent/debug``."""
        active: list[dict[str, Any]] = [
            {
                "ExecutionID": running.desired.execution_id,
                "JobID": running.desired.job_id,
                "State": "Stopping" if running.stopping else "Running",
                "AllocatedResources": {"Tasks": {}},
            }
            for running in self.agent.executions.values()
        ]
        return {"ActiveJobs": active, "jobsCompleted": self.agent.reporter.completed}

    async def _status(self, _: NodeStatus) -> NodeStatus:
        return NodeStatus(
            node_id=self._me,
            instance=self._instance,
            version=self._version,
            roles=("compute",),
            running=tuple(self.agent.executions),
            free=self.agent.ledger.free,
            details=dict(self.survey.unavailable),
        )
