"""The ``ipfs`` input source: a file or folder by its CID.

Params: ``CID``, of version 0 or 1. The file or folder lies at Target itself. It comes from the IPFS node of this
compute node, which is asked how large it is before anything is written, and which keeps what it has fetched: each
execution has a copy of its own, and the next one need not go to the network. What it holds is told (`ipfs_held`).
"""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TypeVar

from pydantic import Field

from bacalhau_nats.clients.ipfs import Content, IPFSNode, NobodyHas
from bacalhau_nats.clients.ipfs_address import Endpoint, parse_endpoint
from bacalhau_nats.clients.ipfs_cid import why_no_cid
from bacalhau_nats.clients.ipfs_download import fetch
from bacalhau_nats.domain.execution import Reason
from bacalhau_nats.domain.model import Model
from bacalhau_nats.domain.resources import show_bytes
from bacalhau_nats.domain.spec import SpecConfig
from bacalhau_nats.errors import BacalhauError, BadArchive, InvalidSettings, Unavailable
from bacalhau_nats.ports import WHOLE, Health, LogSink, PluginContext, Share, Volume, WorkFailed
from bacalhau_nats.storage.ipfs_held import HeldContent
from bacalhau_nats.tarballs import Limits

SETTING = "InputSources.Types.IPFS.Endpoint"
_LONGEST_WAIT = 30.0
_T = TypeVar("_T")


class IPFSSettings(Model):
    """`InputSources`, as far as it is about IPFS. Times are in seconds."""

    endpoint: str = Field(description="address of the IPFS node's RPC API, a multiaddress or a URL")
    read_timeout: float = Field(300.0, gt=0, description="seconds to look for content, or for its next bytes")
    max_retry_count: int = Field(3, ge=0, description="further tries when the node fails")
    retry_wait: float = Field(
        0.5, ge=0, description="seconds before the first further try; doubles each time"
    )
    max_size: int = Field(100_000_000_000, gt=0, description="bytes that one CID may give")


class IPFSStorage:
    """Fetches from one IPFS node; `share` gives the storage with the disk that one execution may use."""

    def __init__(
        self,
        node: IPFSNode,
        endpoint: Endpoint,
        settings: IPFSSettings,
        held: HeldContent,
        share: Share = WHOLE,
    ) -> None:
        self._node = node
        self._endpoint = endpoint
        self._settings = settings
        self._held = held
        self._share = share

    async def check(self) -> Health:
        """Ask whether the IPFS node answers; one that comes or goes later is noticed."""
        why = await self._node.check()
        return Health(ok=not why, why=why)

    def refuses(self, source: SpecConfig) -> str:
        """Say what is wrong with the CID; whether anybody has it is known when it is fetched."""
        return why_no_cid(source.param("CID"))

    async def has(self, source: SpecConfig) -> bool:
        """Say whether the IPFS node holds all of ``source`` itself, within some two seconds."""
        return not self.refuses(source) and await self._node.has(_cid(source))

    def held(self) -> dict[str, int]:
        """See `ports.Holder`."""
        return self._held.held()

    def shrink(self) -> None:
        """Do nothing: what the IPFS node keeps is its own affair."""

    def share(self, share: Share) -> IPFSStorage:
        """Give the storage as one execution may use it. Each partition gets all: a folder is one content."""
        return IPFSStorage(self._node, self._endpoint, self._settings, self._held, share)

    async def fetch(self, source: SpecConfig, target: str, into: Path, logs: LogSink) -> Volume:
        """Fetch it, trying again while the IPFS node fails; content that nobody has is looked for once."""
        if why := self.refuses(source):
            raise WorkFailed(why, reason=Reason.INVALID, retryable=False)
        cid, limit = _cid(source), self._settings.read_timeout
        await logs.event(f"looking for {cid} on IPFS")
        content = await self._patiently(lambda: self._node.look_up(cid, limit), logs)
        await self._must_fit(content, into)
        await logs.event(f"fetching {cid} from IPFS, {show_bytes(content.size)}")
        path = await self._patiently(lambda: self._download(cid, into), logs)
        self._held.note(source, cid, content.size)
        await logs.event(f"fetched {cid}")
        return Volume(path, target)

    async def _must_fit(self, content: Content, into: Path) -> None:
        size, most = show_bytes(content.size), self._settings.max_size
        if content.size > most:
            raise WorkFailed(
                f"{content.cid} on IPFS is {size} large; at most {show_bytes(most)} are allowed",
                reason=Reason.INPUT,
                retryable=False,
            )
        budget = self._share.budget
        if budget and content.size > budget:
            raise WorkFailed(
                f"{content.cid} on IPFS takes {size} of disk, more than the {show_bytes(budget)} of this execution",
                reason=Reason.DISK,
                retryable=False,
                hint="ask for more with Resources.Disk",
            )
        free = await asyncio.to_thread(_free, into)
        if content.size > free:
            raise WorkFailed(
                f"{content.cid} on IPFS is {size} large; the disk of this node has {show_bytes(free)} free",
                reason=Reason.DISK,
            )

    async def _download(self, cid: str, into: Path) -> Path:
        most = self._settings.max_size
        await asyncio.to_thread(shutil.rmtree, into, ignore_errors=True)  # what an earlier try left
        return await fetch(
            self._endpoint,
            cid,
            into,
            Limits(total=most, file=most),
            idle=self._settings.read_timeout,
            keep_links=True,
        )

    async def _patiently(self, work: Callable[[], Awaitable[_T]], logs: LogSink) -> _T:
        attempt = 0
        while True:
            try:
                return await work()
            except NobodyHas as error:
                raise WorkFailed(error.message, reason=Reason.INPUT, hint=error.hint) from error
            except (Unavailable, BadArchive) as error:  # content is cut off when the node cannot go on
                if attempt == self._settings.max_retry_count:
                    tries = f"{attempt + 1} tries" if attempt else "one try"
                    raise WorkFailed(
                        f"{error.message} (gave up after {tries})", reason=Reason.INPUT, hint=error.hint
                    ) from error
                wait = min(self._settings.retry_wait * 2**attempt, _LONGEST_WAIT)
                await logs.event(f"{error.message}; trying again in {wait:g} s")
                await asyncio.sleep(wait)
                attempt += 1
            except BacalhauError as error:
                raise WorkFailed(error.message, reason=Reason.INPUT, hint=error.hint) from error
            except OSError as error:
                raise WorkFailed(
                    f"content from IPFS could not be written: {error}", reason=Reason.DISK
                ) from error


@asynccontextmanager
async def open_ipfs(context: PluginContext) -> AsyncIterator[IPFSStorage]:
    """Open the storage with `IPFSSettings`. The IPFS node need not be there yet, see `IPFSStorage.check`."""
    settings = context.read(IPFSSettings)
    try:
        endpoint = parse_endpoint(settings.endpoint)
    except ValueError as error:
        raise InvalidSettings(f"{SETTING}: {error}") from None
    node = IPFSNode(endpoint)
    held = HeldContent(node)
    looking = asyncio.create_task(held.keep_looking(), name="ipfs held")
    try:
        yield IPFSStorage(node, endpoint, settings, held)
    finally:
        looking.cancel()
        await asyncio.gather(looking, return_exceptions=True)


def _cid(source: SpecConfig) -> str:
    return str(source.param("CID")).strip()


def _free(folder: Path) -> int:
    there = next(parent for parent in (folder, *folder.parents) if parent.exists())
    return shutil.disk_usage(there).free
