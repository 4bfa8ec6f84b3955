"""What a node has promised: a ledger of holds and claims. Pure.

A *hold* is made with a bid and ends by itself; a *claim* is made when the execution is assigned and ends
when its work has ended. Both are counted against what the node has to give.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from bacalhau_nats.domain.ids import ExecutionID
from bacalhau_nats.domain.resources import NOTHING, Resources


@dataclass(slots=True)
class Ledger:
    """Times are monotonic seconds. While it is ``closed`` nothing is free, whatever was promised before."""

    total: Resources
    closed: bool = False
    _holds: dict[ExecutionID, tuple[Resources, float]] = field(default_factory=dict)
    _claims: dict[ExecutionID, Resources] = field(default_factory=dict)
    _used: Resources = NOTHING

    @property
    def free(self) -> Resources:
        """What is neither held nor claimed."""
        return NOTHING if self.closed else self.total - self._used

    @property
    def claimed(self) -> int:
        """How many executions have a claim."""
        return len(self._claims)

    def hold(self, execution: ExecutionID, needs: Resources, until: float) -> bool:
        """Hold room for an execution until a moment; False when there is none. Asking again renews it."""
        if execution in self._claims:
            return True
        held = self._holds.get(execution)
        if held is None:
            if not needs.fits_in(self.free):
                return False
            self._used = self._used + needs
        self._holds[execution] = (held[0] if held else needs, until)
        return True

    def claim(self, execution: ExecutionID, needs: Resources) -> bool:
        """Turn a hold into a claim, or claim free room; False when the hold is gone and there is none."""
        if execution in self._claims:
            return True
        held = self._holds.pop(execution, None)
        if held is None:
            if not needs.fits_in(self.free):
                return False
            self._used = self._used + needs
            self._claims[execution] = needs
        else:
            self._claims[execution] = held[0]
        return True

    def force(self, execution: ExecutionID, needs: Resources) -> None:
        """Claim room for something that is running already, whether it fits or not."""
        if execution not in self._claims:
            self._holds.pop(execution, None)
            self._claims[execution] = needs
            self._recount()

    def release(self, execution: ExecutionID) -> bool:
        """End a hold or a claim; say whether there was one."""
        held = self._holds.pop(execution, None)
        claimed = self._claims.pop(execution, None)
        if held is None and claimed is None:
            return False
        self._recount()
        return True

    def expire(self, now: float) -> bool:
        """End the holds whose time is over; say whether there were any."""
        over = [e for e, (_, until) in self._holds.items() if until <= now]
        for execution in over:
            del self._holds[execution]
        if over:
            self._recount()
        return bool(over)

    def next_expiry(self) -> float | None:
        """Give the moment when the first hold ends."""
        return min((until for _, until in self._holds.values()), default=None)

    def _recount(self) -> None:
        used = NOTHING
        for needs, _ in self._holds.values():
            used = used + needs
        for needs in self._claims.values():
            used = used + needs
        self._used = used
