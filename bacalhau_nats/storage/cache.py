"""Content by its sha256, kept on the node and shared by executions, which may only read it.

An entry is a read-only file named by its digest. It is written beside its place and renamed, and hashed once
in the life of each process before it is trusted, so that neither a crash nor a failing disk can hand out wrong
bytes (and no write need wait for the disk). One process owns a data folder, so counting in memory is enough.

An execution uses an entry some time after it asked for it, and nobody says when it has ended. So what was handed
out within the last `GRACE` seconds is never removed; content that finds the cache full of such entries is not
cached at all. The bound holds either way.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import time
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4
from weakref import WeakValueDictionary

GRACE = 3600.0
"""Seconds between a file being handed out and a container having it mounted, at the very most."""

_DRAFT = ".part"
_NOTED = 60.0  # seconds between notes on disk that an entry is used


class WrongContent(Exception):
    """The bytes are not those the digest or size promises."""


@dataclass(slots=True)
class _Entry:
    size: int
    used: float
    trusted: bool = False


class BlobCache:
    """A bounded folder of content by digest. Call `load` first."""

    def __init__(
        self,
        folder: Path,
        limit: int,
        *,
        monotonic: Callable[[], float] = time.monotonic,
        grace: float = GRACE,
    ) -> None:
        self._folder = folder
        self._limit = limit
        self._now = monotonic
        self._grace = grace
        self._entries: dict[str, _Entry] = {}
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    def load(self) -> None:
        """Take stock of what earlier processes left; drafts are removed. Blocking."""
        self._folder.mkdir(parents=True, exist_ok=True)
        found = [(path, path.stat()) for path in self._folder.iterdir()]
        found.sort(key=lambda pair: max(pair[1].st_atime, pair[1].st_mtime), reverse=True)
        for age, (path, stat) in enumerate(found):
            if path.name.endswith(_DRAFT):
                path.unlink()
            else:
                self._entries[path.name] = _Entry(stat.st_size, self._now() - self._grace - age)

    async def get(
        self, digest: str, size: int, content: Callable[[], AsyncIterator[bytes]], spare: Path
    ) -> Path:
        """Give a file with the content of ``digest`` (sha256, hex), which is ``size`` bytes long.

        ``content`` is read when the cache does not have it; where the cache has no room the file is made below
        ``spare`` instead. Raises WrongContent, OSError and what ``content`` raises.
        """
        entry = self._entries.get(digest)
        if entry is not None and entry.trusted:
            return self._hand_out(digest, entry)
        lock = self._locks.setdefault(digest, asyncio.Lock())
        async with lock:  # executions that want the same wait for one download
            return await self._get(digest, size, content, spare)

    async def _get(
        self, digest: str, size: int, content: Callable[[], AsyncIterator[bytes]], spare: Path
    ) -> Path:
        if path := await self._trusted(digest):
            return path
        fits = await self._make_room(size)
        if fits:
            self._entries[digest] = _Entry(size, self._now())  # the room is taken before it is filled
        folder = self._folder if fits else spare
        try:
            path = await _store(folder, digest, size, content())
        except BaseException:
            if fits:
                del self._entries[digest]
            raise
        if fits:
            self._entries[digest].trusted = True
            return self._hand_out(digest, self._entries[digest])
        return path

    def has(self, digest: str) -> bool:
        """Say whether there is such content, as far as that is known without looking at its bytes."""
        return digest in self._entries

    async def find(self, digest: str) -> Path | None:
        """Give the file with this content if it is there and whole; see `get`."""
        if digest not in self._entries:
            return None
        lock = self._locks.setdefault(digest, asyncio.Lock())
        async with lock:
            return await self._trusted(digest)

    async def adopt(self, file: Path, digest: str, size: int) -> Path:
        """Take over ``file``, whose content has been hashed as it was written; give where it is now.

        That is its own place when there is no room for it, or when it lies on another file system.
        """
        lock = self._locks.setdefault(digest, asyncio.Lock())
        async with lock:
            if path := await self._trusted(digest):
                return path
            if not await self._make_room(size):
                return file
            path = self._folder / digest
            if not await asyncio.to_thread(_moved, file, path):
                return file
            self._entries[digest] = _Entry(size, self._now(), trusted=True)
            return path

    def shrink(self) -> None:
        """Forget all that was not used for a while. Blocking."""
        for digest in self._idle():
            del self._entries[digest]
            (self._folder / digest).unlink(missing_ok=True)

    def _hand_out(self, digest: str, entry: _Entry) -> Path:
        path = self._folder / digest
        if self._now() - entry.used > _NOTED:
            with suppress(OSError):  # only for the order in which a later process forgets
                os.utime(path, (time.time(), path.stat().st_mtime))
        entry.used = self._now()
        return path

    async def _trusted(self, digest: str) -> Path | None:
        entry = self._entries.get(digest)
        if entry is not None and not entry.trusted:
            entry.trusted = await asyncio.to_thread(_is, self._folder / digest, digest)
            if not entry.trusted:
                del self._entries[digest]
                (self._folder / digest).unlink(missing_ok=True)
                entry = None
        return self._hand_out(digest, entry) if entry is not None else None

    def _idle(self) -> list[str]:
        """Name what may go, the longest unused first."""
        old = [
            (entry.used, digest)
            for digest, entry in self._entries.items()
            if entry.used <= self._now() - self._grace and digest not in self._locks
        ]
        return [digest for _, digest in sorted(old)]

    async def _make_room(self, size: int) -> bool:
        """Forget what was not used for longest until ``size`` bytes fit; False when they cannot."""
        free = self._limit - sum(entry.size for entry in self._entries.values())
        doomed: list[str] = []
        for digest in self._idle():
            if free >= size:
                break
            free += self._entries[digest].size
            doomed.append(digest)
        if free < size:
            return False
        for digest in doomed:
            del self._entries[digest]
            (self._folder / digest).unlink(missing_ok=True)
        return True


async def _store(folder: Path, digest: str, size: int, content: AsyncIterator[bytes]) -> Path:
    draft = folder / f"{uuid4().hex}{_DRAFT}"
    seen, got = hashlib.sha256(), 0
    try:
        await asyncio.to_thread(folder.mkdir, parents=True, exist_ok=True)
        with draft.open("xb") as out:
            async for chunk in content:
                got += len(chunk)
                if got > size:
                    break
                seen.update(chunk)
                await asyncio.to_thread(out.write, chunk)
        if got != size or seen.hexdigest() != digest:
            raise WrongContent(f"content of sha256:{digest} should be {size} bytes long; what came is not it")
        draft.chmod(0o444)
        path = folder / digest
        draft.rename(path)
        return path
    finally:
        draft.unlink(missing_ok=True)


def _moved(file: Path, path: Path) -> bool:
    try:
        file.chmod(0o444)
        file.rename(path)
    except OSError:
        return False
    return True


def _is(path: Path, digest: str) -> bool:
    try:
        with path.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
    except FileNotFoundError:
        return False
    return found == digest
