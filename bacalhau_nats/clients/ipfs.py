"""Ask an IPFS node: is it there, how large is this, does it have that. Its HTTP RPC API is that of Kubo.

Questions go through aioipfs; content does not (`ipfs_upload`, `ipfs_download`). What aioipfs sends does not arrive
with aiohttp 3.12 and later, what it receives it unpacks without care, and where a connection fails it gives None.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from bacalhau_nats.clients.ipfs_address import Endpoint
from bacalhau_nats.errors import BacalhauError, NotFound, Unavailable

_CHECK_LIMIT = 2.0
_LOOK_LIMIT = 1.0
_LIST_LIMIT = 10.0
_NO_SUCH = ("no link named", "does not exist", "not found")


class NobodyHas(Unavailable):
    """The node found nobody in time who has the content; it may be found later, or by another node."""


@dataclass(frozen=True, slots=True)
class Content:
    """A file or folder: its CID, its size in bytes with all that is in it and holds it together."""

    cid: str
    size: int
    is_folder: bool


class IPFSNode:
    """One node.

    Each question has a connection of its own: one that is kept may be closed by the node just as it is used again,
    and the node would seem to be gone.
    """

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint

    @property
    def url(self) -> str:
        """Where the node is."""
        return self._endpoint.url

    async def check(self) -> str:
        """Say why the node cannot be used now; empty when it answers."""
        try:
            await self._ask(lambda ipfs: ipfs.version(), _CHECK_LIMIT)
        except BacalhauError as error:
            return error.message
        return ""

    async def look_up(self, path: str, limit: float) -> Content:
        """Find ``path`` (a CID, or CID/path) within ``limit`` seconds, here or anywhere.

        Raises NobodyHas, NotFound for a path that is not in the content, Unavailable when the node does not
        answer, and BacalhauError with the node's word when it refuses.
        """
        try:
            found = await self._ask(lambda ipfs: ipfs.files.stat(f"/ipfs/{path}"), limit)
        except _NoAnswer:
            raise NobodyHas(
                f"nobody gave {path} to the IPFS node at {self.url} within {limit:g} s",
                hint="check the CID, and that a node which has it is connected to this one",
            ) from None
        except _Refused as refused:
            if any(words in refused.message.lower() for words in _NO_SUCH):
                raise NotFound(f"there is no {path} on IPFS: {refused.message}") from refused
            raise
        return Content(str(found["Hash"]), int(found["CumulativeSize"]), found["Type"] == "directory")

    async def pins(self) -> frozenset[str]:
        """List what is pinned with all that is in it, by CID. Raises Unavailable, BacalhauError."""
        found = await self._ask(lambda ipfs: ipfs.pin.ls(pintype="recursive"), _LIST_LIMIT)
        return frozenset(found.get("Keys") or ())

    async def has(self, cid: str, limit: float = _LOOK_LIMIT) -> bool:
        """Say whether the node holds all of ``cid`` itself: pinned, or looked through and found here.

        False, not an error, when that cannot be found out within ``limit`` seconds.
        """
        try:
            await self._ask(lambda ipfs: ipfs.pin.ls(cid, pintype="recursive"), limit)
        except _Refused:  # not pinned; parts of what is pinned, and what was fetched before, are here too
            try:
                found = await self._ask(lambda ipfs: ipfs.files.stat(f"/ipfs/{cid}", with_local=True), limit)
            except BacalhauError:
                return False
            return bool(found.get("Local"))
        except BacalhauError:
            return False
        return True

    async def _ask(self, question: Callable[[Any], Awaitable[Any]], limit: float) -> Any:
        aioipfs = await asyncio.to_thread(import_module, "aioipfs")  # takes most of a second, once
        aiohttp, where = import_module("aiohttp"), self._endpoint
        try:
            async with (
                asyncio.timeout(limit),
                aioipfs.AsyncIPFS(host=where.host, port=where.port, scheme=where.scheme) as ipfs,
            ):
                answer = await question(ipfs)
        except TimeoutError:
            raise _NoAnswer(f"the IPFS node at {self.url} did not answer within {limit:g} s") from None
        except aioipfs.APIError as error:  # its text is empty, its message is not
            said = error.message or f"HTTP status {error.http_status}"
            raise _Refused(f"the IPFS node at {self.url} says: {said}") from error
        except (aioipfs.RPCAccessDenied, aiohttp.ClientError, ValueError) as error:
            raise Unavailable(f"the IPFS node at {self.url} cannot be used: {error}") from error
        if answer is None:
            raise Unavailable(
                f"the IPFS node at {self.url} cannot be reached",
                hint="is it running, and is that its RPC API?",
            )
        return answer


class _NoAnswer(Unavailable):
    """No answer in time."""


class _Refused(BacalhauError):
    """The node answered with an error."""
