"""Speak to S3 services: the blocking client library in a bounded number of threads.

One `S3Clients` serves a plugin or a role for its whole life: it knows the credentials of this machine and owns
the threads. An `S3Session` is one piece of work at one place: its connections, and their end. Without a
place of its own a bucket is where the environment says (``AWS_ENDPOINT_URL``, ``AWS_REGION``), else at AWS.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import ssl
from collections.abc import AsyncIterator, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import urlsplit

from bacalhau_nats.clients.denied import DeniedNetworks
from bacalhau_nats.clients.s3_credentials import NONE_FOUND, find_credentials, may_have_credentials, why_none
from bacalhau_nats.clients.s3_errors import S3Failed, explain, of_answer, shown
from bacalhau_nats.clients.s3_library import load

if TYPE_CHECKING:
    from minio import Minio
    from minio.credentials.providers import Provider

    from bacalhau_nats.clients.s3_pool import Pool

THREADS = 16
"""Requests to S3 that one `S3Clients` has in flight, whatever the number of executions."""

_AWS = "https://s3.amazonaws.com"
_STORED = (200, 201, 204)
_ELSEWHERE = "us-east-1"  # what services that are not AWS take as their region
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Place:
    """Where a bucket is; empty is what the environment says."""

    endpoint: str = ""
    region: str = ""


class S3Session:
    """Connections to one place for one piece of work; see `S3Clients.session`."""

    def __init__(self, endpoint: str, client: Minio, pool: Pool, threads: ThreadPoolExecutor) -> None:
        self.endpoint = endpoint
        self.pool = pool
        self._client = client
        self._threads = threads

    async def run(self, bucket: str, key: str, work: Callable[[Minio], _T]) -> _T:
        """Do blocking ``work`` in a thread and give its result.

        Raises S3Failed naming ``bucket`` and ``key``. On cancellation all connections of the session are
        ended, and this returns when the thread has: nothing writes into a folder that is being removed.
        """
        where = shown(bucket, key, self.endpoint)
        return await _in_thread(self._threads, self.pool, lambda: work(self._client), where)


class S3Clients:
    """The S3 services as this machine may use them.

    ``env`` is the environment of the process. ``read_timeout`` is how many seconds a service may be silent.
    ``anonymous`` allows to work without credentials where there are none.
    """

    def __init__(
        self,
        env: Mapping[str, str],
        denied: DeniedNetworks,
        *,
        read_timeout: float = 60.0,
        anonymous: bool = False,
    ) -> None:
        self._env = env
        self._denied = denied
        self._read_timeout = read_timeout
        self._anonymous = anonymous
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="s3")
        self._provider: Provider | None = None
        self._tls: ssl.SSLContext | None = None

    def close(self) -> None:
        """Give the threads back; whatever ran in them has ended."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def why_not(self) -> str:
        """Say why there is nothing to sign requests with; empty when there is, or when it is not needed."""
        why = await asyncio.to_thread(self._why_none)
        return "" if self._anonymous else why

    def named(self, place: Place) -> Place:
        """Give ``place`` with what the environment says filled in, for others who do not have it."""
        env = self._env
        return Place(
            place.endpoint or env.get("AWS_ENDPOINT_URL_S3", "") or env.get("AWS_ENDPOINT_URL", ""),
            place.region or env.get("AWS_REGION", "") or env.get("AWS_DEFAULT_REGION", ""),
        )

    def endpoint_of(self, place: Place) -> str:
        """Give the URL of the service at ``place``."""
        return self.named(place).endpoint or _AWS

    def refuses(self, place: Place) -> str:
        """Say why ``place`` is none, or one that must not be used, as far as that shows in its name."""
        endpoint = self.endpoint_of(place)
        try:
            host, _ = _take_apart(endpoint)
            why = self._denied.why(urlsplit(f"//{host}").hostname or "")
        except _NotAnAddress as error:
            return str(error)
        except ValueError:
            return ""  # a name; where it leads is looked at when it is connected to
        return f"S3 endpoint {endpoint} is not allowed: {why}" if why else ""

    @asynccontextmanager
    async def session(
        self, place: Place, *, size: int = THREADS, retries: int = 0
    ) -> AsyncIterator[S3Session]:
        """Open a session at ``place`` with up to ``size`` connections; see `Pool` for ``retries``.

        Raises S3Failed when ``place`` is none, or there are no credentials and some are needed.
        """
        if why := self.refuses(place):
            raise S3Failed(why)
        client, pool = await asyncio.to_thread(self._open, place, size, retries)
        try:
            yield S3Session(self.endpoint_of(place), client, pool, self._threads)
        finally:
            pool.clear()

    async def put(self, url: str, path: Path) -> None:
        """Put a file to a URL that somebody signed: no credentials are needed. Raises S3Failed."""
        where = url.partition("?")[0]  # the rest is as good as a key
        await asyncio.to_thread(load)
        pool = self._pool(1, 0, secure=url.startswith("https:"))

        def work() -> None:
            with path.open("rb") as file:
                digest = hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).digest()
                size = file.tell()
                file.seek(0)
                headers = {"Content-Length": str(size), "Content-MD5": base64.b64encode(digest).decode()}
                answer = pool.urlopen("PUT", url, body=file, headers=headers, redirect=False)
            if answer.status not in _STORED:
                raise of_answer(where, answer.status, answer.data)

        try:
            await _in_thread(self._threads, pool, work, where)
        finally:
            pool.clear()

    def _open(self, place: Place, size: int, retries: int) -> tuple[Minio, Pool]:
        load()
        from minio import Minio  # noqa: PLC0415 - loaded just now

        why = self._why_none()
        if why and not self._anonymous:
            raise S3Failed(why, elsewhere=True)
        endpoint = self.endpoint_of(place)
        host, secure = _take_apart(endpoint)
        pool = self._pool(size, retries, secure=secure)
        client = Minio(
            host,
            credentials=None if why else self._provider,
            secure=secure,
            region=self._region(place, endpoint),
            http_client=pool,
        )
        return client, pool

    def _pool(self, size: int, retries: int, *, secure: bool) -> Pool:
        from bacalhau_nats.clients.s3_pool import Pool  # noqa: PLC0415 - loaded already

        if secure and self._tls is None:
            bundle = self._env.get("AWS_CA_BUNDLE") or None
            try:
                self._tls = ssl.create_default_context(cafile=bundle)
            except OSError as error:
                raise S3Failed(f"AWS_CA_BUNDLE {bundle} cannot be read: {error}", elsewhere=True) from error
        return Pool(
            self._denied.why, size=size, read_timeout=self._read_timeout, retries=retries, tls=self._tls
        )

    def _region(self, place: Place, endpoint: str) -> str | None:
        """Give the region; None where AWS has to be asked for it, bucket by bucket."""
        at_aws = (urlsplit(endpoint).hostname or "").endswith((".amazonaws.com", ".amazonaws.com.cn"))
        return self.named(place).region or (None if at_aws else _ELSEWHERE)

    def _why_none(self) -> str:
        if self._provider is None:
            if not may_have_credentials(self._env):
                return NONE_FOUND
            load()
            self._provider = find_credentials(self._env)
        return why_none(self._provider)


async def _in_thread(threads: ThreadPoolExecutor, pool: Pool, work: Callable[[], _T], where: str) -> _T:
    """Run ``work`` in a thread; when cancelled, end its connections and wait for it. Raises S3Failed."""
    future = threads.submit(work)
    running = asyncio.wrap_future(future)
    try:
        return await asyncio.shield(running)
    except asyncio.CancelledError:
        if not future.cancel():
            pool.stop()
            with suppress(Exception):  # how it ended when stopped is of no interest
                await asyncio.shield(running)
        raise
    except Exception as error:
        raise explain(error, where) from error


class _NotAnAddress(Exception):
    pass


def _take_apart(endpoint: str) -> tuple[str, bool]:
    """Give host and port of an endpoint, and whether it speaks TLS. Raises _NotAnAddress."""
    try:
        parts = urlsplit(endpoint if "://" in endpoint else f"https://{endpoint}")
        usable = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        usable = None
    if not usable or parts.path.strip("/") or parts.query or parts.username or parts.password:
        raise _NotAnAddress(
            f"S3 endpoint {shown_endpoint(endpoint)!r} must be http://host:port or https://host"
        )
    return parts.netloc, parts.scheme == "https"


def shown_endpoint(endpoint: str) -> str:
    """Write an endpoint for people, without a password that somebody may have put into it."""
    scheme, _, rest = endpoint.rpartition("://")
    return f"{scheme}://{rest.rpartition('@')[2]}" if scheme else rest.rpartition("@")[2]
