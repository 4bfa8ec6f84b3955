"""Move one job closer to done: look, reconcile, act. Safe to repeat, safe to run twice at once.

Every act is one compare-and-set. When it is refused somebody else acted first; the view will show what
they did, and the job is looked at again. A process that dies between two acts leaves a job that the next
look finishes: no act relies on the one before it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field

from bacalhau_nats.domain.execution import Desired, Wish, may_wish
from bacalhau_nats.domain.facts import conclusion_key, desired_key
from bacalhau_nats.domain.ids import JobID, NodeID
from bacalhau_nats.domain.job import Conclusion
from bacalhau_nats.domain.jobview import JobView
from bacalhau_nats.domain.node import Scheduling
from bacalhau_nats.domain.scheduling.plan import Ending, NodeNow, Placement, Policy, earliest
from bacalhau_nats.domain.scheduling.reconcile import reconcile
from bacalhau_nats.domain.spec import JobSpec, JobType
from bacalhau_nats.errors import Conflict, Unavailable
from bacalhau_nats.messages import Bid
from bacalhau_nats.ports import Clock, Records
from bacalhau_nats.requester.auction import Auction

log = logging.getLogger(__name__)
_AT_ONCE = 16  # placements of one job under way together
_UNSURE = 1.0  # seconds until a job is looked at again after a write that may not have happened


@dataclass(slots=True)
class Look:
    """What a look at a job came to.

    ``again``: unix seconds. ``useless``: nodes that could never run the job. ``missing``: placements that found
    no node, with each node's reason. ``seq``: the newest write of this look, for the view to reach before the next one.
    """

    again: float | None = None
    missing: list[Placement] = field(default_factory=list)
    waits_for_node: bool = False
    useless: frozenset[NodeID] = frozenset()
    reasons: dict[NodeID, str] = field(default_factory=dict)
    seq: int = 0


class Evaluator:
    """Carries out plans."""

    def __init__(
        self,
        me: NodeID,
        instance: str,
        records: Records,
        auction: Auction,
        clock: Clock,
        scheduling_of: Callable[[NodeID], Scheduling],
    ) -> None:
        self._me, self._records, self._auction, self._clock = me, records, auction, clock
        self._scheduling_of = scheduling_of
        self._instance, self._count = instance, 0

    def nonce(self) -> str:
        """Give a word that no other write has."""
        self._count += 1
        return f"{self._instance}-{self._count}"

    async def look(self, job: JobView, nodes: Mapping[NodeID, NodeNow], policy: Policy) -> Look:
        """Make a plan for the job and carry it out."""
        spec = job.spec  # the plan is for this one; the job may move on while it is carried out
        plan = reconcile(job, nodes, self._clock.now(), policy)
        result = Look(again=plan.look_again, reasons=dict(plan.unsuitable))
        result.useless = frozenset(plan.unsuitable)
        result.waits_for_node = plan.waits_for_node
        await self._end(plan.abandon, Wish.ABANDONED, result)
        await self._end(plan.stop, Wish.STOP, result)
        if plan.place:
            suitable = {n: node for n, node in nodes.items() if n not in plan.unsuitable}
            refused = len(self._auction.refused(job.id, spec.version))
            await self._place(job, spec, plan.place, suitable, result=result)
            if plan.more and not result.missing:
                result.again = earliest(result.again, self._clock.now())
            if result.missing and len(self._auction.refused(job.id, spec.version)) > refused:
                # A node refused for good: the next plan may be to fail at once, with its reason.
                result.again = earliest(result.again, self._clock.now())
        if plan.conclude is not None:
            await self._conclude(job.id, plan.conclude, result)
        return result

    async def _end(self, endings: Sequence[Ending], wish: Wish, result: Look) -> None:
        for ending in endings:
            execution = ending.execution
            if not may_wish(execution.wish, wish):
                continue
            record = execution.desired.but(
                wish=wish, message=ending.message, requester=self._me, nonce=self.nonce()
            )
            await self._write(
                self._records.update(
                    desired_key(execution.id, execution.node_id), record, execution.desired_seq
                ),
                result,
            )

    async def _conclude(self, job_id: JobID, conclusion: Conclusion, result: Look) -> None:
        record = conclusion.but(requester=self._me, nonce=self.nonce())
        if await self._write(
            self._records.create(conclusion_key(job_id, conclusion.version), record), result
        ):
            log.debug(
                "job %s is %s", job_id, conclusion.state, extra={"action": "job_concluded", "job": job_id}
            )
            self._auction.forget(job_id, conclusion.version)

    async def _place(
        self,
        job: JobView,
        spec: JobSpec,
        placements: Sequence[Placement],
        nodes: Mapping[NodeID, NodeNow],
        *,
        result: Look,
    ) -> None:
        if len(placements) == 1:
            await self._place_one(job, spec, placements[0], nodes, result=result)
            return
        gate = asyncio.Semaphore(_AT_ONCE)

        async def one(placement: Placement) -> None:
            async with gate:
                await self._place_one(job, spec, placement, nodes, result=result)

        async with asyncio.TaskGroup() as group:
            for placement in placements:
                group.create_task(one(placement), name=f"place {placement.execution_id}")

    async def _place_one(
        self,
        job: JobView,
        spec: JobSpec,
        placement: Placement,
        nodes: Mapping[NodeID, NodeNow],
        *,
        result: Look,
    ) -> None:
        held = await self._auction.hold(job, spec, placement, nodes)
        if held.bid is None:
            result.missing.append(placement)
            result.reasons.update(held.reasons)
            if self._auction.refused(spec.id, spec.version).keys() & nodes.keys():
                # Who refused for good counted as suitable in this plan; the next one may conclude.
                result.again = earliest(result.again, self._clock.now())
            return
        # Cordoned since the plan was made; a daemon may be at home there.
        closed = spec.type is not JobType.DAEMON and self._scheduling_of(held.bid.node_id) != Scheduling.OPEN
        if closed or job.spec.version != spec.version or job.over:
            self._auction.withdraw(held.bid.node_id, placement.execution_id)
            if closed:
                result.again = earliest(result.again, self._clock.now())
            return
        record = self._assignment(spec, placement, held.bid)
        key = desired_key(placement.execution_id, held.bid.node_id)
        if not await self._write(self._records.create(key, record), result):
            self._auction.withdraw(held.bid.node_id, placement.execution_id)

    def _assignment(self, spec: JobSpec, placement: Placement, bid: Bid) -> Desired:
        return Desired(
            execution_id=placement.execution_id,
            job_id=spec.id,
            node_id=bid.node_id,
            version=spec.version,
            partition=placement.partition,
            attempt=placement.attempt,
            wish=Wish.RUN,
            bid_id=bid.bid_id,
            requester=self._me,
            nonce=self.nonce(),
            job=spec,
        )

    async def _write(self, write: Awaitable[int], result: Look) -> bool:
        try:
            try:
                result.seq = max(result.seq, await write)
            except Conflict:
                # Somebody acted first; what they did is in the stream already.
                result.seq = max(result.seq, await self._records.last_seq())
                result.again = earliest(result.again, self._clock.now())
                return False
        except Unavailable as error:
            # No bus, no leader, no room in the stream, or no answer: the next look finds out what is so.
            log.warning("could not act: %s", error.message, extra={"action": "act_failed"})
            result.again = earliest(result.again, self._clock.now() + _UNSURE)
            return False
        return True
