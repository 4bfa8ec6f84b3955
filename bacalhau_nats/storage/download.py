"""One download over HTTP: to an address that was checked, of a size that is bounded.

url ──► resolve ──► denied? ──► connect to that address ──► 2xx: write to disk
 ▲                                                      └──► 3xx: the same again, at most 10 times
 └──────────────────────────────────────────────────────┘
"""

from __future__ import annotations

import asyncio
import hashlib
import re
import socket
import ssl
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import SplitResult, unquote, urljoin, urlsplit

from bacalhau_nats.clients.denied import DeniedNetworks
from bacalhau_nats.domain.execution import Reason
from bacalhau_nats.domain.resources import show_bytes
from bacalhau_nats.ports import WorkFailed
from bacalhau_nats.storage.url_cache import unless, version_of

if TYPE_CHECKING:
    import httpx

_REDIRECTS = 10
_REDIRECTING = (301, 302, 303, 307, 308)
_TEMPORARY = (408, 425, 429)
_NOT_MODIFIED = 304
_BATCH = 1024 * 1024
_LONGEST_NAME = 255
_DISPOSITION = re.compile(r'filename\s*=\s*"?([^";]+)"?', re.IGNORECASE)
_NOBODY = "download"


class TryAgain(Exception):
    """It did not work, and might later; ``after`` is how many seconds the server asked to wait."""

    def __init__(self, message: str, after: float = 0.0) -> None:
        super().__init__(message)
        self.after = after


@dataclass(frozen=True, slots=True)
class Limits:
    """Seconds without progress, and bytes."""

    timeout: float
    size: int


@dataclass(frozen=True, slots=True)
class Downloaded:
    """A file, its size in bytes, its sha256 in hex, and what names this version of it (`url_cache.version_of`)."""

    path: Path
    size: int
    sha256: str = ""
    version: str = ""


def checked_url(url: str) -> SplitResult:
    """Take a URL apart. Raises ValueError saying why it cannot be downloaded from."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise ValueError(f"URL {url!r} cannot be read: {error}") from None
    if parts.scheme.lower() not in ("http", "https"):
        raise ValueError(f"URL {shown(url)!r} must start with http:// or https://")
    if not parts.hostname or port == 0 or re.search(r"[\x00-\x20\x7f]", url):
        raise ValueError(f"URL {shown(url)!r} has no usable host, or blanks in it")
    return parts


def shown(url: str) -> str:
    """Write a URL for people and logs: without user, password and query, which may be secret."""
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2], query="", fragment="").geturl()


class Downloader:
    """Fetches files; one HTTP client, made at the first use and closed by ``stack``."""

    def __init__(self, stack: AsyncExitStack, denied: DeniedNetworks, limits: Limits) -> None:
        self._stack = stack
        self._denied = denied
        self._limits = limits
        self._client: httpx.AsyncClient | None = None
        self._opening = asyncio.Lock()

    def refuses(self, url: SplitResult) -> str:
        """Say why an address written in the URL is denied; empty when it is not, or when it is a name."""
        host = url.hostname or ""
        try:
            why = self._denied.why(host)
        except ValueError:
            return ""
        return f"{shown(url.geturl())} leads to {host}, which is not allowed: {why}" if why else ""

    async def download(self, url: str, into: Path, *, known: str = "") -> Downloaded | None:
        """Download ``url`` to a file in ``into``; None when it still has the version ``known``.

        Raises TryAgain, OSError (the disk), and WorkFailed for what no further try can help.
        """
        import httpx  # noqa: PLC0415 - costs 100 ms, and most nodes never download

        at = url
        for _ in range(_REDIRECTS + 1):
            try:
                async with AsyncExitStack() as stack:
                    response = await self._ask(stack, at, unless(known))
                    if response.status_code in _REDIRECTING and "location" in response.headers:
                        at = urljoin(at, response.headers["location"])
                        continue
                    if known and response.status_code == _NOT_MODIFIED:
                        return None
                    self._judge(response, at)
                    return await self._save(response, url, into)
            except httpx.TimeoutException as error:
                raise TryAgain(f"{shown(at)}: nothing came within {self._limits.timeout:g} s") from error
            except (httpx.TransportError, ssl.SSLError) as error:
                raise TryAgain(f"{shown(at)}: {str(error) or type(error).__name__}") from error
            except (httpx.InvalidURL, httpx.DecodingError) as error:
                raise _final(f"{shown(at)}: {error}") from error
        raise _final(f"{shown(url)} redirects more than {_REDIRECTS} times")

    async def _ask(self, stack: AsyncExitStack, url: str, conditions: dict[str, str]) -> httpx.Response:
        """Send the request to the first permitted address that can be connected to."""
        import httpx  # noqa: PLC0415 - loaded already

        try:
            parts = checked_url(url)
        except ValueError as error:
            raise _final(str(error)) from None
        client = await self._open()
        failure: Exception | None = None
        for address in await self._permitted(parts):
            pinned = httpx.URL(url).copy_with(host=address, fragment=None)
            request = client.build_request(
                "GET",
                pinned,
                headers={
                    "Host": parts.netloc.rpartition("@")[2],
                    "Accept-Encoding": "identity",
                    **conditions,
                },
                extensions={"sni_hostname": parts.hostname},  # the certificate is checked against the name
            )
            try:
                response = await client.send(request, stream=True)
            except (httpx.ConnectError, httpx.ConnectTimeout) as error:
                failure = error
                continue
            stack.push_async_callback(response.aclose)
            return response
        raise TryAgain(f"{shown(url)}: cannot connect: {failure or 'no address'}")

    async def _permitted(self, url: SplitResult) -> list[str]:
        host, port = url.hostname or "", url.port or (443 if url.scheme.lower() == "https" else 80)
        try:
            found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            raise TryAgain(f"{shown(url.geturl())}: host {host} is not known: {error}") from error
        addresses = list(dict.fromkeys(str(entry[4][0]) for entry in found))
        reasons = {address: self._denied.why(address) for address in addresses}
        permitted = [address for address in addresses if not reasons[address]]
        if not permitted:
            denied = ", ".join(f"{address} ({why})" for address, why in reasons.items())
            raise _final(f"{shown(url.geturl())} leads to an address that is not allowed: {denied}")
        return permitted

    def _judge(self, response: httpx.Response, url: str) -> None:
        status = response.status_code
        if response.is_success:
            return
        said = f"{shown(url)} answered {status} {response.reason_phrase}".rstrip()
        if status >= 500 or status in _TEMPORARY:  # noqa: PLR2004 - the server's own faults
            after = response.headers.get("retry-after", "")
            raise TryAgain(said, float(after) if after.isdigit() else 0.0)
        raise _final(said)

    async def _save(self, response: httpx.Response, url: str, into: Path) -> Downloaded:
        limit = self._limits.size
        length = response.headers.get("content-length", "")
        if length.isdigit() and int(length) > limit:
            raise _final(
                f"{shown(url)} is {show_bytes(int(length))} large; at most {show_bytes(limit)} are allowed"
            )
        await asyncio.to_thread(into.mkdir, parents=True, exist_ok=True)
        path, size, batch = into / _filename(url, response), 0, bytearray()
        seen = hashlib.sha256()

        def write(data: bytearray) -> None:
            seen.update(data)
            out.write(data)

        with path.open("wb") as out:
            async for chunk in response.aiter_raw():
                size += len(chunk)
                if size > limit:
                    raise _final(f"{shown(url)} is larger than the {show_bytes(limit)} allowed")
                batch += chunk
                if len(batch) >= _BATCH:
                    await asyncio.to_thread(write, batch)
                    batch = bytearray()
            await asyncio.to_thread(write, batch)
        return Downloaded(path, size, seen.hexdigest(), version_of(response.headers))

    async def _open(self) -> httpx.AsyncClient:
        import httpx  # noqa: PLC0415 - loaded already

        async with self._opening:
            if self._client is None:
                context = await asyncio.to_thread(ssl.create_default_context)
                self._client = await self._stack.enter_async_context(
                    httpx.AsyncClient(
                        verify=context,
                        timeout=self._limits.timeout,
                        follow_redirects=False,
                        trust_env=False,
                        # Connections are known by address: kept ones would be shared by all names of it,
                        # though the certificate was checked for one.
                        limits=httpx.Limits(max_keepalive_connections=0),
                    )
                )
            return self._client


def _final(message: str) -> WorkFailed:
    return WorkFailed(message, reason=Reason.INPUT, retryable=False)


def _filename(url: str, response: httpx.Response) -> str:
    """Name the file by the URL that was asked for; a server's word is taken without any folder in it."""
    said = _DISPOSITION.search(response.headers.get("content-disposition", ""))
    for name in (unquote(urlsplit(url).path.rpartition("/")[2]), said.group(1) if said else ""):
        plain = name.replace("\\", "/").rpartition("/")[2].replace("\0", "").strip()
        if plain not in ("", ".", ".."):
            return plain.encode()[:_LONGEST_NAME].decode(errors="ignore")
    return _NOBODY
