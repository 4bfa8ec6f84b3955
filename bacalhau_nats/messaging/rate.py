"""So many bytes a second, with a burst: when to pause. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(slots=True)
class Rate:
    """A bucket that holds ``burst`` bytes and fills by ``per_second`` of them. Times are monotonic seconds."""

    per_second: float
    burst: float
    since: float
    _allowance: float = field(init=False)

    def __post_init__(self) -> None:
        self._allowance = self.burst

    def take(self, size: int, now: float) -> float:
        """Take ``size`` bytes out; give how many seconds to pause before they may be used."""
        self._allowance = min(self.burst, self._allowance + (now - self.since) * self.per_second) - size
        self.since = now
        return max(0.0, -self._allowance / self.per_second)
