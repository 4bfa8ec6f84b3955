"""The ``nats`` publisher: results go into the object store on the bus.

The result is ``{"Type": "nats", "Params": {"Key", "Size", "SHA256"}}``: a name in the results store, the size in
bytes and the sha256 in hex of the tar.gz. Every gateway can hand it out, so a client need not reach the node.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from bacalhau_nats.domain.execution import Reason
from bacalhau_nats.domain.spec import SpecConfig
from bacalhau_nats.errors import BacalhauError
from bacalhau_nats.ports import Blobs, Health, PluginContext, Work, WorkFailed
from bacalhau_nats.publishers.archive import pack

TYPE = "nats"
_HEALTHY = Health(ok=True)
_NO_STORE = Health(ok=False, why="this node has no object store for results")


class ObjectStorePublisher:
    """Packs a folder into ``drafts`` and stores it under ``<execution id>.tar.gz``."""

    def __init__(self, results: Blobs | None, drafts: Path) -> None:
        self._results = results
        self._drafts = drafts

    async def check(self) -> Health:
        """Say whether there is a store; whether it answers is the bus' own health."""
        return _HEALTHY if self._results is not None else _NO_STORE

    async def publish(self, work: Work, results: Path, spec: SpecConfig) -> SpecConfig:  # noqa: ARG002 - no parameters
        """Store the folder. Publishing an execution again replaces what was there."""
        if self._results is None:
            raise WorkFailed(_NO_STORE.why, reason=Reason.PUBLISH, hint="name another publisher in the job")
        name = f"{work.execution_id}.tar.gz"
        draft = self._drafts / name
        try:
            packed = await pack(results, draft)
            await self._results.put(name, draft)
        except (OSError, BacalhauError) as error:
            raise WorkFailed(
                f"results of {work.execution_id} could not be stored on the bus: {error}",
                reason=Reason.PUBLISH,
                hint=getattr(error, "hint", ""),
            ) from error
        finally:
            draft.unlink(missing_ok=True)
        return SpecConfig(type=TYPE, params={"Key": name, "Size": packed.size, "SHA256": packed.sha256})


@asynccontextmanager
async def open_objectstore(context: PluginContext) -> AsyncIterator[ObjectStorePublisher]:
    """Open the publisher; it has no settings. What an earlier process left half-packed is removed."""
    drafts = context.data_dir / "publishing"
    await asyncio.to_thread(_clear, drafts)
    yield ObjectStorePublisher(context.results, drafts)


def _clear(folder: Path) -> None:
    if folder.is_dir():
        for path in folder.iterdir():
            path.unlink()
