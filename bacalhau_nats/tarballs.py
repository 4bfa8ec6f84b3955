"""Unpack a tar or tar.gz that somebody else made, and come to no harm.

What arrives is hostile until proven otherwise: names that climb out of the folder, links that do, devices, a
kilobyte that unpacks to a terabyte. So each member is created here, by its kind, and nothing is left to the
archive: regular files and folders are written, links are made last (nothing can be written through them) and
only where they stay inside, every other kind is refused or skipped. Ownership is not restored, set-id bits are
dropped. Amounts are counted on what is unpacked, not on what a header claims.

``tarfile``'s own ``data`` filter is not enough: it has been escaped on Python versions we support
(CVE-2025-4517) and knows no limits.
"""

from __future__ import annotations

import errno
import gzip
import os
import tarfile
import zlib
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, cast

from bacalhau_nats.errors import BadArchive
from bacalhau_nats.tar_sources import Gunzip, Plain, Readable

_CHUNK = 256 * 1024
_DAMAGED = (tarfile.TarError, gzip.BadGzipFile, EOFError, zlib.error, UnicodeError, ValueError)
_IMPOSSIBLE = frozenset(
    {errno.EEXIST, errno.ENOTDIR, errno.EISDIR, errno.ENAMETOOLONG, errno.EINVAL, errno.ELOOP}
)
_LATEST = 2**33  # the year 2242: file systems refuse later times


@dataclass(frozen=True, slots=True)
class Limits:
    """How much may come out of one archive, in bytes and in members."""

    total: int
    file: int
    members: int = 1_000_000


@dataclass(frozen=True, slots=True)
class Unpacked:
    """What came out: bytes of file content, and each member's name as it lies below the folder."""

    size: int
    files: tuple[str, ...]
    folders: tuple[str, ...]


def extract(
    archive: IO[bytes],
    into: Path,
    limits: Limits,
    *,
    keep_links: bool,
    stopped: Callable[[], bool] = lambda: False,
) -> Unpacked:
    """Unpack the tar.gz ``archive`` into the folder ``into``, which is made when it is not there.

    Links are kept where they stay inside the folder and refused otherwise; with ``keep_links`` off, links and
    special files are skipped, as the public client does with results. Existing files are not replaced.
    ``stopped`` is asked now and then and ends the work early. Raises BadArchive; what was written until then
    stays, for the caller to remove. Blocking.
    """
    return _extract(Gunzip(archive, _room(limits)), into, limits, keep_links, stopped)


def extract_plain(
    archive: Readable,
    into: Path,
    limits: Limits,
    *,
    keep_links: bool,
    stopped: Callable[[], bool] = lambda: False,
) -> Unpacked:
    """Unpack a tar that is not compressed, as it arrives; like `extract`, and BadArchive when it is cut off."""
    return _extract(nullcontext(Plain(archive, _room(limits))), into, limits, keep_links, stopped)


def _room(limits: Limits) -> int:
    # Headers and padding: three blocks a member is what long names cost.
    return limits.total + limits.members * 3 * tarfile.BLOCKSIZE + tarfile.RECORDSIZE


def _extract(
    source: AbstractContextManager[Plain | Gunzip],
    into: Path,
    limits: Limits,
    keep_links: bool,
    stopped: Callable[[], bool],
) -> Unpacked:
    into.mkdir(parents=True, exist_ok=True)
    try:
        # `tarfile` asks for no more of a file than these two have.
        with source as plain, tarfile.open(fileobj=cast("IO[bytes]", plain), mode="r:") as tar:
            unpacked = _Extraction(tar, into.resolve(), limits, keep_links, stopped).run()
            if isinstance(plain, Plain) and not plain.at_end_mark:
                raise BadArchive("the archive is damaged: it was cut off")
            while plain.read(_CHUNK):  # to the end, where the checksum is
                pass
            return unpacked
    except _DAMAGED as error:
        raise BadArchive(f"the archive is damaged: {error}") from error
    except OSError as error:
        if error.errno in _IMPOSSIBLE:
            raise BadArchive(f"the archive holds a name that cannot be used: {error}") from error
        raise


class _Extraction:
    """One archive on its way into one folder."""

    def __init__(
        self,
        tar: tarfile.TarFile,
        root: Path,
        limits: Limits,
        keep_links: bool,
        stopped: Callable[[], bool],
    ) -> None:
        self._tar = tar
        self._root = root
        self._limits = limits
        self._keep_links = keep_links
        self._stopped = stopped
        self._size = 0
        self._files: dict[str, Path] = {}
        self._folders: list[tuple[str, int]] = []
        self._links: list[tuple[str, str]] = []

    def run(self) -> Unpacked:
        for count, member in enumerate(self._tar, 1):
            self._tar.members.clear()  # type: ignore[attr-defined]  # it would remember all, a kilobyte each
            if count > self._limits.members:
                raise BadArchive(f"the archive has more than the {self._limits.members} members allowed")
            if self._stopped():
                raise BadArchive("unpacking was stopped")
            self._take(member)
        self._make_links()
        for name, mode in reversed(self._folders):  # last, so that a read-only folder can be filled
            (self._root / name).chmod(mode)
        return Unpacked(self._size, tuple(self._files), tuple(name for name, _ in self._folders))

    def _take(self, member: tarfile.TarInfo) -> None:
        name = _inside(member.name)
        if name == ".":
            return
        if member.isdir():
            (self._root / name).mkdir(parents=True, exist_ok=True)
            self._folders.append((name, (member.mode & 0o777) | 0o700))
        elif member.isreg():
            self._file(name, member)
        elif not self._keep_links:
            return
        elif member.issym():
            self._links.append((name, member.linkname))
        elif member.islnk():
            self._same_file(name, _inside(member.linkname))
        else:
            raise BadArchive(f"the archive holds a device or pipe, {member.name!r}, which is not allowed")

    def _file(self, name: str, member: tarfile.TarInfo) -> None:
        if member.size > self._limits.file:
            raise BadArchive(f"{name!r} in the archive is larger than the {self._limits.file} bytes allowed")
        self._size += member.size
        if self._size > self._limits.total:
            raise BadArchive(f"the archive unpacks to more than the {self._limits.total} bytes allowed")
        source = self._tar.extractfile(member)
        if source is None:
            raise BadArchive(f"{name!r} in the archive has no content")
        path = self._new(name)
        with source, path.open("xb") as out:
            while chunk := source.read(_CHUNK):
                if self._stopped():
                    raise BadArchive("unpacking was stopped")
                out.write(chunk)
            if out.tell() != member.size:
                raise BadArchive(f"the archive is damaged: it ends within {name!r}")
        path.chmod(member.mode & 0o777 | 0o400)
        modified = min(max(member.mtime, 0), _LATEST)
        os.utime(path, (modified, modified))
        self._files[name] = path

    def _same_file(self, name: str, first: str) -> None:
        if first not in self._files:
            raise BadArchive(f"{name!r} in the archive is a hard link to {first!r}, which is not in it")
        path = self._new(name)
        os.link(self._files[first], path)
        self._files[name] = path

    def _make_links(self) -> None:
        """Make all links, then judge them: where one leads may depend on another.

        Strictly, so a link must lead to something: a lenient look at a path that is too long stops half-way
        and believes the rest (CVE-2025-4517).
        """
        places = [self._new(name) for name, _ in self._links]
        try:
            self._link(places)
        except BaseException:
            for path in places:
                path.unlink(missing_ok=True)
            raise

    def _link(self, places: list[Path]) -> None:
        for path, (name, target) in zip(places, self._links, strict=True):
            if not target:
                raise BadArchive(f"{name!r} in the archive is a link to nothing")
            path.symlink_to(target)
        for path, (name, target) in zip(places, self._links, strict=True):
            if not _leads_inside(path, target, self._root):
                raise BadArchive(f"{name!r} in the archive is a link to {target!r}, out of its folder")

    def _new(self, name: str) -> Path:
        path = self._root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if os.path.lexists(path):
            raise BadArchive(f"{name!r} is in the archive twice, or there already")
        return path


def _leads_inside(link: Path, target: str, root: Path) -> bool:
    if PurePosixPath(target).is_absolute():
        return False
    try:
        return Path(os.path.realpath(link, strict=True)).is_relative_to(root)
    except OSError:
        return False


def _inside(name: str) -> str:
    """Give a member's name without ``./``. Raises BadArchive when it leaves the folder."""
    pure = PurePosixPath(name)
    if pure.is_absolute() or ".." in pure.parts or "\0" in name:
        raise BadArchive(f"the archive holds {name!r}, which lies out of its folder")
    return str(pure)
