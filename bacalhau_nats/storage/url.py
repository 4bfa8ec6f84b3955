"""The ``urldownload`` input source: a file fetched over HTTP.

Params: ``URL``, http or https. The file lies at Target/<filename>, the name being the last part of the URL's
path (or else what the server calls it, or ``download``); when Target already ends in that name, it is the file.

Where the original asks HEAD for a size first, this reads and counts. A refusal (4xx) is final and is told with
its status; 429, 5xx and broken connections are tried again. Each host name is resolved once and the very
address that passed `DeniedNetworks` is connected to, on each redirect anew, so a name that changes its
address between check and use gains nothing. For the same reason proxies of the environment are not used.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path, PurePosixPath

from pydantic import Field, field_validator

from bacalhau_nats.clients.denied import DeniedNetworks
from bacalhau_nats.domain.execution import Reason
from bacalhau_nats.domain.locality import input_digest
from bacalhau_nats.domain.model import Model
from bacalhau_nats.domain.resources import show_bytes
from bacalhau_nats.domain.spec import SpecConfig
from bacalhau_nats.ports import Health, LogSink, PluginContext, Volume, WorkFailed
from bacalhau_nats.storage.cache import BlobCache
from bacalhau_nats.storage.download import Downloaded, Downloader, Limits, TryAgain, checked_url, shown
from bacalhau_nats.storage.url_cache import Note, URLCache

_HEALTHY = Health(ok=True)
_LONGEST_WAIT = 30.0


class URLSettings(Model):
    """`InputSources`, as far as it is about URLs. Times are in seconds."""

    read_timeout: float = Field(300.0, gt=0, description="seconds to wait for a connection or its next bytes")
    max_retry_count: int = Field(3, ge=0, description="further tries after the first has failed")
    retry_wait: float = Field(
        0.5, ge=0, description="seconds before the first further try; doubles each time"
    )
    max_size: int = Field(10_000_000_000, gt=0, description="bytes that one URL may give")
    cache_size: int = Field(
        5_000_000_000, ge=0, description="bytes of disk for files that are downloaded again and again"
    )
    denied_networks: tuple[str, ...] = Field(
        (),
        description="networks (CIDR) that URLs must not lead to, besides link-local and metadata addresses",
    )

    @field_validator("denied_networks")
    @classmethod
    def _are_networks(cls, networks: tuple[str, ...]) -> tuple[str, ...]:
        DeniedNetworks(networks)
        return networks


class URLStorage:
    """Downloads with patience, and keeps what its server can name the version of."""

    def __init__(self, downloader: Downloader, settings: URLSettings, cache: URLCache) -> None:
        self._downloader = downloader
        self._settings = settings
        self._cache = cache

    async def check(self) -> Health:
        """Say yes: whether a server answers is known when it is asked."""
        return _HEALTHY

    def refuses(self, source: SpecConfig) -> str:
        """Say why the URL cannot be used here, as far as that can be seen without asking anybody."""
        try:
            url = checked_url(str(source.param("URL", "")))
        except ValueError as error:
            return str(error)
        return self._downloader.refuses(url)

    def held(self) -> dict[str, int]:
        """See `ports.Holder`."""
        return self._cache.held()

    def shrink(self) -> None:
        """See `ports.Holder`."""
        self._cache.shrink()

    async def fetch(self, source: SpecConfig, target: str, into: Path, logs: LogSink) -> Volume:
        """Download the file, or find that what is kept is still what its server has."""
        if why := self.refuses(source):
            raise WorkFailed(why, reason=Reason.INPUT, retryable=False)
        url, digest = str(source.param("URL")), input_digest(source)
        kept = await self._cache.find(digest)
        got = await self._download(url, into, logs, known=kept[0].version if kept else "")
        if got is None and kept is not None:
            note, path = kept
            await logs.event(f"{shown(url)} has not changed: {show_bytes(note.size)} from this node's cache")
            return Volume(path, _place(target, note.name))
        if got is None:
            raise WorkFailed(f"{shown(url)} gave no answer that can be used", reason=Reason.INPUT)
        await logs.event(f"downloaded {shown(url)}, {show_bytes(got.size)}")
        path = await self._cache.keep(
            digest, got.path, Note(got.sha256, got.size, got.path.name, got.version)
        )
        return Volume(path, _place(target, got.path.name))

    async def _download(self, url: str, into: Path, logs: LogSink, *, known: str) -> Downloaded | None:
        """Download, trying again where that can help; None when the version ``known`` is still the server's."""
        await logs.event(f"downloading {shown(url)}")
        for attempt in range(self._settings.max_retry_count + 1):
            try:
                return await self._downloader.download(url, into, known=known)
            except TryAgain as error:
                if attempt == self._settings.max_retry_count:
                    tries = f"{attempt + 1} tries" if attempt else "one try"
                    raise WorkFailed(f"{error} (gave up after {tries})", reason=Reason.INPUT) from error
                wait = min(max(self._settings.retry_wait * 2**attempt, error.after), _LONGEST_WAIT)
                await logs.event(f"{error}; trying again in {wait:g} s")
                await asyncio.sleep(wait)
            except OSError as error:
                raise WorkFailed(f"{shown(url)} could not be written: {error}", reason=Reason.DISK) from error
        raise AssertionError("unreachable")


@asynccontextmanager
async def open_url(context: PluginContext) -> AsyncIterator[URLStorage]:
    """Open the storage with `URLSettings`. The HTTP client is loaded at the first download.

    Its cache is ``cache/url`` in the data folder.
    """
    settings = context.read(URLSettings)
    async with AsyncExitStack() as stack:
        downloader = Downloader(
            stack,
            DeniedNetworks(settings.denied_networks),
            Limits(timeout=settings.read_timeout, size=settings.max_size),
        )
        folder = context.data_dir / "cache" / "url"
        cache = URLCache(BlobCache(folder / "content", settings.cache_size), folder / "notes")
        await asyncio.to_thread(cache.load)
        yield URLStorage(downloader, settings, cache)


def _place(target: str, name: str) -> str:
    if not target.endswith("/") and PurePosixPath(target).name == name:
        return target
    return str(PurePosixPath(target) / name)
