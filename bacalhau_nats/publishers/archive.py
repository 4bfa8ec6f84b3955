"""A results folder as one file, and back.

The archive is what the public client expects of a result: a tar.gz with relative names, the root entry ``.``,
and every folder before the files in it. It is the same for the same folder, byte for byte. Symbolic links are
kept as they are and never followed (a job could point one at the node's own files); pipes, sockets and devices
are left out.
"""

from __future__ import annotations

import gzip
import hashlib
import os
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from bacalhau_nats.blocking import in_thread
from bacalhau_nats.tarballs import Limits, Unpacked, extract

_CHUNK = 256 * 1024
_LEVEL = 6  # what gzip does by itself
_GIB = 1024**3
DRAFT_SUFFIX = ".part"
"""Ends the name of an archive that is being written; one that is left over belongs to a process that died."""
RESULT_LIMITS = Limits(total=1024 * _GIB, file=100 * _GIB)
"""What a client accepts: 100 GiB a file, as the public one does, and 1 TiB in all."""


@dataclass(frozen=True, slots=True)
class Packed:
    """An archive that is safely on disk: its size in bytes and its sha256 in hex."""

    size: int
    sha256: str


async def pack(folder: Path, archive: Path) -> Packed:
    """Write the archive of ``folder`` to ``archive``.

    It is there whole or not at all: written beside its place, forced to disk, then renamed. Raises OSError
    (no space left, a file that shrank while being read). Cancelling stops the work before it returns.
    """
    return await in_thread(lambda stopped: _pack(folder, archive, stopped))


async def unpack(archive: Path, into: Path, limits: Limits = RESULT_LIMITS) -> Unpacked:
    """Unpack a result into the folder ``into``: regular files and folders, nothing else.

    Raises BadArchive when the archive is damaged, too large or names something out of ``into``.
    """

    def work(stopped: Callable[[], bool]) -> Unpacked:
        with archive.open("rb") as source:
            return extract(source, into, limits, keep_links=False, stopped=stopped)

    return await in_thread(work)


class _Stopped(Exception):
    pass


class _Hashing:
    """Counts and hashes what is written through it."""

    def __init__(self, out: IO[bytes], stopped: Callable[[], bool]) -> None:
        self._out = out
        self._stopped = stopped
        self.digest = hashlib.sha256()
        self.size = 0

    def write(self, data: Any) -> int:
        if self._stopped():
            raise _Stopped
        self.digest.update(data)
        self.size += len(data)
        return self._out.write(data)

    def flush(self) -> None:
        self._out.flush()


def _pack(folder: Path, archive: Path, stopped: Callable[[], bool]) -> Packed:
    archive.parent.mkdir(parents=True, exist_ok=True)
    draft = archive.with_name(archive.name + DRAFT_SUFFIX)
    try:
        with draft.open("wb") as out:
            hashing = _Hashing(out, stopped)
            # No time and no name in the header: the same folder gives the same bytes.
            with gzip.GzipFile(
                filename="", mode="wb", compresslevel=_LEVEL, fileobj=hashing, mtime=0
            ) as packed:
                _write(folder, packed, stopped)
            out.flush()
            os.fsync(out.fileno())
        draft.rename(archive)
    finally:
        draft.unlink(missing_ok=True)
    _sync_folder(archive.parent)
    return Packed(hashing.size, hashing.digest.hexdigest())


def _write(folder: Path, out: gzip.GzipFile, stopped: Callable[[], bool]) -> None:
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for path, name in _members(folder):
            if stopped():
                raise _Stopped
            _add(tar, path, name)


def _members(folder: Path) -> Iterator[tuple[Path, str]]:
    yield folder, "."
    for parent, folders, files in os.walk(folder, onerror=_unreadable):
        folders.sort()
        # A link to a folder is among the folders, and is not walked into.
        for name in [*folders, *sorted(files)]:
            path = Path(parent, name)
            yield path, path.relative_to(folder).as_posix()


def _unreadable(error: OSError) -> None:
    raise error


def _add(tar: tarfile.TarFile, path: Path, name: str) -> None:
    info = tar.gettarinfo(path, arcname=name)
    if info is None or not (info.isreg() or info.islnk() or info.isdir() or info.issym()):
        return
    info.uid = info.gid = 0
    info.uname = info.gname = ""
    info.mtime = int(info.mtime)
    if info.isdir() and "/" not in name:
        # A result's folder was opened for whatever user the work runs as; who downloads it shall not have that.
        info.mode &= 0o7700 if name == "." else ~0o022
    if info.isdir() or info.issym():
        tar.addfile(info)
        return
    # A second name of a file is written as a file: the public client skips hard links.
    info.type, info.linkname = tarfile.REGTYPE, ""
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW), "rb") as source:
        info.size = os.fstat(source.fileno()).st_size
        tar.addfile(info, source)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
