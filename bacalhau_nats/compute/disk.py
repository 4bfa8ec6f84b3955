"""Disk while work runs: what one execution may take, and what the node keeps for itself.

An execution's inputs, outputs and kept output are added up every half second, sooner while it comes near its
quota, and once more at its end. (More slowly where that takes long: at most a twentieth of the time is spent on
it.) It fails

* when it takes more than its Resources.Disk: *disk quota*;
* when it has written while less than the node's reserve was free: *disk full*. One that writes nothing is left
  alone, whoever filled the disk.

What the disk takes between two looks is the amount by which either may be passed. Not seen are files that were
deleted and are still open, and what a container writes outside of its inputs and outputs.
"""

from __future__ import annotations

import asyncio
import errno
import os
import time
from collections.abc import Callable, Coroutine, Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

from bacalhau_nats.compute.folders import ExecutionFolder
from bacalhau_nats.domain.execution import Reason
from bacalhau_nats.domain.resources import show_bytes
from bacalhau_nats.domain.spec import Task
from bacalhau_nats.ports import Failure, Volume, WorkFailed

T = TypeVar("T")

SETTING = "Compute.DiskReserve"
_LOOK_EVERY = 0.5
_SOONEST = 0.05
_SHARE = 20  # times as long as a look took is waited for the next


def free_bytes(folder: Path) -> int:
    """Say how much a file system has left for this user. Raises OSError."""
    status = os.statvfs(folder)
    return status.f_bavail * status.f_frsize


@dataclass(frozen=True, slots=True)
class DiskReserve:
    """What is kept free on the file system of ``folder``; ``amount`` in bytes, 0 for nothing."""

    folder: Path
    amount: int = 0
    free: Callable[[Path], int] = free_bytes

    def missing(self) -> str:
        """Say why there is no disk to spare, in words that stay the same while it is so; empty when there is."""
        if not self.amount:
            return ""
        try:
            short = self.free(self.folder) < self.amount
        except OSError as error:
            return f"cannot use its data folder: {error.strerror or error}"
        kept = show_bytes(self.amount)
        return f"has no disk to spare: less than the {kept} it keeps in reserve is free" if short else ""


def verdict(used: int, before: int, allowed: int, missing: str) -> Failure | None:
    """Judge one look: ``used`` bytes now and ``before``, ``allowed`` at most (0: any), what the node says."""
    if allowed and used > allowed:
        return Failure(
            f"disk quota: the execution takes {show_bytes(used)} of disk and may take {show_bytes(allowed)}",
            Reason.QUOTA,
            retryable=False,
            hint="ask for more with Resources.Disk",
        )
    if missing and used > before:
        return Failure(
            f"disk full: the node {missing}",
            Reason.DISK,
            hint=f"make room on the node; {SETTING} says how much is kept",
        )
    return None


def pause(used: int, before: int, allowed: int, *, since: float, took: float) -> float:
    """Say in how many seconds to look again, after ``before`` became ``used`` bytes in ``since`` seconds.

    When half of what is left would be taken at that pace. A look that ``took`` long is not repeated soon.
    """
    soon = _LOOK_EVERY
    if allowed and used > before and since > 0:
        soon = min(soon, (allowed - used) * since / (used - before) / 2)
    return max(soon, _SOONEST, _SHARE * took)


@dataclass(slots=True)
class DiskWatch:
    """Looks at what one execution takes. ``shared`` is what it uses of caches, in bytes."""

    folder: ExecutionFolder
    allowed: int
    reserve: DiskReserve
    shared: int = 0
    pause: float = field(default=_SOONEST, init=False)
    _before: int = field(default=0, init=False)
    _looked: float = field(default_factory=time.monotonic, init=False)

    def share(self, volumes: Iterable[Volume], caches: Path) -> None:
        """Count the inputs that lie in the node's caches: they are as good as the execution's own. Blocking."""
        self.shared = sum(
            disk_use(volume.source)
            for volume in volumes
            if volume.source.is_relative_to(caches) and not volume.source.is_relative_to(self.folder.root)
        )

    def look(self) -> None:
        """Raise WorkFailed when it takes too much; else set ``pause``, the seconds until the next look. Blocking."""
        began = time.monotonic()
        own = (self.folder.inputs, self.folder.outputs, self.folder.results)
        used = self.shared + sum(disk_use(folder) for folder in own)
        failure = verdict(used, self._before, self.allowed, self.reserve.missing())
        now = time.monotonic()
        self.pause = pause(used, self._before, self.allowed, since=now - self._looked, took=now - began)
        self._before, self._looked = used, now
        if failure is not None:
            raise WorkFailed(
                failure.message, reason=failure.reason, retryable=failure.retryable, hint=failure.hint
            )


def can_fill(task: Task, allowed: int) -> bool:
    """Say whether a task can take disk worth watching; one that only prints cannot."""
    return bool(
        allowed or task.result_paths or any(one.source.kind != "inline" for one in task.input_sources)
    )


async def watched(run: Coroutine[Any, Any, T], watch: DiskWatch | None) -> T:
    """Run to the end, or until ``watch`` finds that too much disk is taken: then it is cancelled first.

    What is found at the end counts more than how it ended: a program that could not write may say anything.
    """
    if watch is None:
        return await run
    running = asyncio.ensure_future(run)
    try:
        while not (await asyncio.wait({running}, timeout=watch.pause))[0]:
            await asyncio.to_thread(watch.look)
        await asyncio.to_thread(watch.look)
    except BaseException:
        running.cancel()
        await asyncio.wait({running})
        if not running.cancelled():
            running.exception()  # looked at: why it is ended is known already
        raise
    return running.result()


def disk_use(path: Path) -> int:
    """Add up the content of a file, or below a folder; what vanishes meanwhile does not count. Blocking.

    Links are not followed, and a file with several names counts once.
    """
    if not path.is_dir():
        return path.lstat().st_size if path.exists() else 0
    total, seen = 0, set()
    for parent, _, files in os.walk(path):
        for name in files:
            try:
                status = os.lstat(os.path.join(parent, name))  # noqa: PTH118 - there may be very many
            except FileNotFoundError:
                continue
            if status.st_nlink > 1:
                if (identity := (status.st_dev, status.st_ino)) in seen:
                    continue
                seen.add(identity)
            total += status.st_size
    return total


def by_cause(failed: WorkFailed) -> Failure:
    """Give the failure, its reason DISK where a full disk is behind it, whatever step met it."""
    cause = failed.__cause__
    full = isinstance(cause, OSError) and cause.errno in (errno.ENOSPC, errno.EDQUOT)
    return replace(failed.failure, reason=Reason.DISK) if full else failed.failure
