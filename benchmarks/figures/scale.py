"""How large a run is."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Scale:
    """A full run, or a quick one that only shows that everything works."""

    quick: bool = False

    def of(self, full: int, quick: int) -> int:
        """Choose a number."""
        return quick if self.quick else full
