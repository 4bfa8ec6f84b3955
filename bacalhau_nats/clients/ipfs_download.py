"""Fetch content from an IPFS node, streamed: memory does not grow with it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from bacalhau_nats.blocking import in_thread
from bacalhau_nats.clients.arriving import Arriving
from bacalhau_nats.clients.ipfs_address import Endpoint
from bacalhau_nats.errors import BacalhauError, BadArchive, Unavailable
from bacalhau_nats.tarballs import Limits, extract_plain

if TYPE_CHECKING:
    import httpx

_CHUNK = 256 * 1024
_CONNECT_LIMIT = 10.0


async def fetch(
    endpoint: Endpoint,
    cid: str,
    into: Path,
    limits: Limits,
    *,
    idle: float,
    keep_links: bool,
    on_bytes: Callable[[int], None] = lambda _: None,
) -> Path:
    """Fetch the file or folder ``cid`` into the new folder ``into``; give its path there.

    ``idle`` is how many seconds may pass without progress. Raises Unavailable, BacalhauError with the node's
    word when it refuses, BadArchive for content that is cut off, too large or harmful, and OSError (the disk).
    What was written until then stays, for the caller to remove.
    """
    loop = asyncio.get_running_loop()
    params = {"arg": cid, "archive": "true", "compress": "false"}
    async with _request(endpoint, "get", params, idle) as response:
        chunks = _counted(response.aiter_raw(_CHUNK), on_bytes)
        await in_thread(
            lambda stopped: extract_plain(
                Arriving(loop, chunks, stopped), into, limits, keep_links=keep_links, stopped=stopped
            )
        )
    found = await asyncio.to_thread(lambda: list(into.iterdir()))
    if len(found) != 1:
        raise BadArchive(f"the IPFS node at {endpoint.url} gave {len(found)} things for {cid}, not one")
    return found[0]


@asynccontextmanager
async def _request(
    endpoint: Endpoint, call: str, params: dict[str, str], idle: float
) -> AsyncIterator[httpx.Response]:
    import httpx  # noqa: PLC0415 - takes a quarter of a second

    timeout = httpx.Timeout(idle, connect=min(idle, _CONNECT_LIMIT))
    encrypted = endpoint.scheme == "https"
    try:
        async with (
            httpx.AsyncClient(timeout=timeout, trust_env=False, verify=encrypted) as http,
            http.stream("POST", f"{endpoint.url}/api/v0/{call}", params=params) as response,
        ):
            if not response.is_success:
                raise _refused(endpoint, response.status_code, await response.aread())
            yield response
    except httpx.TimeoutException as error:
        raise Unavailable(f"nothing came from the IPFS node at {endpoint.url} within {idle:g} s") from error
    except httpx.TransportError as error:
        why = str(error) or type(error).__name__
        raise Unavailable(f"the IPFS node at {endpoint.url} cannot be used: {why}") from error


def _refused(endpoint: Endpoint, status: int, body: bytes) -> BacalhauError:
    try:
        said = str(json.loads(body)["Message"])
    except (ValueError, KeyError, TypeError):
        said = f"HTTP status {status}"
    return BacalhauError(f"the IPFS node at {endpoint.url} says: {said}")


async def _counted(chunks: AsyncIterator[bytes], on_bytes: Callable[[int], None]) -> AsyncIterator[bytes]:
    async for chunk in chunks:
        on_bytes(len(chunk))
        yield chunk
