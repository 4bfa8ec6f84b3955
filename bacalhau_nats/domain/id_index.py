"""Ids in alphabetical order, so that those with a prefix are found without a look at all of them."""

from __future__ import annotations

from bisect import bisect_left, insort
from dataclasses import dataclass, field

_FEW = 64  # beyond it, sorting all once is cheaper than making room for each


@dataclass(slots=True)
class IdIndex:
    """A set of ids that is put in order when it is asked, not when it grows: most ids are never looked up."""

    _ordered: list[str] = field(default_factory=list)
    _new: list[str] = field(default_factory=list)

    def add(self, one: str) -> None:
        """Take up an id that is not there yet."""
        self._new.append(one)

    def discard(self, one: str) -> None:
        """Forget an id."""
        self._order()
        at = bisect_left(self._ordered, one)
        if self._ordered[at : at + 1] == [one]:
            del self._ordered[at]

    def clear(self) -> None:
        """Forget all."""
        self._ordered.clear()
        self._new.clear()

    def with_prefix(self, prefix: str, limit: int) -> list[str]:
        """Give the first ``limit`` ids that start with ``prefix``."""
        self._order()
        begin = bisect_left(self._ordered, prefix)
        return [one for one in self._ordered[begin : begin + limit] if one.startswith(prefix)]

    def _order(self) -> None:
        if len(self._new) > _FEW:
            self._ordered += self._new
            self._ordered.sort()
        else:
            for one in self._new:
                insort(self._ordered, one)
        self._new.clear()
