"""What every storage must do: ``await check_storage(open_mine, context, cases)``.

Each `StorageCase` is an input that can be had, with what must then be there. ``broken`` are sources that cannot
be: they must be refused, or fail in words.
"""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from pathlib import Path

from bacalhau_nats.domain.execution import Reason
from bacalhau_nats.domain.spec import SpecConfig
from bacalhau_nats.ports import (
    WHOLE,
    Divisible,
    PluginContext,
    Share,
    Storage,
    Stream,
    Volume,
    WorkFailed,
)
from bacalhau_nats.testing.claims import must

_PARTITIONS = 3
OpenStorage = Callable[[PluginContext], AbstractAsyncContextManager[Storage]]


@dataclass(frozen=True, slots=True)
class StorageCase:
    """An input and what it gives.

    ``content`` is the bytes of a file, or the files of a folder by relative name. ``target`` is what the job
    says and ``placed`` where the volume must lie, the target itself by default. ``writable`` says that the
    job may write to it.
    """

    source: SpecConfig
    content: bytes | Mapping[str, bytes]
    target: str = "/inputs/data"
    placed: str = ""
    writable: bool = False


@dataclass(slots=True)
class RecordedLog:
    """A LogSink that remembers."""

    events: list[str] = field(default_factory=list)
    pieces: dict[Stream, bytes] = field(default_factory=dict)

    async def write(self, stream: Stream, data: bytes) -> None:
        """Remember a piece of output."""
        self.pieces[stream] = self.pieces.get(stream, b"") + data

    async def event(self, message: str) -> None:
        """Remember a line of progress."""
        self.events.append(message)


async def check_storage(
    open_storage: OpenStorage,
    context: PluginContext,
    cases: Sequence[StorageCase],
    broken: Sequence[SpecConfig] = (),
) -> None:
    """Put a storage through its duties. Raises AssertionError saying which one it fails.

    ``context.data_dir`` must be an empty folder of the test's own.
    """
    must(bool(cases), "check_storage needs at least one case")
    work = context.data_dir / "conformance"
    async with open_storage(context) as storage:
        health = await storage.check()
        must(health.ok, f"check() says it cannot be used: {health.why}")
        for number, case in enumerate(cases):
            await _serves(storage, case, work / f"case-{number}")
            await asyncio.to_thread(shutil.rmtree, work / f"case-{number}", ignore_errors=True)
            await _shares(storage, case, work / f"shared-{number}")
            if isinstance(storage, Divisible):
                await _divides(storage, case, work / f"divided-{number}")
            await _can_be_cancelled(storage, case, work / f"cancelled-{number}")
        for number, source in enumerate(broken):
            await _refuses(storage, source, work / f"broken-{number}")
    async with open_storage(context) as storage:  # what the first left behind must not be in the way
        await _serves(storage, cases[0], work / "again")


async def _serves(storage: Storage, case: StorageCase, into: Path) -> Volume:
    why = storage.refuses(case.source)
    must(why == "", f"refuses({case.source}) says {why!r} of an input it can serve")
    volume = await storage.fetch(case.source, case.target, into, RecordedLog())
    must(
        volume.target == (case.placed or case.target),
        f"the volume lies at {volume.target!r}, not {case.placed or case.target!r}",
    )
    must(volume.read_only is not case.writable, f"read_only is {volume.read_only} for {case.source}")
    must(volume.source.is_absolute(), f"the volume's source {volume.source} is not absolute")
    found = await asyncio.to_thread(_content, volume.source)
    must(found == case.content, f"{case.source} gave {found!r:.200}, not {case.content!r:.200}")
    return volume


async def _shares(storage: Storage, case: StorageCase, into: Path) -> None:
    """Executions that want the same at once all get it, and the end of one leaves the others theirs."""
    places = [into / str(number) for number in range(4)]
    volumes = await asyncio.gather(*(_serves(storage, case, place) for place in places))
    await asyncio.to_thread(shutil.rmtree, places[0], ignore_errors=True)
    for volume in volumes[1:]:
        found = await asyncio.to_thread(_content, volume.source)
        must(found == case.content, "removing the folder of one execution took away the input of another")


async def _divides(storage: Divisible, case: StorageCase, into: Path) -> None:
    """A job of one execution gets all, and several executions together nothing less; each gets the same again."""
    await _serves(storage.share(WHOLE), case, into / "whole")
    if isinstance(case.content, bytes):
        return
    together: dict[str, bytes] = {}
    for index in range(_PARTITIONS):
        shares = []
        for attempt in ("first", "second"):
            part = storage.share(Share(index, _PARTITIONS))
            place = into / f"{attempt}-{index}"
            volume = await part.fetch(case.source, case.target, place, RecordedLog())
            shares.append(await asyncio.to_thread(_files, volume.source))
        must(
            shares[0] == shares[1], f"partition {index} got {sorted(shares[0])}, and then {sorted(shares[1])}"
        )
        together |= shares[0]
    must(
        together == case.content,
        f"the partitions got {sorted(together)} together, not {sorted(case.content)}",
    )


async def _can_be_cancelled(storage: Storage, case: StorageCase, into: Path) -> None:
    """Whenever the fetch is cancelled, it ends, and a later one works."""
    for steps in range(4):
        task = asyncio.create_task(storage.fetch(case.source, case.target, into / str(steps), RecordedLog()))
        for _ in range(steps):
            await asyncio.sleep(0)
        task.cancel()
        done, _ = await asyncio.wait([task], timeout=5)
        must(task in done, "fetch() does not end within 5 s of being cancelled")
        if not task.cancelled() and task.exception() is not None:
            raise AssertionError(f"a cancelled fetch() raised {task.exception()!r}")
    await _serves(storage, case, into / "after")


async def _refuses(storage: Storage, source: SpecConfig, into: Path) -> None:
    if storage.refuses(source):
        return
    try:
        volume = await storage.fetch(source, "/inputs/broken", into, RecordedLog())
    except WorkFailed as failed:
        must(
            failed.failure.reason in (Reason.INPUT, Reason.INVALID, Reason.DISK),
            f"{source} fails with reason {failed.failure.reason!r}, which is not about an input",
        )
        must(bool(failed.failure.message.strip()), f"{source} fails without a word")
        return
    raise AssertionError(f"{source} should fail but gave {volume}")


def _content(path: Path) -> bytes | dict[str, bytes]:
    return path.read_bytes() if path.is_file() else _files(path)


def _files(path: Path) -> dict[str, bytes]:
    return {
        found.relative_to(path).as_posix(): found.read_bytes()
        for found in sorted(path.rglob("*"))
        if found.is_file()
    }
