"""The ``inline`` input source: content that the job itself carries.

Two forms of Params. ``URL`` is a data URL (RFC 2397), as users write it. ``Digest`` (``sha256:<hex>``),
``MediaType`` and ``Size`` (bytes) is the project's own: the gateway has put content too large for a fact into
the object store, where it is named by the hex of its digest.

The media type ``application/gzip`` means a tar.gz, unpacked for each execution; anything else is one file. The
public client packs single files too, so an archive of one file is that file when Target names a file: by its
last part being the file's name or having its extension. Single files live in a cache by digest and cost no disk
access after their first use.
"""

from __future__ import annotations

import asyncio
import hashlib
import io
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from pydantic import Field

from bacalhau_nats.blocking import in_thread
from bacalhau_nats.domain.execution import Reason
from bacalhau_nats.domain.model import Model
from bacalhau_nats.domain.spec import SpecConfig
from bacalhau_nats.errors import BacalhauError, BadArchive
from bacalhau_nats.ports import Blobs, Health, LogSink, PluginContext, Volume, WorkFailed
from bacalhau_nats.storage.cache import BlobCache, WrongContent
from bacalhau_nats.storage.dataurl import parse_data_url
from bacalhau_nats.tarballs import Limits, Unpacked, extract

ARCHIVE = "application/gzip"
_DIGEST = re.compile(r"sha256:([0-9a-f]{64})")
_LARGE = 64 * 1024  # characters of a URL from which on decoding is worth a thread
_HEALTHY = Health(ok=True)
_GIB = 1024**3


class InlineSettings(Model):
    """`InputSources.Types.Inline`."""

    max_size: int = Field(_GIB, gt=0, description="bytes that an inline archive may unpack to")
    max_members: int = Field(100_000, gt=0, description="files and folders in an inline archive")
    cache_size: int = Field(_GIB, ge=0, description="bytes of inline content kept on the node")


class InlineStorage:
    """Turns carried content into files."""

    def __init__(self, blobs: Blobs | None, cache: BlobCache, settings: InlineSettings) -> None:
        self._blobs = blobs
        self._cache = cache
        self._limits = Limits(settings.max_size, settings.max_size, settings.max_members)

    async def check(self) -> Health:
        """Say yes: data URLs need nothing, and stored content fails by itself."""
        return _HEALTHY

    def refuses(self, source: SpecConfig) -> str:
        """Say what is missing in the parameters; the content is looked at when it is fetched."""
        if source.param("Digest") is None:
            return "" if isinstance(source.param("URL"), str) else "an inline input needs a URL"
        if not isinstance(source.param("Digest"), str) or _DIGEST.fullmatch(source.param("Digest")) is None:
            return "the Digest of an inline input must be sha256: and 64 hex digits"
        size = source.param("Size")
        if isinstance(size, bool) or not isinstance(size, int) or size < 0:
            return "an inline input with a Digest needs its Size in bytes"
        return ""

    async def fetch(self, source: SpecConfig, target: str, into: Path, logs: LogSink) -> Volume:  # noqa: ARG002 - too quick to tell of
        """Give the file, or the folder that the archive unpacks to."""
        if why := self.refuses(source):
            raise WorkFailed(why, reason=Reason.INVALID, retryable=False)
        try:
            if source.param("Digest") is not None:
                return await self._stored(source, target, into)
            return await self._carried(str(source.param("URL")), target, into)
        except BadArchive as error:
            raise WorkFailed(
                f"inline input for {target}: {error}", reason=Reason.INVALID, retryable=False
            ) from error
        except (WrongContent, OSError, BacalhauError) as error:
            raise WorkFailed(f"inline input for {target}: {error}", reason=Reason.INPUT) from error

    async def _carried(self, url: str, target: str, into: Path) -> Volume:
        try:
            media_type, data = (
                parse_data_url(url) if len(url) < _LARGE else await asyncio.to_thread(parse_data_url, url)
            )
        except ValueError as error:
            raise WorkFailed(
                f"inline input for {target} is not a data URL: {error}",
                reason=Reason.INVALID,
                retryable=False,
            ) from None
        if media_type == ARCHIVE:
            return await self._unpack(lambda: io.BytesIO(data), target, into)

        async def content() -> AsyncIterator[bytes]:
            yield data

        digest = hashlib.sha256(data).hexdigest()
        return Volume(await self._cache.get(digest, len(data), content, into), target)

    async def _stored(self, source: SpecConfig, target: str, into: Path) -> Volume:
        if self._blobs is None:
            raise WorkFailed(
                f"inline input for {target}: this node has no object store to fetch it from",
                reason=Reason.INPUT,
            )
        blobs, digest = self._blobs, str(source.param("Digest")).removeprefix("sha256:")
        path = await self._cache.get(digest, source.param("Size"), lambda: blobs.get(digest), into / "blob")
        if str(source.param("MediaType", "")).partition(";")[0].strip().lower() != ARCHIVE:
            return Volume(path, target)
        return await self._unpack(lambda: path.open("rb"), target, into)

    async def _unpack(self, archive: Callable[[], BinaryIO], target: str, into: Path) -> Volume:
        folder = into / "unpacked"

        def work(stopped: Callable[[], bool]) -> Unpacked:
            with archive() as source:
                return extract(source, folder, self._limits, keep_links=True, stopped=stopped)

        unpacked = await in_thread(work)
        if len(unpacked.files) == 1 and not unpacked.folders and _names_file(target, unpacked.files[0]):
            return Volume(folder / unpacked.files[0], target)
        return Volume(folder, target)


@asynccontextmanager
async def open_inline(context: PluginContext) -> AsyncIterator[InlineStorage]:
    """Open the storage with `InlineSettings`; its cache is ``cache/inline`` in the data folder."""
    settings = context.read(InlineSettings)
    cache = BlobCache(context.data_dir / "cache" / "inline", settings.cache_size)
    await asyncio.to_thread(cache.load)
    yield InlineStorage(context.blobs, cache, settings)


def _names_file(target: str, name: str) -> bool:
    """Say whether ``target`` is meant as a file such as ``name``, not as a folder to put it into."""
    wanted, packed = PurePosixPath(target), PurePosixPath(name)
    if target.endswith("/") or len(packed.parts) != 1:
        return False
    return wanted.name == packed.name or wanted.suffix == packed.suffix != ""
