"""Result folders and their manifests: write one, or check a folder against it. Everything here blocks.

Symbolic links are no part of a result (see `publishers.archive`): they are neither listed nor followed.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path, PurePosixPath

from bacalhau_nats.domain.manifest import (
    MANIFEST,
    Difference,
    Entry,
    Manifest,
    Origin,
    Summary,
    decode,
    differences,
    digest_of,
    encode,
    summary,
)

_MOST = 512 * 1024 * 1024  # bytes of a manifest: a million files with long names
_CHUNK = 1024 * 1024


class Stopped(Exception):
    """Nobody waits for this any more."""


def seal(folder: Path, origin: Origin, stopped: Callable[[], bool] = lambda: False) -> Summary:
    """Write the manifest of ``folder`` into it, in place of an older one. Raises OSError, Stopped."""
    manifest = Manifest(origin, take_stock(folder, stopped))
    encoded = encode(manifest)
    (folder / MANIFEST).write_bytes(encoded)
    return summary(manifest, encoded)


def check(folder: Path, digest: str, *, only: str = "") -> tuple[Manifest | None, list[Difference]]:
    """Compare an unpacked result with its manifest, and that with the ``digest`` its node reported.

    ``only`` is the one file or folder that is compared. Without a manifest that can be believed there is none
    in the answer.
    """
    path = folder / MANIFEST
    if path.is_symlink() or not path.is_file():
        return None, [Difference(MANIFEST, "is missing")]
    if path.stat().st_size > _MOST:
        return None, [Difference(MANIFEST, "is too large")]
    data = path.read_bytes()
    if digest_of(data) != digest:
        return None, [Difference(MANIFEST, f"has the digest {digest_of(data)}, the node reported {digest}")]
    try:
        manifest = decode(data)
    except ValueError as error:
        return None, [Difference(MANIFEST, f"cannot be read: {error}")]
    return manifest, differences(below(manifest.files, only), below(take_stock(folder), only))


def below(files: Iterable[Entry], only: str) -> tuple[Entry, ...]:
    """Give the file ``only``, or those in the folder of that name; all when it is empty."""
    wanted = PurePosixPath(only.strip("/"))
    return tuple(
        e for e in files if wanted == PurePosixPath(e.path) or wanted in PurePosixPath(e.path).parents
    )


def take_stock(folder: Path, stopped: Callable[[], bool] = lambda: False) -> tuple[Entry, ...]:
    """List the regular files below ``folder``, its manifest aside, sorted by path. Raises OSError, Stopped."""
    return tuple(sorted(entry_of(path, name, stopped) for path, name in _files(folder) if name != MANIFEST))


def entry_of(path: Path, name: str, stopped: Callable[[], bool] = lambda: False) -> Entry:
    """Describe the file ``path`` under the name ``name``. Raises OSError, Stopped."""
    seen, size = hashlib.sha256(), 0
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW), "rb", buffering=0) as file:
        while data := file.read(_CHUNK):
            if stopped():
                raise Stopped
            seen.update(data)
            size += len(data)
    return Entry(name, size, seen.hexdigest())


def _files(folder: Path) -> Iterator[tuple[Path, str]]:
    for parent, _, names in os.walk(folder, onerror=_unreadable):
        for name in names:
            path = Path(parent, name)
            if path.is_file() and not path.is_symlink():
                yield path, path.relative_to(folder).as_posix()


def _unreadable(error: OSError) -> None:
    raise error
