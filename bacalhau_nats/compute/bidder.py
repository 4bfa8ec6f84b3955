"""Answer one offer: a bid that holds room, or a decline with its reason."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from bacalhau_nats.compute.capacity import Ledger
from bacalhau_nats.domain.bidding import why_never, why_not_now
from bacalhau_nats.domain.ids import NodeID
from bacalhau_nats.domain.node import NodeReport
from bacalhau_nats.domain.resources import parse
from bacalhau_nats.domain.spec import JobSpec
from bacalhau_nats.messages import Bid, Decline, Offer

Rule = Callable[[JobSpec], str]
"""A rule of this node's own policy: the reason to refuse a job for good, or nothing."""


@dataclass(slots=True)
class Bidder:
    """Considers offers for one node. ``hold_seconds`` is how long a bid keeps its room."""

    me: NodeID
    ledger: Ledger
    report: Callable[[], NodeReport]
    rules: tuple[Rule, ...] = ()
    hold_seconds: float = 3.0

    def consider(self, offer: Offer, now: float, tick: int) -> Bid | Decline:
        """Decide; a bid has its room held when this returns."""
        job = offer.job
        if job is None or not job.tasks:
            return self._decline(offer, "cannot read the job it was offered", tick, never=True)
        report = self.report()
        reasons = [why_never(job, report), *(rule(job) for rule in self.rules)]
        never = "; ".join(reason for reason in reasons if reason)
        if never:
            return self._decline(offer, never, tick, never=True)
        if report.draining:
            return self._decline(offer, "is draining and takes no new work", tick)
        if report.busy:
            return self._decline(offer, report.busy, tick)
        needs = parse(job.task.resources)
        if not self.ledger.hold(offer.execution_id, needs, now + self.hold_seconds):
            return self._decline(offer, why_not_now(needs, self.ledger.free) or "is busy", tick)
        return Bid(
            bid_id=f"{offer.execution_id}@{tick}",
            execution_id=offer.execution_id,
            node_id=self.me,
            free=self.ledger.free,
            tick=tick,
            hold_seconds=self.hold_seconds,
        )

    def _decline(self, offer: Offer, reason: str, tick: int, *, never: bool = False) -> Decline:
        return Decline(
            execution_id=offer.execution_id,
            node_id=self.me,
            reason=reason,
            never=never,
            free=self.ledger.free,
            tick=tick,
        )
