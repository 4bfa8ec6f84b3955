"""Which objects of an S3 input each partition of a job gets. Pure.

A part of the key is hashed with FNV-1a (32 bits), and the hash modulo the number of partitions says whose the
object is: the same object goes to the same partition on every node and in every attempt, each object to exactly
one. What the part is, the type says (as in Bacalhau 1.9):

* ``object``: the whole key;
* ``regex``: what ``Pattern`` finds in the key; its groups, where it has some and they are not empty;
* ``substring``: the characters from ``StartIndex`` up to ``EndIndex``;
* ``date``: a date at the beginning, written as ``DateFormat`` says, a layout of Go's ``time`` package;
* ``none``: every partition gets everything.

All but ``object`` look at the key behind the prefix of the input. A key without such a part belongs to partition 0.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from pydantic import ConfigDict

from bacalhau_nats.domain.model import Model
from bacalhau_nats.storage.go_layout import GoLayout
from bacalhau_nats.storage.patterns import compiled

KINDS = ("", "none", "object", "regex", "substring", "date")
_NOBODYS = 0
_SEPARATOR = "\x1f"  # cannot be in a key, so ("a", "bc") and ("ab", "c") are different parts
_OFFSET, _PRIME, _BITS = 0x811C9DC5, 0x01000193, 0xFFFFFFFF
_T = TypeVar("_T")


class Partitioning(Model):
    """`Partition` of an S3 input."""

    model_config = ConfigDict(coerce_numbers_to_str=True)

    type: str = ""
    pattern: str = ""
    start_index: int = 0
    end_index: int = 0
    date_format: str = ""

    def fault(self) -> str:
        """Say what is wrong with it; empty when nothing is."""
        match self.type.strip().lower():
            case "regex" if not self.pattern:
                return "Partition.Pattern must not be empty for the type regex"
            case "regex":
                return _fault_of(lambda: compiled(self.pattern), "Partition.Pattern")
            case "substring" if self.start_index < 0:
                return "Partition.StartIndex must not be negative"
            case "substring" if self.end_index <= self.start_index:
                return "Partition.EndIndex must be greater than StartIndex"
            case "date" if not self.date_format:
                return "Partition.DateFormat must not be empty for the type date"
            case "date":
                return _fault_of(lambda: GoLayout(self.date_format), "Partition.DateFormat")
            case kind if kind not in KINDS:
                return f"Partition.Type {self.type!r} is none of {', '.join(KINDS[1:])}"
        return ""


def share_of(
    objects: Iterable[_T], key: Callable[[_T], str], prefix: str, how: Partitioning, *, index: int, count: int
) -> list[_T]:
    """Give the objects of partition ``index`` of ``count``, in their order; ``key`` gives an object's key."""
    kind = how.type.strip().lower()
    if count <= 1 or kind in ("", "none"):
        return list(objects)
    part = _part_of(kind, prefix, how)
    return [one for one in objects if _owner(part(key(one)), count) == index]


def fnv1a(text: str) -> int:
    """Hash with FNV-1a, 32 bits (http://www.isthe.com/chongo/tech/comp/fnv/)."""
    found = _OFFSET
    for byte in text.encode():
        found = ((found ^ byte) * _PRIME) & _BITS
    return found


def _owner(part: str | None, count: int) -> int:
    return _NOBODYS if part is None else fnv1a(part) % count


def _part_of(kind: str, prefix: str, how: Partitioning) -> Callable[[str], str | None]:
    """Give the function that finds the part of a key which is hashed; None is: there is none."""

    def rest(key: str) -> str:
        return key.removeprefix(prefix).removeprefix("/")

    match kind:
        case "object":
            return lambda key: key
        case "regex":
            return lambda key: _matched(how.pattern, rest(key))
        case "substring":
            return lambda key: _slice(rest(key), how.start_index, how.end_index)
        case _:
            layout = GoLayout(how.date_format)
            return lambda key: layout.canonical(_head(rest(key), layout.length))


def _matched(pattern: str, text: str) -> str | None:
    found: Any = compiled(pattern).search(text)
    if found is None or not found.group():
        return None
    groups = [group for group in found.groups() if group]
    return _SEPARATOR.join(groups) if groups else str(found.group())


def _slice(text: str, start: int, end: int) -> str | None:
    return text[start:end] if len(text) >= end else None


def _head(text: str, length: int) -> str:
    return text.encode()[:length].decode(errors="replace")


def _fault_of(read: Callable[[], object], key: str) -> str:
    try:
        read()
    except ValueError as error:
        return f"{key}: {error}"
    return ""
