"""The delay report: read what the nodes wrote, merge it, show it."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from rich.table import Table
from rich.text import Text

_NUMBERS = 52  # columns that everything but names and bars takes
_BAR, _SHORT_BAR, _WIDE = 20, 5, 100


@dataclass(frozen=True, slots=True)
class Row:
    """Sums over some flights; ``minutes`` adds up departure delays, ``worst`` is the longest (None: no departure)."""

    flights: int = 0
    late: int = 0
    minutes: int = 0
    worst: int | None = None
    cancelled: int = 0

    def __add__(self, other: Self) -> Row:
        worst = [w for w in (self.worst, other.worst) if w is not None]
        return Row(
            self.flights + other.flights,
            self.late + other.late,
            self.minutes + other.minutes,
            max(worst, default=None),
            self.cancelled + other.cancelled,
        )

    @property
    def departed(self) -> int:
        """How many were not cancelled."""
        return self.flights - self.cancelled

    @property
    def late_share(self) -> float:
        """Which part of the departures was late."""
        return self.late / self.departed if self.departed else 0.0

    @property
    def average(self) -> float:
        """Average departure delay in minutes."""
        return self.minutes / self.departed if self.departed else 0.0


Sums = dict[tuple[str, str], Row]
"""By carrier and airport of origin."""


def read(paths: Iterable[Path]) -> Sums:
    """Merge the reports that the nodes wrote; all columns are sums or maxima, so this is exact."""
    merged: Sums = {}
    for path in paths:
        with path.open(newline="") as file:
            for line in csv.DictReader(file):
                key = (line["carrier"], line["origin"])
                row = Row(
                    int(line["flights"]),
                    int(line["late15"]),
                    int(line["sum_dep_delay_minutes"]),
                    int(line["max_dep_delay"]) if line["max_dep_delay"] else None,
                    int(line["cancelled"]),
                )
                merged[key] = merged.get(key, Row()) + row
    return merged


def total(sums: Sums) -> Row:
    """Add everything up."""
    return sum(sums.values(), Row())


def by_carrier(sums: Sums) -> dict[str, Row]:
    """Add up the airports of each carrier, worst share of late flights first."""
    carriers: dict[str, Row] = {}
    for (carrier, _), row in sums.items():
        carriers[carrier] = carriers.get(carrier, Row()) + row
    return dict(sorted(carriers.items(), key=lambda item: -item[1].late_share))


def table(sums: Sums, airlines: Mapping[str, str], width: int) -> Table:
    """Draw the report, one line per carrier, ``width`` wide."""
    bar = _BAR if width >= _WIDE else _SHORT_BAR
    names = width - _NUMBERS - bar
    shown = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold", show_footer=True)
    whole = total(sums)
    columns = (
        ("carrier", "all", "left"),
        ("flights", f"{whole.flights:,}", "right"),
        ("late ≥ 15 min", f"{whole.late_share:.1%}", "right"),
        ("", "", "left"),
        ("average", f"{whole.average:.1f} min", "right"),
        ("longest", _worst(whole), "right"),
        ("cancelled", f"{whole.cancelled:,}", "right"),
    )
    for heading, footer, justify in columns:
        shown.add_column(heading, footer, justify=justify, footer_style="bold", no_wrap=True)  # type: ignore[arg-type]  # left or right
    carriers = by_carrier(sums)
    top = max((row.late_share for row in carriers.values()), default=0) or 1
    for carrier, row in carriers.items():
        shown.add_row(
            f"{carrier} {airlines.get(carrier, '')}".strip()[:names],
            f"{row.flights:,}",
            f"{row.late_share:.1%}",
            Text("█" * round(bar * row.late_share / top), style=_colour(row.late_share / top)),
            f"{row.average:.1f} min",
            _worst(row),
            f"{row.cancelled:,}",
        )
    return shown


def _worst(row: Row) -> str:
    return "-" if row.worst is None else f"{row.worst // 60}h{row.worst % 60:02}"


def _colour(share: float) -> str:
    return "red" if share > 0.8 else "yellow" if share > 0.6 else "green"  # noqa: PLR2004 - of the worst one
