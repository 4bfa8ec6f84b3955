"""The ``s3managed`` publisher: results go into a bucket of the orchestrator, by a URL that it signs.

The node needs no credentials and never hears of any: it asks for a URL that is good for one object and a while.
The result is ``{"Type": "s3managed", "Params": {"JobID", "ExecutionID"}}``; where that lies, the orchestrator knows.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from bacalhau_nats.clients.denied import DeniedNetworks
from bacalhau_nats.clients.patience import Patience
from bacalhau_nats.clients.s3 import S3Clients
from bacalhau_nats.clients.s3_errors import S3Failed
from bacalhau_nats.clients.s3_signing import ARCHIVE, MANAGED
from bacalhau_nats.domain.execution import Reason
from bacalhau_nats.domain.ids import ExecutionID, JobID
from bacalhau_nats.domain.spec import SpecConfig
from bacalhau_nats.errors import BacalhauError, InvalidSettings, Unavailable
from bacalhau_nats.ports import Health, PluginContext, UploadURL, Work, WorkFailed
from bacalhau_nats.publishers.archive import pack
from bacalhau_nats.publishers.s3 import TRIES, WAIT, PublisherSettings, say_nothing
from bacalhau_nats.publishers.s3_leftovers import read_notes

_LOOK_EVERY = 30.0
_FORGIVEN = 60.0
"""Seconds for which nobody may answer before a bucket that there was counts as gone: requesters restart."""

_NOBODY = Health(
    ok=False,
    why="no orchestrator with a bucket of its own answers (Publishers.Types.S3Managed.Bucket)",
    configured=False,
)


class S3ManagedPublisher:
    """Puts archives where the orchestrator says; ``drafts`` is where they lie until they are there."""

    def __init__(
        self,
        clients: S3Clients,
        ask: UploadURL | None,
        drafts: Path,
        *,
        wait: float = WAIT,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._clients = clients
        self._ask = ask
        self._drafts = drafts
        self._patience = Patience(TRIES, wait)
        self._now = monotonic
        self._health = _NOBODY
        self._heard = -math.inf

    async def check(self) -> Health:
        """Say whether an orchestrator has such a bucket; it is asked every half a minute while there is one.

        Bacalhau's nodes always offer this publisher; a job then fails after its work is done.
        """
        now = self._now()
        if self._ask is None or (self._health.ok and now < self._heard + _LOOK_EVERY):
            return self._health
        try:
            await self._ask(JobID(""), ExecutionID(""))
        except Unavailable:
            if now >= self._heard + _FORGIVEN:
                self._health = _NOBODY
            return self._health
        except BacalhauError as error:
            configured = not isinstance(error, InvalidSettings)
            self._health = Health(ok=False, why=error.message, configured=configured)
        else:
            self._health = Health(ok=True)
        self._heard = now
        return self._health

    async def publish(self, work: Work, results: Path, spec: SpecConfig) -> SpecConfig:  # noqa: ARG002 - no parameters
        """Store the folder as one object. Publishing an execution again replaces what was there."""
        ask = self._ask
        if ask is None:
            raise WorkFailed(_NOBODY.why, reason=Reason.PUBLISH)
        draft = self._drafts / f"{work.execution_id}{ARCHIVE}"

        async def attempt() -> None:
            try:
                url = await ask(work.job.id, work.execution_id)
            except Unavailable as error:
                raise S3Failed(f"no upload URL: {error.message}", again=True, hint=error.hint) from error
            except BacalhauError as error:
                raise S3Failed(f"no upload URL: {error.message}", hint=error.hint) from error
            await self._clients.put(url, draft)

        try:
            await pack(results, draft)
            await self._patience.until_done(attempt, say_nothing)
        except OSError as error:
            raise WorkFailed(
                f"results of {work.execution_id} could not be packed: {error}", reason=Reason.PUBLISH
            ) from error
        except S3Failed as failed:
            raise WorkFailed(
                f"results of {work.execution_id} could not be published: {failed}",
                reason=Reason.PUBLISH,
                retryable=failed.again,
                hint=failed.hint,
            ) from failed
        finally:
            draft.unlink(missing_ok=True)
        return SpecConfig(type=MANAGED, params={"JobID": work.job.id, "ExecutionID": work.execution_id})


@asynccontextmanager
async def open_s3_managed(context: PluginContext) -> AsyncIterator[S3ManagedPublisher]:
    """Open the publisher with `PublisherSettings`. What an earlier process left half-packed is removed."""
    settings = context.read(PublisherSettings)
    drafts = context.data_dir / "publishing-s3managed"
    await asyncio.to_thread(read_notes, drafts)
    clients = S3Clients({}, DeniedNetworks(settings.denied_networks), read_timeout=settings.read_timeout)
    try:
        yield S3ManagedPublisher(clients, context.upload_url, drafts)
    finally:
        clients.close()
