"""What was fetched into a folder: which results, and every file as it was written there.

Kept beside the files as `NAME` and written last, but not for the sake of a single path. With it a repeated fetch can tell what is still as it was (and
need not be fetched again), and which of the files in its way are its own and unchanged (and may be replaced).
A receipt that is lost or damaged costs only that.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from bacalhau_nats.domain.manifest import Entry
from bacalhau_nats.errors import Conflict
from bacalhau_nats.sealing import entry_of

NAME = ".bacalhau-get.json"


@dataclass(frozen=True, slots=True)
class Fetched:
    """One fetch: the digest of each result by its owner, and the files that were written."""

    results: Mapping[str, str]
    files: tuple[Entry, ...]


@dataclass(frozen=True, slots=True)
class Receipt:
    """All fetches into a folder, by the path of the results that was asked for (empty: all)."""

    fetches: Mapping[str, Fetched] = field(default_factory=dict)

    def covers(self, folder: Path, path: str, results: Mapping[str, str]) -> bool:
        """Say whether these results were fetched and every file of them is still as it was. Blocking."""
        fetched = self.fetches.get(path)
        return (
            fetched is not None
            and all(results.values())
            and fetched.results == results
            and all(_is_still(folder, entry) for entry in fetched.files)
        )

    def wrote(self, folder: Path, name: str) -> bool:
        """Say whether the file was written by a fetch and is still as it was. Blocking."""
        return any(
            entry.path == name and _is_still(folder, entry)
            for fetched in self.fetches.values()
            for entry in fetched.files
        )

    def left_over(self, folder: Path, path: str, files: Sequence[Entry]) -> tuple[str, ...]:
        """Name the files of an earlier fetch of ``path`` that are not among ``files`` and still there."""
        before = self.fetches.get(path)
        now = {entry.path for entry in files}
        return tuple(
            entry.path
            for entry in (before.files if before else ())
            if entry.path not in now and (folder / entry.path).exists()
        )

    def and_also(self, path: str, fetched: Fetched) -> Receipt:
        """Add a fetch, in place of an earlier one of the same path."""
        return Receipt({**self.fetches, path: fetched})


def read(folder: Path) -> Receipt:
    """Read the receipt of a folder; an empty one when there is none that can be read. Blocking."""
    try:
        found = json.loads((folder / NAME).read_bytes())
        return Receipt(
            {
                str(one["Path"]): Fetched(
                    {str(key): str(value) for key, value in one["Results"].items()},
                    tuple(Entry(str(p), int(size), str(digest)) for p, size, digest in one["Files"]),
                )
                for one in found["Fetches"]
            }
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return Receipt()


def write(folder: Path, receipt: Receipt) -> None:
    """Write the receipt, whole or not at all. Blocking."""
    fetches = [
        {
            "Path": path,
            "Results": dict(one.results),
            "Files": [[entry.path, entry.size, entry.sha256] for entry in one.files],
        }
        for path, one in receipt.fetches.items()
    ]
    draft = folder / f"{NAME}.part"
    draft.write_text(json.dumps({"Fetches": fetches}, indent=1))
    draft.replace(folder / NAME)


@contextmanager
def only_fetch(folder: Path) -> Iterator[None]:
    """Keep other fetches out of a folder. Raises Conflict when one is under way there."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise Conflict(
                f"another fetch is writing into {folder}", hint="wait for its end, or name another folder"
            ) from None
        yield
    finally:
        os.close(descriptor)


def _is_still(folder: Path, entry: Entry) -> bool:
    path = folder / entry.path
    try:
        if path.is_symlink() or not path.is_file() or path.stat().st_size != entry.size:
            return False
        return entry_of(path, entry.path) == entry
    except OSError:
        return False
