"""One measured number, what it aims at, and what others reached."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Measure:
    """A number with its unit. ``at_most`` or ``at_least`` is the aim; ``note`` says what it was made of."""

    what: str
    value: float
    unit: str
    at_most: float | None = None
    at_least: float | None = None
    note: str = ""

    @property
    def aim(self) -> str:
        """The aim as people read it; empty where there is none."""
        if self.at_most is not None:
            return f"<= {self.at_most:g}"
        return f">= {self.at_least:g}" if self.at_least is not None else ""

    @property
    def met(self) -> bool | None:
        """Whether the aim is reached; None where there is none."""
        if self.at_most is not None:
            return self.value <= self.at_most
        return self.value >= self.at_least if self.at_least is not None else None

    def to_json(self) -> dict[str, Any]:
        """Give all of it as JSON values."""
        return asdict(self) | {"met": self.met}


def percentile(values: Sequence[float], part: float) -> float:
    """Give the value that ``part`` (0 to 1) of ``values`` do not exceed (nearest rank)."""
    if not values:
        raise ValueError("nothing was measured")
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(part * len(ordered)))]


def spread(what: str, seconds: Sequence[float], *, at_most: float | None = None) -> list[Measure]:
    """Give p50, p90 and p99 of ``seconds`` in milliseconds; the aim is for the median."""
    note = f"{len(seconds)} times"
    return [
        Measure(
            f"{what}, p{part}",
            percentile(seconds, part / 100) * 1000,
            "ms",
            at_most=at_most if part == 50 else None,
            note=note,
        )
        for part in (50, 90, 99)
    ]
