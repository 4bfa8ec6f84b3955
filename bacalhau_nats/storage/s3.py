"""The ``s3`` input source: objects of an S3 bucket as files below the target.

Objects are listed first, so that size and number are known before the first byte is fetched; then they stream
to disk side by side. What a service in trouble breaks off goes on behind what has arrived, as long as the object
is still the same (``If-Match``). Unlike in Bacalhau an input of a job that runs on every node works (its count is
0, which Bacalhau refuses), and a given ``ChecksumSHA256`` is that of the content, whatever the service says.
"""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from pydantic import Field

from bacalhau_nats.clients.denied import DeniedNetworks
from bacalhau_nats.clients.patience import Patience
from bacalhau_nats.clients.s3 import THREADS, S3Clients, S3Session
from bacalhau_nats.clients.s3_errors import S3Failed, shown
from bacalhau_nats.domain.execution import Reason
from bacalhau_nats.domain.model import Model
from bacalhau_nats.domain.resources import show_bytes
from bacalhau_nats.domain.spec import SpecConfig
from bacalhau_nats.ports import WHOLE, Health, LogSink, PluginContext, Share, Volume, WorkFailed
from bacalhau_nats.storage.s3_download import Download, find, verify
from bacalhau_nats.storage.s3_partition import share_of
from bacalhau_nats.storage.s3_source import S3Object, S3Source, layout


class S3Settings(Model):
    """`InputSources`, as far as it is about S3. Times are in seconds."""

    anonymous: bool = Field(
        False, description="whether public buckets are read where there are no credentials"
    )
    read_timeout: float = Field(300.0, gt=0, description="seconds that a service may be silent")
    max_retry_count: int = Field(3, ge=0, description="further tries after the first has failed")
    retry_wait: float = Field(0.5, ge=0, description="seconds before the first of them; doubles each time")
    denied_networks: tuple[str, ...] = Field((), description="networks (CIDR) that endpoints must not be in")


class S3Storage:
    """Fetches objects; `share` gives the storage of one partition."""

    def __init__(self, clients: S3Clients, settings: S3Settings, share: Share = WHOLE) -> None:
        self._clients = clients
        self._settings = settings
        self._share = share
        self._patience = Patience(settings.max_retry_count + 1, settings.retry_wait)

    async def check(self) -> Health:
        """Say whether there are credentials, or none are needed."""
        why = await self._clients.why_not()
        return Health(ok=not why, why=why, configured=not why)

    def refuses(self, source: SpecConfig) -> str:
        """Say what is wrong with the parameters, or with the endpoint."""
        try:
            wanted = S3Source.read(source)
        except ValueError as error:
            return str(error)
        return self._clients.refuses(wanted.place)

    def share(self, share: Share) -> S3Storage:
        """Give the storage as one partition sees it."""
        return S3Storage(self._clients, self._settings, share)

    async def fetch(self, source: SpecConfig, target: str, into: Path, logs: LogSink) -> Volume:
        """Fetch this partition's objects. A folder without any file is what an empty share gives."""
        try:
            wanted = S3Source.read(source)
        except ValueError as error:
            raise WorkFailed(str(error), reason=Reason.INVALID, retryable=False) from None
        name = shown(wanted.bucket, wanted.key)
        try:
            async with self._clients.session(wanted.place) as session:
                found = await self._patience.until_done(
                    lambda: session.run(wanted.bucket, wanted.key, lambda client: find(client, wanted)),
                    logs.event,
                )
                files = await asyncio.to_thread(self._choose, found, wanted)  # a million take their time
                size = sum(one.size for one in files.values())
                await asyncio.to_thread(self._make_room, into, size, name)
                await logs.event(f"downloading {_told(len(files))} of {name}, {show_bytes(size)}")
                await self._fetch_all(session, wanted, files, into, logs)
        except S3Failed as failed:
            raise WorkFailed(
                str(failed), reason=Reason.INPUT, retryable=failed.elsewhere, hint=failed.hint
            ) from failed
        except OSError as error:
            raise WorkFailed(f"{name} could not be written: {error}", reason=Reason.DISK) from error
        await logs.event(f"downloaded {_told(len(files))} of {name}, {show_bytes(size)}")
        return Volume(into, target)

    def _choose(self, found: list[S3Object], wanted: S3Source) -> dict[str, S3Object]:
        share = self._share
        mine = share_of(
            found,
            lambda one: one.key,
            wanted.prefix,
            wanted.partition,
            index=share.index,
            count=max(1, share.count),
        )
        try:
            return layout(mine, wanted.prefix)
        except ValueError as error:
            raise S3Failed(f"{shown(wanted.bucket, wanted.key)}: {error}") from None

    def _make_room(self, into: Path, size: int, name: str) -> None:
        """Make the folder. Raises WorkFailed when what is to come is more than it may be, or than there is."""
        into.mkdir(parents=True, exist_ok=True)
        budget, free = self._share.budget, shutil.disk_usage(into).free
        if budget and size > budget:
            raise WorkFailed(
                f"{name} takes {show_bytes(size)} of disk, more than the {show_bytes(budget)} of this execution",
                reason=Reason.DISK,
                retryable=False,
                hint="ask for more with Resources.Disk",
            )
        if size > free:
            raise WorkFailed(
                f"{name} takes {show_bytes(size)} of disk; this node has {show_bytes(free)} left",
                reason=Reason.DISK,
            )

    async def _fetch_all(
        self,
        session: S3Session,
        wanted: S3Source,
        files: dict[str, S3Object],
        into: Path,
        logs: LogSink,
    ) -> None:
        waiting = iter(files.items())

        async def work() -> None:
            for path, one in waiting:
                await self._fetch_one(session, wanted, one, into / path, logs)

        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(min(THREADS, len(files))):
                    group.create_task(work(), name=f"s3 {wanted.bucket}")
        except ExceptionGroup as failures:
            raise failures.exceptions[0] from None

    async def _fetch_one(
        self, session: S3Session, wanted: S3Source, one: S3Object, path: Path, logs: LogSink
    ) -> None:
        download = Download(wanted.bucket, one, path)
        await self._patience.until_done(
            lambda: session.run(wanted.bucket, one.key, download.go_on), logs.event, lambda: download.done
        )
        if wanted.checksum_sha256:
            await session.run(wanted.bucket, one.key, lambda client: verify(client, wanted, path))


@asynccontextmanager
async def open_s3(context: PluginContext) -> AsyncIterator[S3Storage]:
    """Open the storage with `S3Settings`. The client library is loaded at the first use."""
    settings = context.read(S3Settings)
    clients = S3Clients(
        os.environ,  # noqa: TID251 - where every AWS client finds its credentials
        DeniedNetworks(settings.denied_networks),
        read_timeout=settings.read_timeout,
        anonymous=settings.anonymous,
    )
    try:
        yield S3Storage(clients, settings)
    finally:
        clients.close()


def _told(count: int) -> str:
    return f"{count} object" if count == 1 else f"{count} objects"
