"""Put the results of several executions into one folder without losing anything.

``stdout``, ``stderr`` and ``exitCode`` at the top are appended in the order of the parts (an exit code per
line). Any other path that several parts have is kept once for each of them, below a folder named after the
execution, and reported as a clash. So are their manifests, without a word: each execution has one.
"""

from __future__ import annotations

import filecmp
import os
import shutil
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from bacalhau_nats.domain.manifest import MANIFEST, Entry
from bacalhau_nats.errors import Conflict, NotFound
from bacalhau_nats.sealing import entry_of

_APPENDED = ("stdout", "stderr", "exitCode")


@dataclass(frozen=True, slots=True)
class Part:
    """What one execution published: ``file``, unpacked in ``folder``; ``owner`` names its folder in a clash.

    ``digest`` is that of its manifest, empty where the server does not tell it. ``only`` is what of the result was
    fetched, empty for all.
    """

    owner: str
    folder: Path
    file: Path
    digest: str = ""
    execution: str = ""
    only: str = ""


@dataclass(frozen=True, slots=True)
class Plan:
    """What goes where: each file with its sources in order, the folders, and what clashed."""

    files: dict[str, tuple[Path, ...]]
    folders: tuple[str, ...]
    clashes: tuple[str, ...]


def plan(parts: Sequence[Part], *, only: str = "") -> Plan:
    """Decide where every file of ``parts`` goes; ``only`` keeps one file or folder.

    Raises NotFound when ``only`` names nothing.
    """
    wanted = PurePosixPath(only.strip("/")) if only.strip("/") else None
    files: list[tuple[Part, str, Path]] = []
    folders: set[str] = set()
    for part in parts:
        for path in sorted(part.folder.rglob("*")):
            name = path.relative_to(part.folder).as_posix()
            if wanted and wanted != PurePosixPath(name) and wanted not in PurePosixPath(name).parents:
                continue
            if path.is_dir():
                folders.add(name)
            else:
                files.append((part, name, path))
    if wanted and not files and not folders:
        there = sorted({path.name for part in parts for path in part.folder.iterdir()})
        raise NotFound(f"no result has {only!r}", hint=f"there are: {', '.join(there)}")
    count = Counter(name for _, name, _ in files)
    clashes = sorted(name for name in count if (count[name] > 1 and name not in _APPENDED) or name in folders)
    placed: dict[str, tuple[Path, ...]] = {}
    for part, name, path in files:
        where = f"{part.owner}/{name}" if name in clashes else name
        placed[where] = (*placed.get(where, ()), path)
    return Plan(placed, tuple(sorted(folders)), tuple(name for name in clashes if name != MANIFEST))


def carry_out(
    plan: Plan,
    stage: Path,
    into: Path,
    *,
    may_replace: Callable[[str], bool],
    known: Mapping[Path, Entry],
) -> tuple[Entry, ...]:
    """Build the files of ``plan`` in ``stage``, then move them to ``into`` (both on one file system).

    Each file appears whole or not at all. Gives what is in ``into`` now; ``known`` spares the hashing of
    sources that were hashed already. Raises Conflict, with nothing moved, when a different file is in the way
    that must not be replaced.
    """
    stage.mkdir(parents=True)
    entries = []
    for name, sources in plan.files.items():
        _build(stage / name, name, sources)
        told = known.get(sources[0]) if len(sources) == 1 else None
        entries.append(replace(told, path=name) if told else entry_of(stage / name, name))
    _check_room(plan, stage, into, may_replace)
    for name in plan.folders:
        (into / name).mkdir(parents=True, exist_ok=True)
    for name in plan.files:
        target = into / name
        target.parent.mkdir(parents=True, exist_ok=True)
        os.replace(stage / name, target)  # noqa: PTH105 - the word says what it does
    return tuple(entries)


def _build(target: Path, name: str, sources: Sequence[Path]) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if len(sources) == 1:
        os.replace(sources[0], target)  # noqa: PTH105 - a move, the source folder is ours
        return
    with target.open("wb") as out:
        for source in sources:
            with source.open("rb") as read:
                shutil.copyfileobj(read, out)
            if name == "exitCode":
                out.write(b"\n")


def _check_room(plan: Plan, stage: Path, into: Path, may_replace: Callable[[str], bool]) -> None:
    in_the_way = []
    for name in plan.files:
        target = into / name
        if target.is_dir() or (
            target.exists() and not filecmp.cmp(stage / name, target, shallow=False) and not may_replace(name)
        ):
            in_the_way.append(name)
    in_the_way += [name for name in plan.folders if (into / name).is_file()]
    if in_the_way:
        shown = ", ".join(in_the_way[:3]) + (", …" if len(in_the_way) > 3 else "")  # noqa: PLR2004 - a few
        raise Conflict(
            f"{into} already holds something else under these names: {shown}",
            hint="give an empty --output-dir, or --raw to keep the archives as they are",
        )
