"""Everything unfinished, a part at a time: a hundred thousand jobs must not hold up those that are due."""

from __future__ import annotations

from dataclasses import dataclass, field

from bacalhau_nats.domain.ids import JobID
from bacalhau_nats.domain.view import View


@dataclass(slots=True)
class Sweep:
    """One round over the unfinished jobs of a view."""

    view: View
    at_once: int = 500
    left: list[JobID] = field(default_factory=list)

    def start(self) -> None:
        """Begin a round anew."""
        self.left = [j.id for j in self.view.unfinished.values() if j.known and not j.settled]

    def part(self) -> list[JobID]:
        """Give the next part of the round."""
        part, self.left = self.left[: self.at_once], self.left[self.at_once :]
        return part
