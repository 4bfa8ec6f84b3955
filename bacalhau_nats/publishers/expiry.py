"""Which archives of a folder have to go: the old ones, and the oldest beyond a size."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Kept:
    """An archive that is there: its name, when it was published (unix seconds), and its bytes."""

    name: str
    published: float
    size: int


def expired(there: Sequence[Kept], now: float, *, max_age: float, max_size: int) -> list[str]:
    """Name what has to go, oldest first; a limit of 0 is none.

    The newest archive stays whatever its size: its address has just been given out. Pure.
    """
    gone: list[str] = []
    ordered = sorted(there, key=lambda one: (one.published, one.name))
    total = sum(one.size for one in ordered)
    for one in ordered:
        old = bool(max_age) and one.published <= now - max_age
        large = bool(max_size) and total > max_size and one is not ordered[-1]
        if not old and not large:
            break
        gone.append(one.name)
        total -= one.size
    return gone


def remove_expired(folder: Path, pattern: str, now: float, *, max_age: float, max_size: int) -> list[str]:
    """Remove what `expired` names and give it. One that is being read is read to its end. Raises OSError.

    Each removal is one step, so dying in between leaves whole archives, and the next call goes on.
    """
    there = []
    for path in folder.glob(pattern):
        with contextlib.suppress(FileNotFoundError):
            found = path.stat()
            there.append(Kept(path.name, found.st_mtime, found.st_size))
    gone = expired(there, now, max_age=max_age, max_size=max_size)
    for name in gone:
        (folder / name).unlink(missing_ok=True)
    return gone
