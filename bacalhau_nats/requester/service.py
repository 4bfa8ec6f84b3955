"""Connects a requester's desk to the bus: the only module of this room that knows NATS."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from bacalhau_nats.clients.s3_signing import ResultSigner
from bacalhau_nats.domain.ids import JobID, NodeID
from bacalhau_nats.domain.model import Model
from bacalhau_nats.messages import (
    Bid,
    Decline,
    NodeStatus,
    Offer,
    RollCall,
    Wanted,
    WhatShouldIDo,
    WhereToUpload,
)
from bacalhau_nats.messaging.bids import keep_answers
from bacalhau_nats.messaging.blobs import ObjectStore
from bacalhau_nats.messaging.bus import Bus
from bacalhau_nats.messaging.nudges import Nudges, Task
from bacalhau_nats.messaging.outlook import Outlook
from bacalhau_nats.messaging.records import JetRecords
from bacalhau_nats.messaging.services import Endpoint
from bacalhau_nats.messaging.subjects import BID, OFFER, REQUESTER_STATUS, ROLL_CALL, UPLOAD, WANTED
from bacalhau_nats.messaging.topology import ACK_WAIT_SECONDS, Topology
from bacalhau_nats.ports import Clock
from bacalhau_nats.requester.desk import Desk, DeskSettings
from bacalhau_nats.requester.retention import Retention
from bacalhau_nats.requester.uploads import Uploads

_TICK = 1.0
_WORKING_EVERY = ACK_WAIT_SECONDS / 3


@dataclass(frozen=True, slots=True)
class RequesterSettings:
    """How this requester works. ``workers`` is how many jobs it looks at at a time."""

    desk: DeskSettings
    workers: int = 64
    keep: float = 0.0  # seconds that finished jobs are kept; 0: for ever


class NatsRequesterBus:
    """`ports.RequesterBus` over NATS."""

    def __init__(self, bus: Bus, nudges: Nudges, me: NodeID) -> None:
        self._bus, self._nudges, self._me = bus, nudges, me

    async def offer(self, node: NodeID, offer: Offer) -> None:
        """Ask one node, or take the question back."""
        await self._bus.publish(
            OFFER(cell=self._bus.cell.name, node=node, execution=offer.execution_id), offer
        )

    async def nudge(self, job: JobID, seq: int, cause: str) -> None:
        """Ask any requester to look at a job."""
        await self._nudges.nudge(job, seq, cause)

    async def roll_call(self) -> None:
        """Ask every node to send a heartbeat now."""
        await self._bus.publish(ROLL_CALL(cell=self._bus.cell.name), RollCall(requester=self._me))


class RequesterService:
    """One requester on one bus; `run` until ``stop`` is set."""

    def __init__(
        self,
        bus: Bus,
        outlook: Outlook,
        clock: Clock,
        settings: RequesterSettings,
        *,
        me: NodeID,
        instance: str,
        version: str,
        topology: Topology,
        blobs: ObjectStore,
        results: ObjectStore,
        signer: ResultSigner,
    ) -> None:
        self._bus, self._outlook, self._clock, self._settings = bus, outlook, clock, settings
        self._me, self._instance, self._version = me, instance, version
        self._nudges = Nudges(bus, topology=topology, on_lost=self._queue_lost)
        records = JetRecords(bus)
        self._retention = Retention(outlook.view, records, blobs, results, clock, settings.keep)
        self.desk = Desk(
            me,
            instance,
            view=outlook.view,
            sight=outlook,
            roster=outlook.roster,
            records=records,
            bus=NatsRequesterBus(bus, self._nudges, me),
            clock=clock,
            settings=settings.desk,
        )
        self._uploads = Uploads(outlook.view, outlook, records, signer) if signer.manages else None
        self._awake = asyncio.Event()
        self._bids_gone = asyncio.Event()
        self.ready = asyncio.Event()

    async def run(self, stop: asyncio.Event) -> None:
        """Take part until ``stop`` is set. ``ready`` is set when bids and questions are heard."""
        bus, cell = self._bus, self._bus.cell.name
        self._outlook.listen(self.desk.on_fact, self.desk.on_beat)
        answers: tuple[type[Model], ...] = (Bid, Decline)
        bids = await bus.subscribe(BID.any(cell=cell, requester=self._me), answers, self._on_answer)
        forget = bus.on_reconnect(self._reconnected)
        endpoints = [
            Endpoint("wanted", WANTED(cell=cell), WhatShouldIDo, self._wanted),
            Endpoint("status", REQUESTER_STATUS(cell=cell, node=self._me), NodeStatus, self._status),
        ]
        if self._uploads is not None:  # nobody answers where there is no bucket: another one may have it
            uploads = Endpoint("upload", UPLOAD(cell=cell), WhereToUpload, self._uploads.answer)
            endpoints.append(uploads)
        try:
            async with (
                bus.service("bacalhau-requester", self._version, "decides which node runs what", endpoints),
                asyncio.TaskGroup() as group,
            ):
                tasks = [
                    group.create_task(self.desk.pump(), name="requester pump"),
                    group.create_task(self._tick(), name="requester tick"),
                    group.create_task(self._take(group), name="requester nudges"),
                    group.create_task(self._retention.run(), name="requester retention"),
                    group.create_task(keep_answers(bus, self._bids_gone), name="requester bids"),
                ]
                self._awake.set()
                self.ready.set()
                await stop.wait()
                for task in tasks:
                    task.cancel()
        finally:
            forget()
            await self.desk.close()
            if bus.connected:
                await bids.unsubscribe()

    def _on_answer(self, answer: Model) -> None:
        if isinstance(answer, Bid | Decline):
            self.desk.on_answer(answer)

    def _reconnected(self) -> None:
        self._awake.set()
        self._bids_gone.set()

    def _queue_lost(self) -> None:
        self._awake.set()

    async def _tick(self) -> None:
        while True:
            if self._awake.is_set():
                self._awake.clear()
                await self.desk.awake()
            if not self._bus.connected:  # we hear nobody, so nobody's silence counts
                self._outlook.roster.restart_windows(self._clock.monotonic())
            await self.desk.tick()
            try:
                async with asyncio.timeout(_TICK):
                    await self._awake.wait()
            except TimeoutError:
                continue

    async def _take(self, group: asyncio.TaskGroup) -> None:
        async for task in self._nudges.take(self._settings.workers):
            group.create_task(self._look(task), name=f"look at {task.nudge.job_id}")

    async def _look(self, task: Task) -> None:
        async with _kept(task):
            again = await self.desk.attend(task.nudge)
        await (task.ack() if again is None else task.later(again))

    async def _wanted(self, question: WhatShouldIDo) -> Wanted:
        return self.desk.wanted(question)

    async def _status(self, _: NodeStatus) -> NodeStatus:
        return NodeStatus(
            node_id=self._me,
            instance=self._instance,
            version=self._version,
            roles=("requester",),
            view_seq=self._outlook.view.seq,
            details={
                "unfinished jobs": str(len(self._outlook.view.unfinished)),
                "waiting": str(len(self.desk.line)),
            },
        )


@asynccontextmanager
async def _kept(task: Task) -> AsyncIterator[None]:
    """Keep a nudge from going to another requester while we are on it."""
    loop = asyncio.get_running_loop()
    timers: list[asyncio.TimerHandle] = []
    saying: set[asyncio.Task[None]] = set()

    def still_on_it() -> None:
        said = loop.create_task(task.working(), name="still working")
        saying.add(said)
        said.add_done_callback(saying.discard)
        timers[0] = loop.call_later(_WORKING_EVERY, still_on_it)

    timers.append(loop.call_later(_WORKING_EVERY, still_on_it))
    try:
        yield
    finally:
        timers[0].cancel()
