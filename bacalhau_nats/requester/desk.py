"""Everything a requester decides with; `service.py` carries messages in and out.

What makes a job be looked at:

* a nudge from the queue: a gateway wrote a wish, a timer is over, somebody found that a job is due;
* the end of an execution that this requester placed, and room for a job that it put into its line: looked
  at here, without the detour through the queue;
* more room on a node, which wakes the head of the waiting line; a node that comes, goes or changes;
* a fact that nobody has acted on within a second (`_dirty`): the nudge for it was lost, or its requester
  died; and, rarely, the sweep over everything unfinished.

All requesters are equal. Each keeps its own line and its own list of what is due; the queue lets one of
them do the work, and compare-and-set makes it harmless when two do.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field

from bacalhau_nats.domain.facts import Fact
from bacalhau_nats.domain.ids import ExecutionID, JobID, NodeID
from bacalhau_nats.domain.job import Waiting
from bacalhau_nats.domain.jobview import JobView
from bacalhau_nats.domain.node import Approval, Heartbeat, NodeRole
from bacalhau_nats.domain.resources import parse
from bacalhau_nats.domain.roster import Roster
from bacalhau_nats.domain.scheduling.plan import NodeNow, Policy
from bacalhau_nats.domain.view import NodeView, View
from bacalhau_nats.messages import Bid, Decline, Nudge, Offer, Wanted, WhatShouldIDo
from bacalhau_nats.ports import Clock, Records, RequesterBus, Sight
from bacalhau_nats.requester.auction import Auction
from bacalhau_nats.requester.due import Due, due, due_with_node
from bacalhau_nats.requester.evaluate import Evaluator, Look
from bacalhau_nats.requester.line import Waiter, WaitingLine
from bacalhau_nats.requester.muster import able, muster
from bacalhau_nats.requester.queued import note_waiting
from bacalhau_nats.requester.sweep import Sweep
from bacalhau_nats.requester.wanted import wanted_of

log = logging.getLogger(__name__)
_OVERDUE = 1.0  # seconds after which a fact nobody acted on is brought up again
_STALL = 3.0  # no tick for this long (seconds) means that we slept, not that others are silent
_VIEW_PATIENCE = 5.0
_AFTER_BUG = 10.0  # seconds until a job whose look failed is looked at again


@dataclass(frozen=True, slots=True)
class DeskSettings:
    """How this requester works; seconds throughout."""

    policy: Policy = field(default_factory=Policy)
    sweep_every: float = 60.0
    manual_approval: bool = False


class Desk:
    """The logic of one requester."""

    def __init__(
        self,
        me: NodeID,
        instance: str,
        *,
        view: View,
        sight: Sight,
        roster: Roster,
        records: Records,
        bus: RequesterBus,
        clock: Clock,
        settings: DeskSettings,
    ) -> None:
        self._me, self._view, self._sight, self._roster = me, view, sight, roster
        self._records, self._bus, self._clock, self._settings = records, bus, clock, settings
        self.auction = Auction(me, roster, bus, clock)
        self.auction.withdraw = self._withdraw
        self._evaluator = Evaluator(me, instance, records, self.auction, clock, view.scheduling_of)
        self.line = WaitingLine()
        self._due: dict[JobID, tuple[int, str]] = {}
        self._withdrawn: list[tuple[NodeID, ExecutionID]] = []
        self._outgoing = asyncio.Event()
        self._dirty: dict[JobID, float] = {}
        self._looking: dict[JobID, int | None] = {}  # a number: look again, when the view is there
        self._looks: set[asyncio.Task[None]] = set()
        self._alive: set[NodeID] = set()
        self._last_tick = clock.monotonic()
        self._last_sweep = clock.monotonic()
        self._sweep = Sweep(view)
        roster.restart_windows(clock.monotonic())

    # --- what arrives ------------------------------------------------------------------------------

    def on_fact(self, fact: Fact, changed: JobView | NodeView | None) -> None:
        """React to a fact that the view has just folded in."""
        if isinstance(changed, NodeView):
            self.auction.forget_node(changed.id)
            self._node_changed(changed.id)
        elif isinstance(changed, JobView):
            self._job_changed(fact, changed)

    def on_beat(self, beat: Heartbeat) -> None:
        """Take a heartbeat; room on the node wakes the head of the line."""
        self._roster.hear(beat, self._clock.monotonic())
        if beat.role is not NodeRole.COMPUTE:
            return
        if beat.node_id not in self._alive:
            self._alive.add(beat.node_id)
            self._node_changed(beat.node_id)
        self._wake(beat.node_id)

    def on_answer(self, answer: Bid | Decline) -> None:
        """Take a bid or a decline."""
        self.auction.on_answer(answer)

    def wanted(self, question: WhatShouldIDo) -> Wanted:
        """Answer a node's "what should I be doing?"."""
        return wanted_of(self._view, question)

    async def attend(self, nudge: Nudge) -> float | None:
        """Do as `on_nudge`, but a bug in one job is logged and does not end the others; the job comes up again."""
        try:
            return await self.on_nudge(nudge)
        except Exception:
            log.exception("looking at %s failed", nudge.job_id, extra={"action": "evaluation_failed"})
            return _AFTER_BUG

    async def on_nudge(self, nudge: Nudge) -> float | None:
        """Look at a job; give in how many seconds to look again, None when nothing is due by itself."""
        job_id = nudge.job_id
        if job_id in self._looking:
            self._looking[job_id] = max(nudge.seq, self._looking[job_id] or 0)
            return None
        next_seq: int | None = nudge.seq
        again: float | None = None
        try:
            while next_seq is not None:
                self._looking[job_id] = None
                if not await self._sight.reached(next_seq, _VIEW_PATIENCE):
                    return _OVERDUE
                again = await self._look(job_id)
                next_seq = self._looking[job_id]
        finally:
            del self._looking[job_id]
        return again

    def _start_look(self, job_id: JobID, seq: int) -> None:
        """Look at a job in a task of its own. Should we die over it, another requester finds it overdue."""
        if job_id in self._looking:
            self._looking[job_id] = max(seq, self._looking[job_id] or 0)
            return
        task = asyncio.create_task(self._look_now(job_id, seq), name=f"look at {job_id}")
        self._looks.add(task)
        task.add_done_callback(self._looks.discard)

    async def _look_now(self, job_id: JobID, seq: int) -> None:
        if await self.attend(Nudge(job_id=job_id, seq=seq)) is not None:
            self._nudge(job_id, seq, "again")  # the queue keeps the timer

    # --- one look --------------------------------------------------------------------------------------

    async def _look(self, job_id: JobID) -> float | None:
        self._dirty.pop(job_id, None)
        job = self._view.unfinished.get(job_id)
        if job is None or not job.known or job.settled:
            self.line.leave(job_id)
            return None
        nodes = self.nodes_now(job)
        look = await self._evaluator.look(job, nodes, self._settings.policy)
        self._line_up(job, nodes, look)
        if look.seq:
            await self._sight.reached(look.seq, _VIEW_PATIENCE)
        return None if look.again is None else max(0.0, look.again - self._clock.now())

    def _line_up(self, job: JobView, nodes: Mapping[NodeID, NodeNow], look: Look) -> None:
        spec = job.spec
        if not look.missing and not look.waits_for_node:
            served = self.line.leave(job.id)
            if served is not None:
                self._wake(served)  # it was counted as using that node's room until now
            return
        wanted = {p.node for p in look.missing}
        useless = look.useless if None in wanted or not wanted else frozenset(nodes) - wanted
        needs = parse(spec.task.resources)
        waiter = Waiter(
            job.id, needs, len(look.missing), self._clock.monotonic(), look.reasons, frozenset(useless)
        )
        self.line.join(waiter, spec.priority, spec.submitted)

    def _wake(self, node_id: NodeID) -> None:
        """Wake the first in the line whom the node has room for."""
        if len(self.line):
            now = self._clock.monotonic()
            for job_id in self.line.wake(node_id, self._roster.free(node_id), now):
                self._start_look(job_id, 0)

    def nodes_now(self, job: JobView | None = None) -> dict[NodeID, NodeNow]:
        """Describe every compute node as it is at this moment, for one job."""
        now = self._clock.monotonic()
        if now - self._last_tick > _STALL:  # and woke up for this, before the tick
            self._roster.restart_windows(now)
        refused = self.auction.refused(job.id, job.spec.version) if job else {}
        unasked = Approval.PENDING if self._settings.manual_approval else Approval.APPROVED
        return muster(self._view, self._roster, now, unasked=unasked, refused=refused)

    # --- what makes a job due --------------------------------------------------------------------------

    def _job_changed(self, fact: Fact, job: JobView) -> None:
        if not job.known:
            return  # a word about a job that was purged meanwhile
        if job.over:
            self.line.leave(job.id)
        elif isinstance(fact.record, Waiting) and job.id not in self.line:
            waiter = Waiter(job.id, parse(job.spec.task.resources), 1, self._clock.monotonic())
            self.line.join(waiter, job.spec.priority, job.spec.submitted)
        if job.settled:
            self._dirty.pop(job.id, None)
            return
        match due(fact, job, self._me, self._view.scheduling_of):
            case Due.NOW:
                self._start_look(job.id, fact.seq)
            case Due.SOON:
                self._dirty[job.id] = self._clock.monotonic() + _OVERDUE
            case Due.NO:
                pass

    def _node_changed(self, node_id: NodeID) -> None:
        """A node came, went or changed: jobs that run there, wait for one, or run everywhere are due."""
        self.line.reconsider(node_id)
        for job_id in due_with_node(node_id, self._view, self.line, lambda: able(self.nodes_now())):
            self._nudge(job_id, 0, "node")
        self._wake(node_id)

    def _nudge(self, job_id: JobID, seq: int, cause: str) -> None:
        known = self._due.get(job_id)
        self._due[job_id] = (max(seq, known[0] if known else 0), cause)
        self._outgoing.set()

    def _withdraw(self, node_id: NodeID, execution: ExecutionID) -> None:
        self._withdrawn.append((node_id, execution))
        self._outgoing.set()

    # --- loops -------------------------------------------------------------------------------------------

    async def pump(self) -> None:
        """Send what became due; runs for ever."""
        while True:
            await self._outgoing.wait()
            self._outgoing.clear()
            due, self._due = self._due, {}
            withdrawn, self._withdrawn = self._withdrawn, []
            for node_id, execution in withdrawn:
                offer = Offer(execution_id=execution, node_id=node_id, requester=self._me, withdrawn=True)
                await self._bus.offer(node_id, offer)
            for job_id, (seq, cause) in due.items():
                await self._bus.nudge(job_id, seq, cause)

    async def tick(self) -> None:
        """Do what time alone makes due; called about once a second."""
        now = self._clock.monotonic()
        if now - self._last_tick > _STALL:
            await self.awake()
        self._last_tick = now
        for node_id in sorted(n for n in self._alive if not self._roster.live(n, now)):
            self._alive.discard(node_id)
            log.warning("node %s is lost", node_id, extra={"action": "node_lost", "node": node_id})
            self._node_changed(node_id)
        for job_id in [j for j, at in self._dirty.items() if at <= now]:
            del self._dirty[job_id]
            self._nudge(job_id, self._view.seq, "overdue")
        for node_id in sorted(self._alive):
            self._wake(node_id)  # a job may have joined the line just after the last news of room
        long = [w for w in self.line.everybody() if now - w.since >= _OVERDUE]
        await note_waiting(self._records, self._view, long, self._me, self._evaluator.nonce)
        if now - self._last_sweep >= self._settings.sweep_every:
            self.sweep()
        for job_id in self._sweep.part():
            self._nudge(job_id, 0, "sweep")

    async def close(self) -> None:
        """End the looks under way, before the bus goes: whoever is left finds what is due."""
        for look in self._looks:
            look.cancel()
        await asyncio.gather(*self._looks, return_exceptions=True)

    async def awake(self) -> None:
        """We start, have slept, or lost the bus: nobody is lost because of that. Ask all to report."""
        self._roster.restart_windows(self._clock.monotonic())
        await self._bus.roll_call()
        self.sweep()

    def sweep(self) -> None:
        """Bring up everything unfinished, a part with each tick; a nudge may have been lost."""
        self._last_sweep = self._clock.monotonic()
        self.auction.forget_others(self._view.unfinished)
        self._alive |= {n for n in self.nodes_now() if self._roster.live(n, self._last_sweep)}
        self._sweep.start()
