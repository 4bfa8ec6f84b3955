"""Dates in object keys, written as the reference time of Go's ``time`` package: ``2006-01-02``, ``Jan/2``.

Only what a partition needs: does the text match the layout and is it a real date, and how is it written
canonically. Layouts with a time zone, the day of the year or fractions of a second are refused. What counts as
a match is Go's (https://pkg.go.dev/time#Layout): ``02`` wants two digits, ``2`` one or two, ``15`` one or two,
names of months and days in any case.
"""

from __future__ import annotations

import calendar
import re
from dataclasses import dataclass

_MONTHS = ("January", "February", "March", "April", "May", "June", "July", "August", "September", "October",
           "November", "December")  # fmt: skip
_DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_CENTURY = 69  # two digits of a year: from here on 19xx
_FEBRUARY = 2
_DAYS_OF = (31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)

# In the order in which Go looks for them; whatever none of these matches is a literal.
_ELEMENT = re.compile(
    r"January|Jan(?![a-z])|Monday|Mon(?![a-z])|MST|2006|_2(?!006)|002|01|02|03|04|05|06|15"
    r"|[-+]07(?::?00)?|Z07(?::?00)?|[.,](?:0+|9+)(?!\d)|PM|pm|1|2|3|4|5"
)


@dataclass(frozen=True, slots=True)
class _Number:
    """An element that is a number: what it matches, its range, and how it is written."""

    part: str
    pattern: str
    low: int
    high: int
    width: int = 0
    fill: str = "0"

    def read(self, text: str) -> int | None:
        value = int(text)
        return value if self.low <= value <= self.high else None

    def write(self, value: int) -> str:
        if self.part == "half hour":
            value = value % 12 or 12
        return str(value).rjust(self.width, self.fill)


@dataclass(frozen=True, slots=True)
class _Name:
    """An element that is one of some words."""

    part: str
    words: tuple[str, ...]
    any_case: bool = True

    @property
    def pattern(self) -> str:
        words = "|".join(self.words)
        return f"(?i:{words})" if self.any_case else words

    def read(self, text: str) -> int | None:
        return [word.lower() for word in self.words].index(text.lower()) + 1

    def write(self, value: int) -> str:
        return self.words[value - 1]


_ELEMENTS: dict[str, _Number | _Name] = {
    "2006": _Number("year", r"\d{4}", 0, 9999, 4),
    "06": _Number("short year", r"\d{2}", 0, 99, 2),
    "January": _Name("month", _MONTHS),
    "Jan": _Name("month", tuple(name[:3] for name in _MONTHS)),
    "01": _Number("month", r"\d{2}", 1, 12, 2),
    "1": _Number("month", r"\d{1,2}", 1, 12),
    "02": _Number("day", r"\d{2}", 1, 31, 2),
    "_2": _Number("day", r" ?\d{1,2}", 1, 31, 2, " "),
    "2": _Number("day", r"\d{1,2}", 1, 31),
    "Monday": _Name("weekday", _DAYS),
    "Mon": _Name("weekday", tuple(name[:3] for name in _DAYS)),
    "15": _Number("hour", r"\d{1,2}", 0, 23, 2),
    "03": _Number("half hour", r"\d{2}", 0, 12, 2),
    "3": _Number("half hour", r"\d{1,2}", 0, 12),
    "PM": _Name("half", ("AM", "PM"), any_case=False),
    "pm": _Name("half", ("am", "pm"), any_case=False),
    "04": _Number("minute", r"\d{2}", 0, 59, 2),
    "4": _Number("minute", r"\d{1,2}", 0, 59),
    "05": _Number("second", r"\d{2}", 0, 59, 2),
    "5": _Number("second", r"\d{1,2}", 0, 59),
}


class GoLayout:
    """A layout that texts can be matched with. ``length`` is its own, in bytes."""

    def __init__(self, layout: str) -> None:
        """Read a layout. Raises ValueError saying what of it is not supported."""
        self.length = len(layout.encode())
        self._elements: list[_Number | _Name] = []
        self._literals: list[str] = []  # one before each element, one after the last
        pattern, end = "", 0
        for found in _ELEMENT.finditer(layout):
            element = _ELEMENTS.get(found.group())
            if element is None:
                raise ValueError(f"{found.group()!r} in a date format is not supported")
            literal, end = layout[end : found.start()], found.end()
            self._literals.append(literal)
            self._elements.append(element)
            pattern += f"{re.escape(literal)}({element.pattern})"
        self._literals.append(layout[end:])
        self._pattern = re.compile(pattern + re.escape(layout[end:]), re.ASCII)

    def canonical(self, text: str) -> str | None:
        """Give the date in ``text`` as the layout writes it; None when ``text`` is not such a date."""
        match = self._pattern.fullmatch(text)
        if match is None:
            return None
        told: dict[str, int] = {}
        written = self._literals[0]
        for element, found, literal in zip(self._elements, match.groups(), self._literals[1:], strict=True):
            value = element.read(found)
            if value is None:
                return None
            told[element.part] = value
            written += element.write(value) + literal
        return written if _is_date(told) else None


def _is_date(told: dict[str, int]) -> bool:
    """Say whether the month has that day; what is not told is January the first of the year 0, as in Go."""
    year = told.get("year", 0)
    if "short year" in told:
        year = told["short year"] + (1900 if told["short year"] >= _CENTURY else 2000)
    month = told.get("month", 1)
    leap = month == _FEBRUARY and calendar.isleap(year)
    return told.get("day", 1) <= _DAYS_OF[month - 1] + leap
