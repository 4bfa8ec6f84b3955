"""The blocking part of publishing to S3: one file becomes one object. Runs in threads; see `S3Session.run`.

A large file goes in parts, several at once. When it fails, or is stopped, the client library takes back what it
has begun; the pool lets exactly that through (`Pool.permit`).
"""

from __future__ import annotations

import base64
import hashlib
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, BinaryIO, cast

if TYPE_CHECKING:
    from minio import Minio

    from bacalhau_nats.clients.s3_pool import Pool

PART = 8 * 1024 * 1024
"""Bytes of a part; memory holds some of them for each upload."""

_MOST_PARTS = 10_000  # of S3
_PARALLEL = 4
_MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Uploaded:
    """What the service keeps: the version, where it has versions, and the SHA-256 of the content in base64."""

    version: str = ""
    checksum: str = ""


def upload(client: Minio, pool: Pool, bucket: str, key: str, path: Path) -> Uploaded:
    """Store a file under ``key``. A link is not followed: a job could point one at the node's own files."""
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW), "rb") as file:
        size = os.fstat(file.fileno()).st_size
        checksum = base64.b64encode(hashlib.file_digest(file, "sha256").digest()).decode()
        file.seek(0)
        part = part_size(size)
        put = client.put_object(
            bucket,
            key,
            cast("BinaryIO", _Reader(file, pool)),
            size,
            # The service checks this of an object that comes in one piece.
            metadata={"x-amz-checksum-sha256": checksum} if size <= part else None,
            part_size=part,
            num_parallel_uploads=_PARALLEL,
        )
    return Uploaded(put.version_id or "", checksum)


def part_size(size: int) -> int:
    """Give the bytes of a part for an object of ``size`` bytes: whole MiB, and not more parts than S3 takes."""
    least = -(-size // _MOST_PARTS)
    return max(PART, -(-least // _MIB) * _MIB)


def files_below(folder: Path) -> list[tuple[Path, str]]:
    """Give the regular files below ``folder`` with their names, links and special files left out."""
    return list(_files_below(folder))


def _files_below(folder: Path) -> Iterator[tuple[Path, str]]:
    for parent, folders, files in os.walk(folder, onerror=_unreadable):
        folders.sort()
        for name in sorted(files):
            path = Path(parent, name)
            if stat.S_ISREG(path.lstat().st_mode):
                yield path, path.relative_to(folder).as_posix()


def _unreadable(error: OSError) -> None:
    raise error


class _Reader:
    """A file that gives zeros once the work is stopped.

    An error here would leave the library's threads waiting for ever; so it reads on, at no cost, to where it
    finds that none of it can be sent any more.
    """

    def __init__(self, file: IO[bytes], pool: Pool) -> None:
        self._file = file
        self._pool = pool

    def read(self, size: int) -> bytes:
        if self._pool.stopped:
            return bytes(size)
        return self._file.read(size)
