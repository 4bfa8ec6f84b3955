"""Inputs become local files and folders before an execution starts, and are gone after it.

Each input gets its own place below the execution's input folder, made only by a storage that needs it. All are
fetched at once; the first that fails ends the others, and nothing of any is left.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path, PurePosixPath

from bacalhau_nats.compute.disk import DiskWatch, watched
from bacalhau_nats.compute.folders import remove_tree
from bacalhau_nats.domain.execution import Reason
from bacalhau_nats.domain.spec import InputSource, Task
from bacalhau_nats.ports import WHOLE, Divisible, LogSink, Share, Storage, Volume, WorkFailed


@asynccontextmanager
async def prepare_inputs(
    task: Task,
    storages: Mapping[str, Storage],
    folder: Path,
    logs: LogSink,
    *,
    watch: DiskWatch | None = None,
    share: Share = WHOLE,
) -> AsyncIterator[tuple[Volume, ...]]:
    """Fetch the inputs of ``task`` and give their volumes, in the order of ``task.input_sources``.

    ``folder`` is removed at the end, if any input made it. ``storages`` is by lower-case type. Inputs that can be
    divided are given by their ``share``. Raises WorkFailed: of a storage, for two inputs with one target, a type
    this node does not have, or what ``watch`` finds.
    """
    if not task.input_sources:
        yield ()
        return
    _must_be_unique(source.target for source in task.input_sources)
    try:
        volumes = await watched(_fetch_all(task.input_sources, storages, folder, logs, share), watch)
        _must_be_unique(volume.target for volume in volumes)
        yield volumes
    finally:
        if folder.exists():  # noqa: ASYNC240 - one stat, cheaper than a thread
            await asyncio.shield(asyncio.to_thread(remove_tree, folder))


async def _fetch_all(
    sources: tuple[InputSource, ...],
    storages: Mapping[str, Storage],
    folder: Path,
    logs: LogSink,
    share: Share,
) -> tuple[Volume, ...]:
    try:
        async with asyncio.TaskGroup() as group:
            fetching = [
                group.create_task(
                    _fetch(source, storages, folder / str(index), logs, share), name=f"input-{source.target}"
                )
                for index, source in enumerate(sources)
            ]
            await asyncio.gather(*fetching)
    except ExceptionGroup as failures:
        raise _first(failures) from None
    return tuple(task.result() for task in fetching)


async def _fetch(
    source: InputSource, storages: Mapping[str, Storage], into: Path, logs: LogSink, share: Share
) -> Volume:
    storage = storages.get(source.source.kind)
    if storage is None:
        known = ", ".join(sorted(storages)) or "none"
        raise WorkFailed(
            f"input {source.target} is of type {source.source.type!r}, which this node does not have ({known})",
            reason=Reason.INPUT,
        )
    if isinstance(storage, Divisible):
        storage = storage.share(share)
    return await storage.fetch(source.source, source.target, into, logs)


def _must_be_unique(targets: Iterable[str]) -> None:
    seen: set[PurePosixPath] = set()
    for target in targets:
        path = PurePosixPath(target)
        if path in seen:
            raise WorkFailed(
                f"two inputs would lie at {path}",
                reason=Reason.INVALID,
                retryable=False,
                hint="give each input source its own Target",
            )
        seen.add(path)


def _first(failures: ExceptionGroup[Exception]) -> Exception:
    """Give the failure that came first; the others are those of inputs that failed in the same instant."""
    first: Exception = failures.exceptions[0]
    return _first(first) if isinstance(first, ExceptionGroup) else first
