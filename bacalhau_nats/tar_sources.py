"""What `tarfile` reads an archive from: so much and no more, never much at once, and never back."""

from __future__ import annotations

import gzip
import os
import tarfile
from typing import IO, Protocol

from bacalhau_nats.errors import BadArchive

_CHUNK = 256 * 1024
_READ_LIMIT = 1024 * 1024  # tarfile reads a whole extended header at once, whatever length it claims


class Readable(Protocol):
    """Gives up to ``size`` bytes at a time, fewer only where it has no more at hand, none at its end."""

    def read(self, size: int, /) -> bytes:
        """Read on."""
        ...


class Plain:
    """A tar as it comes, from a source that only goes forward; so much and no more, and never much at once."""

    def __init__(self, source: Readable, limit: int) -> None:
        self._source = source
        self._limit = limit
        self._at = 0
        self._last = b""

    @property
    def at_end_mark(self) -> bool:
        """Say whether what was read last is how a tar ends; one that was cut off at a member's end has none."""
        return self._last == bytes(tarfile.BLOCKSIZE)

    def read(self, size: int = -1) -> bytes:
        """Give ``size`` bytes, fewer only at the end. Raises BadArchive past the limit."""
        if not 0 <= size <= _READ_LIMIT:
            raise BadArchive("the archive has a header that is too large")
        data = b""
        while len(data) < size and (more := self._source.read(size - len(data))):
            data += more
        self._last = data
        self._at += len(data)
        if self._at > self._limit:
            raise BadArchive(f"the archive unpacks to more than the {self._limit} bytes allowed")
        return data

    def tell(self) -> int:
        """Give how many bytes were read."""
        return self._at

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Read on to ``offset``. Raises BadArchive when that lies behind."""
        if whence != os.SEEK_SET or offset < self._at:
            raise BadArchive("the archive is damaged: it points back into itself")
        while self._at < offset and self.read(min(_CHUNK, offset - self._at)):
            pass
        return self._at


class Gunzip(gzip.GzipFile):
    """Decompresses so much and no more, and never much at once."""

    def __init__(self, source: IO[bytes], limit: int) -> None:
        super().__init__(fileobj=source, mode="rb")
        self._limit = limit

    def read(self, size: int | None = -1) -> bytes:
        """Give up to ``size`` bytes of what was packed. Raises BadArchive past the limit."""
        if size is None or not 0 <= size <= _READ_LIMIT:
            raise BadArchive("the archive has a header that is too large")
        data = super().read(size)
        self._must_stay_below(self.tell())
        return data

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Skip to ``offset`` of what was packed. Raises BadArchive past the limit."""
        self._must_stay_below(offset)
        return super().seek(offset, whence)

    def _must_stay_below(self, offset: int) -> None:
        if offset > self._limit:
            raise BadArchive(f"the archive unpacks to more than the {self._limit} bytes allowed")
