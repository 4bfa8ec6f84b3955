"""Inputs become local files and folders before an execution starts, and are gone after it.

Each input gets its own place below the execution's input folder, made only by a storage that needs it. All are
fetched at once; the first that fails ends the others, and nothing of any is left.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path, PurePosixPath

from bacalhau_nats.compute.folders import remove_tree
from bacalhau_nats.domain.execution import Reason
from bacalhau_nats.domain.resources import show_bytes
from bacalhau_nats.domain.spec import InputSource, Task
from bacalhau_nats.ports import Divisible, LogSink, Share, Storage, Volume, WorkFailed

_LOOK_EVERY = 0.5
"""Seconds between looks at how much disk the inputs have taken; what a fast disk writes in that time is the
amount by which a budget may be passed."""


@asynccontextmanager
async def prepare_inputs(
    task: Task,
    storages: Mapping[str, Storage],
    folder: Path,
    logs: LogSink,
    *,
    budget: int = 0,
    partition: int = 0,
    count: int = 1,
) -> AsyncIterator[tuple[Volume, ...]]:
    """Fetch the inputs of ``task`` and give their volumes, in the order of ``task.input_sources``.

    ``folder`` is removed at the end, if any input made it. ``storages`` is by lower-case type. ``budget`` is how
    many bytes the inputs may take on disk, 0 for any. Inputs that can be divided give ``partition`` of ``count`` its
    part. Raises WorkFailed: of a storage, for two inputs with
    one target, a type this node does not have, or a budget passed (reason DISK).
    """
    if not task.input_sources:
        yield ()
        return
    _must_be_unique(source.target for source in task.input_sources)
    try:
        volumes = await _fetch_all(
            task.input_sources, storages, folder, logs, Share(partition, count, budget)
        )
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
    budget = share.budget
    try:
        async with asyncio.TaskGroup() as group:
            watch = group.create_task(_watch(folder, budget), name="input-budget") if budget else None
            fetching = [
                group.create_task(
                    _fetch(source, storages, folder / str(index), logs, share), name=f"input-{source.target}"
                )
                for index, source in enumerate(sources)
            ]
            await asyncio.gather(*fetching)
            if watch is not None:
                watch.cancel()
    except ExceptionGroup as failures:
        raise _first(failures) from None
    if budget and folder.exists():  # noqa: ASYNC240 - one stat
        await _judge(folder, budget)
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


async def _watch(folder: Path, budget: int) -> None:
    while True:
        await asyncio.sleep(_LOOK_EVERY)
        await _judge(folder, budget)


async def _judge(folder: Path, budget: int) -> None:
    used = await asyncio.to_thread(_disk_use, folder)
    if used > budget:
        raise WorkFailed(
            f"the inputs take more disk than the {show_bytes(budget)} of this execution",
            reason=Reason.DISK,
            retryable=False,
            hint="ask for more with Resources.Disk",
        )


def _disk_use(folder: Path) -> int:
    """Add up the content below ``folder``; what vanishes meanwhile does not count."""
    total = 0
    for parent, _, files in os.walk(folder):
        for name in files:
            try:
                total += Path(parent, name).lstat().st_size
            except FileNotFoundError:
                continue
    return total


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
