"""The ``s3`` publisher: results go into a bucket that the job names.

Params: ``Bucket``, ``Key``, ``Region``, ``Endpoint``, ``Encoding``. With the encoding ``gzip``, the default, the
results are one object, a tar.gz whose key ends so; with ``plain`` each file is an object below ``Key/``. In a key
``{jobID}``, ``{executionID}``, ``{nodeID}``, ``{date}`` (YYYYMMDD) and ``{time}`` (HHMMSS, UTC) are filled in.

An archive is there whole or not at all: a small one is one request, a large one becomes visible when its last
part has arrived, and what was begun is taken back. A folder is not atomic; its result is named when all of it is
there. Publishing the same again puts the same objects.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import ConfigDict, Field

from bacalhau_nats.clients.denied import DeniedNetworks
from bacalhau_nats.clients.parameters import read_parameters
from bacalhau_nats.clients.patience import Patience
from bacalhau_nats.clients.s3 import Place, S3Clients, S3Session
from bacalhau_nats.clients.s3_errors import S3Failed
from bacalhau_nats.clients.s3_signing import ARCHIVE, SHARED, source_params
from bacalhau_nats.domain.execution import Reason
from bacalhau_nats.domain.ids import NodeID
from bacalhau_nats.domain.model import Model
from bacalhau_nats.domain.spec import SpecConfig
from bacalhau_nats.ports import Health, PluginContext, Work, WorkFailed
from bacalhau_nats.publishers.archive import pack
from bacalhau_nats.publishers.s3_leftovers import Note, noted, read_notes, take_back
from bacalhau_nats.publishers.s3_upload import Uploaded, files_below, upload

if TYPE_CHECKING:
    from minio import Minio

TRIES, WAIT = 5, 1.0
"""How often publishing is tried, and the seconds before the second time: the work is done, so be patient."""

_RETRIES = 2  # of one request, by itself: a single part of a large upload that meets trouble
_SIDE_BY_SIDE = 8


class PublisherSettings(Model):
    """What a publisher needs to know. Times are in seconds."""

    read_timeout: float = Field(60.0, gt=0, description="seconds that a service may be silent")
    denied_networks: tuple[str, ...] = Field((), description="networks (CIDR) that endpoints must not be in")


class S3Target(Model):
    """The parameters of the publisher."""

    model_config = ConfigDict(coerce_numbers_to_str=True)

    bucket: str = ""
    key: str = ""
    region: str = ""
    endpoint: str = ""
    encoding: str = ""

    @classmethod
    def read(cls, spec: SpecConfig) -> S3Target:
        """Read parameters, their keys in any case. Raises ValueError saying what is wrong with them."""
        found = read_parameters(cls, spec, "publisher s3")
        for name, value in (("Bucket", found.bucket), ("Key", found.key)):
            if not value.strip():
                raise ValueError(f"publisher s3: {name} must not be empty")
        if found.encoding.lower() not in ("", "gzip", "plain"):
            raise ValueError(f"publisher s3: Encoding {found.encoding!r} is neither gzip nor plain")
        return found

    @property
    def plain(self) -> bool:
        """Say whether each file becomes an object."""
        return self.encoding.lower() == "plain"

    def named(self, work: Work, node: NodeID, now: datetime) -> str:
        """Give the key for an execution, with its placeholders filled in."""
        ending = "/" if self.plain else ARCHIVE
        key = self.key if self.key.endswith(ending) else self.key + ending
        known = {
            "{nodeID}": node,
            "{executionID}": work.execution_id,
            "{jobID}": work.job.id,
            "{date}": now.strftime("%Y%m%d"),
            "{time}": now.strftime("%H%M%S"),
        }
        for placeholder, value in known.items():
            key = key.replace(placeholder, value)
        return key


@dataclass(frozen=True, slots=True)
class _Begun:
    """A publication: fixed before the first try, so that each try puts the same objects."""

    target: S3Target
    place: Place
    key: str
    results: Path
    draft: Path

    @property
    def note(self) -> Note:
        place = self.place
        return Note(bucket=self.target.bucket, key=self.key, endpoint=place.endpoint, region=place.region)


class S3Publisher:
    """Puts results into buckets; ``drafts`` is where archives lie until they are there."""

    def __init__(
        self, clients: S3Clients, node: NodeID, drafts: Path, now: Callable[[], datetime], wait: float = WAIT
    ) -> None:
        self._clients = clients
        self._node = node
        self._drafts = drafts
        self._now = now
        self._patience = Patience(TRIES, wait)
        self.settled = asyncio.Event()
        """Set once the uploads of an earlier process are taken back; until then none is begun."""

    async def check(self) -> Health:
        """Say whether there are credentials: nobody lets strangers write."""
        why = await self._clients.why_not()
        return Health(ok=not why, why=why, configured=not why)

    def refuses(self, spec: SpecConfig) -> str:
        """Say what is wrong with the parameters, or with the endpoint."""
        try:
            target = S3Target.read(spec)
        except ValueError as error:
            return str(error)
        return self._clients.refuses(Place(target.endpoint, target.region))

    async def publish(self, work: Work, results: Path, spec: SpecConfig) -> SpecConfig:
        """Store the folder. Publishing an execution again replaces what was there."""
        try:
            target = S3Target.read(spec)
        except ValueError as error:
            raise WorkFailed(str(error), reason=Reason.PUBLISH, retryable=False) from None
        key = target.named(work, self._node, self._now())
        place = self._clients.named(Place(target.endpoint, target.region))
        begun = _Begun(target, place, key, results, self._drafts / f"{work.execution_id}{ARCHIVE}")
        try:
            if not target.plain:
                await pack(results, begun.draft)
            await self.settled.wait()
            stored = await self._patience.until_done(lambda: self._store(begun), say_nothing)
        except OSError as error:
            raise WorkFailed(
                f"results of {work.execution_id} could not be read or packed: {error}", reason=Reason.PUBLISH
            ) from error
        except S3Failed as failed:
            raise WorkFailed(
                f"results of {work.execution_id} could not be published: {failed}",
                reason=Reason.PUBLISH,
                retryable=failed.elsewhere,
                hint=failed.hint,
            ) from failed
        finally:
            begun.draft.unlink(missing_ok=True)
        return _result(begun, stored)

    async def _store(self, begun: _Begun) -> Uploaded:
        async with self._clients.session(begun.place, retries=_RETRIES) as session:
            bucket, key = begun.target.bucket, begun.key
            if not begun.target.plain:
                with noted(self._drafts, begun.draft.name, begun.note):
                    return await session.run(bucket, key, partial(_put, session, bucket, key, begun.draft))
            await self._store_files(session, begun)
            return Uploaded()

    async def _store_files(self, session: S3Session, begun: _Begun) -> None:
        bucket = begun.target.bucket
        files = iter(await asyncio.to_thread(files_below, begun.results))

        async def work() -> None:
            for path, name in files:
                key = begun.key + name
                await session.run(bucket, key, partial(_put, session, bucket, key, path))

        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(_SIDE_BY_SIDE):
                    group.create_task(work(), name=f"publish to {bucket}")
        except ExceptionGroup as failures:
            raise failures.exceptions[0] from None


def _put(session: S3Session, bucket: str, key: str, path: Path, client: Minio) -> Uploaded:
    return upload(client, session.pool, bucket, key, path)


def _result(begun: _Begun, stored: Uploaded) -> SpecConfig:
    return SpecConfig(
        type=SHARED,
        params=source_params(
            Bucket=begun.target.bucket,
            Key=begun.key,
            Region=begun.place.region,
            Endpoint=begun.place.endpoint,
            VersionID=stored.version,
            ChecksumSHA256=stored.checksum,
        ),
    )


async def say_nothing(_: str) -> None:
    """Publishing has no log of its own."""


@asynccontextmanager
async def open_s3(context: PluginContext) -> AsyncIterator[S3Publisher]:
    """Open the publisher with `PublisherSettings`. What an earlier process left half-done is taken back."""
    settings = context.read(PublisherSettings)
    drafts = context.data_dir / "publishing-s3"
    notes = await asyncio.to_thread(read_notes, drafts)
    clients = S3Clients(
        os.environ,  # noqa: TID251 - where every AWS client finds its credentials
        DeniedNetworks(settings.denied_networks),
        read_timeout=settings.read_timeout,
    )
    publisher = S3Publisher(clients, context.node_id, drafts, lambda: datetime.now(UTC))

    async def settle() -> None:
        try:
            await take_back(clients, notes)
        finally:
            publisher.settled.set()

    settling = asyncio.create_task(settle(), name="s3 leftovers")
    try:
        yield publisher
    finally:
        settling.cancel()
        await asyncio.gather(settling, return_exceptions=True)
        clients.close()
