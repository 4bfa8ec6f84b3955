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
from bacalhau_nats.domain.model import Model
from bacalhau_nats.domain.resources import show_bytes
from bacalhau_nats.domain.spec import SpecConfig
from bacalhau_nats.ports import Health, LogSink, PluginContext, Volume, WorkFailed
from bacalhau_nats.storage.download import Downloader, Limits, TryAgain, checked_url, shown

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
    """Downloads with patience."""

    def __init__(self, downloader: Downloader, settings: URLSettings) -> None:
        self._downloader = downloader
        self._settings = settings

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

    async def fetch(self, source: SpecConfig, target: str, into: Path, logs: LogSink) -> Volume:
        """Download the file, trying again where that can help."""
        if why := self.refuses(source):
            raise WorkFailed(why, reason=Reason.INPUT, retryable=False)
        url = str(source.param("URL"))
        await logs.event(f"downloading {shown(url)}")
        for attempt in range(self._settings.max_retry_count + 1):
            try:
                got = await self._downloader.download(url, into)
                break
            except TryAgain as error:
                if attempt == self._settings.max_retry_count:
                    tries = f"{attempt + 1} tries" if attempt else "one try"
                    raise WorkFailed(f"{error} (gave up after {tries})", reason=Reason.INPUT) from error
                wait = min(max(self._settings.retry_wait * 2**attempt, error.after), _LONGEST_WAIT)
                await logs.event(f"{error}; trying again in {wait:g} s")
                await asyncio.sleep(wait)
            except OSError as error:
                raise WorkFailed(f"{shown(url)} could not be written: {error}", reason=Reason.DISK) from error
        await logs.event(f"downloaded {shown(url)}, {show_bytes(got.size)}")
        return Volume(got.path, _place(target, got.path.name))


@asynccontextmanager
async def open_url(context: PluginContext) -> AsyncIterator[URLStorage]:
    """Open the storage with `URLSettings`. The HTTP client is loaded at the first download."""
    settings = context.read(URLSettings)
    async with AsyncExitStack() as stack:
        downloader = Downloader(
            stack,
            DeniedNetworks(settings.denied_networks),
            Limits(timeout=settings.read_timeout, size=settings.max_size),
        )
        yield URLStorage(downloader, settings)


def _place(target: str, name: str) -> str:
    if not target.endswith("/") and PurePosixPath(target).name == name:
        return target
    return str(PurePosixPath(target) / name)
