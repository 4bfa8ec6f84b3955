"""What was downloaded, kept for the next execution that names the same URL.

Kept is content by its sha256 (see `cache`), and beside it a note for each URL: which content it gave, under which
file name, and which version of it the server said it was. The server is asked each time whether that is still its
version, so what is used is never stale, and who may not have it any more does not get it. A server that names no
version is asked for the whole file each time.

Notes are written beside their place and renamed. One without its content is worth nothing and is dropped.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from email.utils import parsedate_to_datetime
from pathlib import Path
from uuid import uuid4

from bacalhau_nats.storage.cache import BlobCache

_MOST_NOTES = 10_000
_DRAFT = ".part"
_SETTLED = 60.0  # seconds after which a time of change names a version: it has a resolution of one


@dataclass(frozen=True, slots=True)
class Note:
    """What a URL gave. ``version`` is a header's name and value that name the version."""

    sha256: str
    size: int
    name: str
    version: str


class URLCache:
    """Notes by `locality.input_digest`. Call `load` first; one process at a time."""

    def __init__(self, blobs: BlobCache, notes: Path) -> None:
        self._blobs = blobs
        self._folder = notes
        self._notes: dict[str, Note] = {}

    def load(self) -> None:
        """Read what earlier processes left. Blocking."""
        self._blobs.load()
        self._folder.mkdir(parents=True, exist_ok=True)
        for path in sorted(self._folder.iterdir(), key=lambda path: path.stat().st_mtime):
            note = None if path.name.endswith(_DRAFT) else _read(path)
            if note is None or not self._blobs.has(note.sha256):
                path.unlink()
            else:
                self._notes[path.name] = note

    async def find(self, digest: str) -> tuple[Note, Path] | None:
        """Give what is kept for an input, whole and untouched; it stays for as long as `cache.GRACE`."""
        note = self._notes.get(digest)
        if note is None:
            return None
        path = await self._blobs.find(note.sha256)
        if path is None:
            self._forget(digest)
            return None
        return note, path

    async def keep(self, digest: str, file: Path, note: Note) -> Path:
        """Keep a file that was downloaded; give where it is now, its own place when there is no room for it."""
        if not note.version:
            return file
        path = await self._blobs.adopt(file, note.sha256, note.size)
        if path != file and self._notes.get(digest) != note:
            self._notes.pop(digest, None)
            self._notes[digest] = note
            with suppress(OSError):  # without its note it is only of use to this process
                await asyncio.to_thread(self._write, digest, note)
            while len(self._notes) > _MOST_NOTES:
                self._forget(next(iter(self._notes)))
        return path

    def held(self) -> dict[str, int]:
        """Name what is kept, with sizes in bytes."""
        return {digest: note.size for digest, note in self._notes.items() if self._blobs.has(note.sha256)}

    def shrink(self) -> None:
        """Give back all that nobody has used for a while. Blocking."""
        self._blobs.shrink()

    def _write(self, digest: str, note: Note) -> None:
        draft = self._folder / f"{uuid4().hex}{_DRAFT}"
        try:
            draft.write_text(json.dumps(asdict(note)))
            draft.replace(self._folder / digest)
        finally:
            draft.unlink(missing_ok=True)

    def _forget(self, digest: str) -> None:
        self._notes.pop(digest, None)
        (self._folder / digest).unlink(missing_ok=True)


def version_of(headers: Mapping[str, str]) -> str:
    """Give what names exactly these bytes among all that the URL will ever give; empty when nothing does.

    A strong entity tag; or a time of change that was over for a minute when the server answered (RFC 9110, 8.8.2.2).
    """
    if "no-store" in headers.get("cache-control", "").lower():
        return ""
    tag, changed = headers.get("etag", ""), headers.get("last-modified", "")
    if tag.startswith('"'):
        return f"etag {tag}"
    try:
        answered = parsedate_to_datetime(headers["date"]).timestamp() if "date" in headers else time.time()
        settled = answered - parsedate_to_datetime(changed).timestamp() >= _SETTLED
    except (TypeError, ValueError, IndexError):
        return ""
    return f"last-modified {changed}" if settled else ""


def unless(version: str) -> dict[str, str]:
    """Give the request header that asks for anything but this version."""
    kind, _, value = version.partition(" ")
    return {"etag": {"If-None-Match": value}, "last-modified": {"If-Modified-Since": value}}.get(kind, {})


def _read(path: Path) -> Note | None:
    try:
        found = json.loads(path.read_text())
        note = Note(str(found["sha256"]), int(found["size"]), str(found["name"]), str(found["version"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return note if "/" not in note.name and note.name not in ("", ".", "..") else None
