"""Find a node for one execution: ask the best-ranked nodes, take the first bid.

One node is asked first; when it declines or stays silent the next wave is twice as large. What was
offered and not answered is taken off the node's free capacity, so that a burst of jobs does not go to
one full node. A bid that comes too late, or that lost, is withdrawn so that its hold is released at once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Container, Mapping
from dataclasses import dataclass, field

from bacalhau_nats.domain.bidding import why_not_now
from bacalhau_nats.domain.ids import ExecutionID, JobID, NodeID
from bacalhau_nats.domain.jobview import JobView
from bacalhau_nats.domain.locality import held_bytes, wanted_keys
from bacalhau_nats.domain.ranking import Candidate, rank
from bacalhau_nats.domain.resources import Resources, parse
from bacalhau_nats.domain.roster import Roster
from bacalhau_nats.domain.scheduling.plan import NodeNow, Placement
from bacalhau_nats.domain.spec import JobSpec
from bacalhau_nats.messages import Bid, Decline, Offer
from bacalhau_nats.ports import Clock, RequesterBus


@dataclass(slots=True)
class Result:
    """A bid, or why each node that could run it did not bid."""

    bid: Bid | None = None
    reasons: dict[NodeID, str] = field(default_factory=dict)


@dataclass(slots=True)
class _Asked:
    """Offers of one execution that wait for answers."""

    job_id: JobID
    version: int
    arrived: asyncio.Event = field(default_factory=asyncio.Event)
    waiting: set[NodeID] = field(default_factory=set)
    bids: list[Bid] = field(default_factory=list)
    declines: dict[NodeID, str] = field(default_factory=dict)


class Auction:
    """Asks, and keeps who refused which job for good."""

    def __init__(
        self,
        me: NodeID,
        roster: Roster,
        bus: RequesterBus,
        clock: Clock,
        *,
        patience: float = 0.5,
        waves: int = 6,
    ) -> None:
        self._me, self._roster, self._bus, self._clock = me, roster, bus, clock
        self._patience, self._waves = patience, waves
        self._asked: dict[ExecutionID, _Asked] = {}
        self._refused: dict[tuple[JobID, int], dict[NodeID, str]] = {}
        self.withdraw: Callable[[NodeID, ExecutionID], None] = lambda _node, _execution: None

    def refused(self, job_id: JobID, version: int) -> Mapping[NodeID, str]:
        """Say which nodes declined this version for good, and why."""
        return self._refused.get((job_id, version), {})

    def forget(self, job_id: JobID, version: int) -> None:
        """Drop what is known of a job that is over."""
        self._refused.pop((job_id, version), None)

    def forget_others(self, alive: Container[JobID]) -> None:
        """Drop what is known of jobs that are over: another requester may have ended them, or a new version."""
        self._refused = {key: nodes for key, nodes in self._refused.items() if key[0] in alive}

    def forget_node(self, node_id: NodeID) -> None:
        """A node reported anew: what it refused may have changed."""
        for refusals in self._refused.values():
            refusals.pop(node_id, None)

    def on_answer(self, answer: Bid | Decline) -> None:
        """Take a bid or a decline from the bus."""
        self._roster.settle(answer.node_id, answer.execution_id)
        self._roster.amount(answer.node_id, answer.free, answer.tick)
        asked = self._asked.get(answer.execution_id)
        if isinstance(answer, Bid):
            if asked is not None and any(bid.bid_id == answer.bid_id for bid in asked.bids):
                return  # the winner's own bid, delivered twice
            if asked is None or answer.node_id not in asked.waiting or asked.bids:
                self.withdraw(answer.node_id, answer.execution_id)
                return
            asked.bids.append(answer)
        elif asked is not None:
            asked.declines[answer.node_id] = answer.reason
            if answer.never:
                self._refused.setdefault((asked.job_id, asked.version), {})[answer.node_id] = answer.reason
        if asked is not None:
            asked.waiting.discard(answer.node_id)
            asked.arrived.set()

    async def hold(
        self, job: JobView, spec: JobSpec, placement: Placement, nodes: Mapping[NodeID, NodeNow]
    ) -> Result:
        """Get one node to hold room for the execution, or say why none did.

        ``spec`` is the one that the placement was planned for; the job may move on while nodes are asked.
        """
        needs = parse(spec.task.resources)
        asked = _Asked(job.id, spec.version)
        if placement.node is not None:  # a job for each of thousands of nodes must not look at all for each
            nodes = {n: nodes[n] for n in (placement.node,) if n in nodes}
        if placement.execution_id in self._asked:
            return Result(reasons={})
        self._asked[placement.execution_id] = asked
        try:
            return await self._waves_of_offers(job, spec, placement, nodes, needs=needs, asked=asked)
        finally:
            del self._asked[placement.execution_id]
            for node_id in sorted(asked.waiting):
                self._roster.settle(node_id, placement.execution_id)
                self.withdraw(node_id, placement.execution_id)

    async def _waves_of_offers(
        self,
        job: JobView,
        spec: JobSpec,
        placement: Placement,
        nodes: Mapping[NodeID, NodeNow],
        *,
        needs: Resources,
        asked: _Asked,
    ) -> Result:
        tried: dict[NodeID, int] = {}
        for wave in range(self._waves):
            ranked = [
                c
                for c in self._candidates(job, spec, placement, nodes, needs)
                if self._worth(c.node_id, tried)
            ]
            if not ranked:
                break
            for candidate in ranked[: 2 ** max(0, wave - 1)]:
                tried[candidate.node_id] = self._tick(candidate.node_id)
                await self._offer(spec, placement, candidate.node_id, needs, asked)
            bid = await self._first_bid(asked)
            if bid is not None:
                return Result(bid)
        return Result(reasons=self._why_not(nodes, needs, asked))

    def _worth(self, node_id: NodeID, tried: Mapping[NodeID, int]) -> bool:
        """Say whether to ask: not asked yet, or it has told of other free capacity since."""
        return node_id not in tried or self._tick(node_id) > tried[node_id]

    def _tick(self, node_id: NodeID) -> int:
        known = self._roster.nodes.get(node_id)
        return known.tick if known else 0

    async def _offer(
        self, spec: JobSpec, placement: Placement, node_id: NodeID, needs: Resources, asked: _Asked
    ) -> None:
        asked.waiting.add(node_id)
        self._roster.offer(node_id, placement.execution_id, needs)
        await self._bus.offer(
            node_id,
            Offer(
                execution_id=placement.execution_id,
                node_id=node_id,
                requester=self._me,
                partition=placement.partition,
                attempt=placement.attempt,
                job=spec,
            ),
        )

    async def _first_bid(self, asked: _Asked) -> Bid | None:
        deadline = self._clock.monotonic() + self._patience
        while asked.waiting and not asked.bids:
            asked.arrived.clear()
            try:
                async with asyncio.timeout(max(0.0, deadline - self._clock.monotonic())):
                    await asked.arrived.wait()
            except TimeoutError:
                break
        return asked.bids[0] if asked.bids else None

    def _candidates(
        self,
        job: JobView,
        spec: JobSpec,
        placement: Placement,
        nodes: Mapping[NodeID, NodeNow],
        needs: Resources,
    ) -> list[Candidate]:
        now = self._clock.monotonic()
        refused = self.refused(job.id, spec.version)
        siblings: dict[NodeID, int] = {}
        for execution in job.executions.values() if len(nodes) > 1 else ():
            if not execution.terminal:
                siblings[execution.node_id] = siblings.get(execution.node_id, 0) + 1
        wanted = wanted_keys(spec.task) if len(nodes) > 1 else ()
        found = [
            Candidate(
                node_id,
                free=self._roster.free(node_id),
                capacity=node.report.capacity,
                siblings=siblings.get(node_id, 0),
                failures=placement.avoid.get(node_id, 0),
                held=held_bytes(wanted, node.report.holds) if wanted else 0,
                labels=node.report.labels,
            )
            for node_id, node in nodes.items()
            if node_id not in refused
            and not node.report.busy
            and self._roster.heard(node_id, now)
            and needs.fits_in(self._roster.free(node_id))
        ]
        favours = tuple(r for r in spec.constraints if r.key.startswith("favour_"))
        return rank(found, needs, salt=placement.execution_id, favours=favours) if len(found) > 1 else found

    def _why_not(self, nodes: Mapping[NodeID, NodeNow], needs: Resources, asked: _Asked) -> dict[NodeID, str]:
        now = self._clock.monotonic()
        reasons: dict[NodeID, str] = {}
        for node_id, node in nodes.items():
            reasons[node_id] = (
                asked.declines.get(node_id)
                or node.report.busy
                or ("" if self._roster.heard(node_id, now) else "has not been heard yet")
                or why_not_now(needs, self._roster.free(node_id))
                or "did not answer the offer in time"
            )
        return reasons
