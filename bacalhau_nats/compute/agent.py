"""Everything a compute node decides with; `service.py` carries messages in and out.

An execution on this node goes through these steps, and this is what a `kill -9` at each of them leaves:

1. *assigned*: the desired record is in the stream. Killed here, the next life is told of it again
   ("what should I be doing?") and starts it.
2. *begun*: the first observed record is created, before anything starts. Killed after this line, the
   next life knows that it was begun: it re-attaches, or reports it failed as lost at restart. It never
   starts it again.
3. *ended*: capacity is released and told at once, then the terminal record is written, by
   compare-and-set on the one before. Killed in between, the next life reports it lost at restart.

An execution is dropped without a word when it is abandoned: its requester has given it up already.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any, Protocol

from bacalhau_nats.compute.bidder import Bidder
from bacalhau_nats.compute.capacity import Ledger
from bacalhau_nats.compute.pulse import Pulse
from bacalhau_nats.compute.reports import Reporter
from bacalhau_nats.domain.execution import TERMINAL, Desired, ExecutionState, Observed, Reason, Wish
from bacalhau_nats.domain.ids import ExecutionID, JobID
from bacalhau_nats.domain.resources import NOTHING, Resources, parse
from bacalhau_nats.errors import BacalhauError, Unavailable
from bacalhau_nats.messages import Offer, WantedExecution, WhatShouldIDo
from bacalhau_nats.ports import ComputeBus

log = logging.getLogger(__name__)
_REMEMBERED = 10_000
_LAST_WORDS = 10.0  # seconds in which what was ended at a shutdown can be reported
_SHUT_DOWN = "the node was shut down"
_RESTARTED = "the node restarted and could not find the execution again"

Step = Callable[[ExecutionState], Awaitable[None]]
"""Called by a runner when an execution reaches a state that others should see."""


class Runner(Protocol):
    """Does the work of one execution; cancelling it stops the work."""

    def run(self, desired: Desired, step: Step) -> Coroutine[Any, Any, Observed]:
        """Run it to its end and say how it ended."""
        ...

    def attach(self, desired: Desired, step: Step) -> Coroutine[Any, Any, Observed | None]:
        """Go on with what an earlier life of this node began; None when it is not there any more."""
        ...

    async def sweep(self, keep: list[ExecutionID]) -> None:
        """Remove what earlier lives left, except ``keep``."""
        ...


@dataclass(slots=True)
class Running:
    """One execution this node has taken on. ``seq`` and ``observed_seq`` are revisions."""

    desired: Desired
    seq: int
    observed_seq: int = 0
    task: asyncio.Task[None] | None = None
    work: asyncio.Task[Observed] | None = None
    stopping: bool = False
    abandoned: bool = False
    shut_down: bool = False


@dataclass(slots=True)
class Agent:
    """The logic of one compute node."""

    bus: ComputeBus
    reporter: Reporter
    pulse: Pulse
    runner: Runner
    ledger: Ledger
    bidder: Bidder
    executions: dict[ExecutionID, Running] = field(default_factory=dict)
    _versions: dict[JobID, int] = field(default_factory=dict)
    _past: dict[ExecutionID, int] = field(default_factory=dict)  # newest revision seen of what is over
    _leaving: bool = False

    # --- what arrives --------------------------------------------------------------------------------

    async def on_offer(self, offer: Offer) -> None:
        """Answer an offer, or release what was held for one that is taken back."""
        if offer.withdrawn:
            if offer.execution_id not in self.executions:
                self.pulse.release(offer.execution_id)
            return
        answer = self.bidder.consider(offer, self.pulse.clock.monotonic(), self.pulse.next_tick())
        await self.bus.answer(offer.requester, answer)

    def on_desired(self, desired: Desired, seq: int) -> None:
        """Take an assignment, a stop or an abandon that became true."""
        execution_id = desired.execution_id
        known = self.executions.get(execution_id)
        if known is not None:
            if seq > known.seq:
                known.seq = seq
                if desired.wish is not Wish.RUN:
                    known.desired = known.desired.but(wish=desired.wish, message=desired.message)
                    self._end(known, abandoned=desired.wish is Wish.ABANDONED)
        elif seq <= self._past.get(execution_id, 0):
            return  # an old answer: this is over
        elif desired.wish is Wish.RUN:
            if desired.job is not None:  # else an answer that took us to be at it already
                self._take_on(Running(desired, seq), self._run)
        elif desired.wish is Wish.STOP:
            self._take_on(Running(desired, seq), self._never_begun)
        else:
            self._remember(execution_id, seq)

    async def settle_in(self) -> None:
        """Catch up for the first time in this life, then remove what earlier lives left and nobody wants.

        Raises Unavailable when nobody answers, or not with all that is wanted.
        """
        if not await self.catch_up():
            raise Unavailable("not everything that is wanted was told yet")
        await self.runner.sweep(list(self.executions))

    async def catch_up(self) -> bool:
        """Ask what should be done and make it so; say whether that was all. Raises Unavailable without an answer.

        What is wanted may not fit in one answer: as long as an answer brings something new, there may be more.
        """
        me = self.reporter
        while True:
            doing = frozenset(self.executions)
            question = WhatShouldIDo(node_id=me.me, instance=me.instance, doing=tuple(doing))
            wanted = await self.bus.ask_wanted(question)
            for execution in wanted.executions:
                self._compare(execution)
            if not wanted.partial:
                break
            if self.executions.keys() <= doing:
                return False
        named = {w.desired.execution_id for w in wanted.executions}
        for execution_id, known in list(self.executions.items()):
            # Absence means stop, but only when the answer is as new as the assignment.
            if execution_id not in named and known.seq <= wanted.seq:
                self._end(known, abandoned=True)
        return True

    def _compare(self, wanted: WantedExecution) -> None:
        desired, observed = wanted.desired, wanted.observed
        if desired.execution_id in self.executions or observed is None:
            self.on_desired(desired, wanted.seq)
        elif observed.state not in TERMINAL and wanted.observed_seq > self._past.get(desired.execution_id, 0):
            earlier = Running(desired, wanted.seq, wanted.observed_seq)
            self._take_on(earlier, self._resume if desired.wish is Wish.RUN else self._stop_earlier)

    async def shut_down(self, grace: float) -> None:
        """Give what runs ``grace`` seconds, then end it and say so, that others can try it at once.

        What cannot be said because the bus is away is left to the next life, which finds it lost at its start.
        """
        self._leaving = True
        tasks = [r.task for r in self.executions.values() if r.task is not None]
        if tasks:
            await asyncio.wait(tasks, timeout=grace)
        for running in list(self.executions.values()):
            running.shut_down = True
            self._end(running, abandoned=False)
        # A late one is being declined.
        tasks = [r.task for r in self.executions.values() if r.task is not None]
        if not tasks:
            return
        _, unsaid = await asyncio.wait(tasks, timeout=_LAST_WORDS)
        for running in self.executions.values():
            running.abandoned = True  # else the cancelled task would take it for a stop, and report that
        for task in unsaid:
            task.cancel()
        await asyncio.gather(*unsaid, return_exceptions=True)

    # --- one execution ---------------------------------------------------------------------------------

    def _take_on(self, running: Running, work: Callable[[Running], Awaitable[bool]]) -> None:
        execution_id = running.desired.execution_id
        self.executions[execution_id] = running
        running.task = asyncio.create_task(self._guard(running, work), name=f"execution {execution_id}")

    async def _guard(self, running: Running, work: Callable[[Running], Awaitable[bool]]) -> None:
        """Do one execution's work; whatever happens, its room is released.

        It is remembered as over when ``work`` says so; otherwise it may come again by catching up.
        """
        execution_id = running.desired.execution_id
        over = False
        try:
            over = await work(running)
        except BacalhauError as error:
            log.warning("cannot go on with %s now: %s", execution_id, error.message)
        finally:
            self.pulse.release(execution_id)
            del self.executions[execution_id]
            if over:
                self._remember(execution_id, max(running.seq, running.observed_seq))

    async def _run(self, running: Running) -> bool:
        desired = running.desired
        refusal = self._refusal(desired)
        first = refusal or self.reporter.seen(desired, ExecutionState.RUNNING)
        running.observed_seq = await self.reporter.begin(first)
        if running.observed_seq and refusal is None:
            await self._finish(running, self.runner.run(desired, self._step_of(running)))
        return True

    async def _resume(self, running: Running) -> bool:
        """Go on with an execution that an earlier life of this node began."""
        desired = running.desired
        self.ledger.force(desired.execution_id, self._needs(desired))
        await self._finish(running, self._attach_or_lost(running))
        if running.stopping:  # perhaps before it was found again
            await self.runner.sweep([e for e in self.executions if e != desired.execution_id])
        return True

    async def _attach_or_lost(self, running: Running) -> Observed:
        ended = await self.runner.attach(running.desired, self._step_of(running))
        return ended or self.reporter.lost_at_restart(running.desired, _RESTARTED)

    async def _never_begun(self, running: Running) -> bool:
        """Settle a stop of something this life does not hold, unless an earlier life began it."""
        running.observed_seq = await self.reporter.begin(self.reporter.cancelled(running.desired))
        return running.observed_seq > 0

    async def _stop_earlier(self, running: Running) -> bool:
        """Stop something that an earlier life began."""
        await self.runner.sweep([e for e in self.executions if e != running.desired.execution_id])
        ended = self.reporter.cancelled(running.desired)
        running.observed_seq = await self.reporter.store(ended, running.observed_seq)
        return True

    async def _finish(self, running: Running, work: Coroutine[Any, Any, Observed]) -> None:
        execution_id = running.desired.execution_id
        running.work = asyncio.create_task(work, name=f"work of {execution_id}")
        if running.stopping:
            running.work.cancel()
        try:
            ended = await running.work
        except asyncio.CancelledError:
            if not running.stopping:
                running.work.cancel()
                raise
            ended = (
                self.reporter.lost_at_restart(running.desired, _SHUT_DOWN)
                if running.shut_down
                else self.reporter.cancelled(running.desired)
            )
        self.pulse.release(execution_id)
        if not running.abandoned:
            running.observed_seq = await self.reporter.store(ended, running.observed_seq)

    def _end(self, running: Running, *, abandoned: bool) -> None:
        running.abandoned = running.abandoned or abandoned
        if not running.stopping:
            running.stopping = True
            if running.work is not None:
                running.work.cancel()

    def _refusal(self, desired: Desired) -> Observed | None:
        if self._leaving:
            return self.reporter.declined(desired, Reason.NO_ROOM, "the node is about to shut down")
        newest = self._versions.get(desired.job_id, 0)
        if desired.version < newest:
            why = f"the job is at version {newest} by now"
            return self.reporter.declined(desired, Reason.OLD_VERSION, why)
        if len(self._versions) >= _REMEMBERED:
            self._versions.clear()
        self._versions[desired.job_id] = desired.version
        needs = self._needs(desired)
        if self.ledger.claim(desired.execution_id, needs):
            return None
        why = f"the room that was held is gone: {needs.lacking(self.ledger.free)} free"
        return self.reporter.declined(desired, Reason.NO_ROOM, why)

    def _step_of(self, running: Running) -> Step:
        async def step(state: ExecutionState) -> None:
            running.observed_seq = await self.reporter.store(
                self.reporter.seen(running.desired, state), running.observed_seq
            )

        return step

    def _remember(self, execution_id: ExecutionID, seq: int) -> None:
        if len(self._past) >= _REMEMBERED:
            self._past = dict(list(self._past.items())[_REMEMBERED // 2 :])
        self._past[execution_id] = max(seq, self._past.get(execution_id, 0))

    @staticmethod
    def _needs(desired: Desired) -> Resources:
        return parse(desired.job.task.resources) if desired.job else NOTHING
