"""What a WASM job asks for, made ready: which module, which arguments, which folders the guest sees.

Names and defaults are those of Bacalhau's engine ``wasm``: ``EntryModule`` and ``ImportModules`` name the
*Target* of an input source (a file, or a folder with exactly one ``.wasm``), ``Entrypoint`` is the exported
function to call, ``Parameters`` its arguments. Keys are matched without regard to case, null is absent.

``Deterministic`` (ours) makes runs comparable: the guest sees a clock that always begins at the same moment and
moves only when it is looked at or slept on, always the same random numbers, and no id of the execution or job
in its environment. File times and the order of a folder's entries are still those of the node.

WASI can open folders to a guest, not single files. Inputs that are files are therefore linked (or copied)
into a folder of the execution, one per guest folder, so that the guest sees them and not their siblings.
"""

from __future__ import annotations

import os
import posixpath
import shutil
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bacalhau_nats.domain.execution import Reason
from bacalhau_nats.domain.spec import SpecConfig
from bacalhau_nats.ports import Volume, Work, WorkFailed

PAGE = 65536
"""Bytes of a page of WASM memory."""

MOST_MEMORY = 4 * 1024**3
"""A 32-bit guest cannot address more."""

_IDENTITY = frozenset({"BACALHAU_EXECUTION_ID", "BACALHAU_JOB_ID", "BACALHAU_JOB_NAME"})


@dataclass(frozen=True, slots=True)
class ModuleFile:
    """A module as the job names it and where it lies; ``names`` are what other modules may import it by."""

    target: str
    path: Path
    program: str = ""
    names: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Preopen:
    """A folder of this machine that the guest sees."""

    source: Path
    guest: str
    writable: bool


@dataclass(frozen=True, slots=True)
class GuestPlan:
    """Everything the engine needs to run one execution."""

    entry: ModuleFile
    libraries: tuple[ModuleFile, ...]
    entrypoint: str
    argv: tuple[str, ...]
    env: tuple[tuple[str, str], ...]
    preopens: tuple[Preopen, ...]
    memory: int
    seed: str | None = None  # where the guest is to be deterministic


def plan_guest(work: Work) -> GuestPlan:
    """Read the job's parameters and lay out its files. Blocks on the file system.

    Raises WorkFailed with reason INVALID, naming the parameter or the target that is wrong.
    """
    engine = work.task.engine
    target = engine.param("EntryModule")
    if not isinstance(target, str) or not target:
        raise invalid(
            "wasm engine: EntryModule is missing",
            f"set it to the Target of the input source that holds the module; {_targets(work)}",
        )
    entry = _module(work, target)
    libraries = tuple(_module(work, name) for name in _strings(engine, "ImportModules"))
    argv = (entry.program, *_strings(engine, "Parameters"))
    deterministic = _switch(engine, "Deterministic")
    hidden = _IDENTITY if deterministic else frozenset()
    env = tuple(sorted((name, value) for name, value in work.env.items() if name not in hidden))
    if "\0" in "".join((*argv, *(part for pair in env for part in pair))):
        raise invalid("wasm engine: an argument or environment variable contains a NUL", "remove it")
    modules = {module.path for module in (entry, *libraries)}
    return GuestPlan(
        entry=entry,
        libraries=libraries,
        entrypoint=str(engine.param("Entrypoint") or "_start"),
        argv=argv,
        env=env,
        preopens=tuple(_preopens(work, modules)),
        memory=min(work.resources.memory or MOST_MEMORY, MOST_MEMORY) // PAGE * PAGE,
        seed=f"partition {work.partition}" if deterministic else None,
    )


def invalid(message: str, hint: str = "") -> WorkFailed:
    """Say that this job cannot work on any node."""
    return WorkFailed(message, reason=Reason.INVALID, retryable=False, hint=hint)


def _module(work: Work, target: str) -> ModuleFile:
    """Find the module a parameter names: an input, or a file below an input that is a folder."""
    wanted = _absolute(target)
    for volume in work.inputs:
        mounted = _absolute(volume.target)
        if wanted == mounted and not volume.source.is_dir():
            return _named(work, volume, wanted, volume.source)
        if wanted == mounted:
            return _named(work, volume, wanted, _only_module(volume.source, target))
        if wanted.startswith(mounted.rstrip("/") + "/"):
            inside = volume.source / wanted[len(mounted.rstrip("/")) + 1 :]
            if inside.is_file() and inside.resolve().is_relative_to(volume.source.resolve()):
                return _named(work, volume, wanted, inside)
    raise invalid(f"wasm engine: module {target!r} is not the Target of an input source", _targets(work))


def _only_module(folder: Path, target: str) -> Path:
    found = sorted(folder.glob("*.wasm"))
    if len(found) != 1:
        names = ", ".join(path.name for path in found) or "none"
        raise invalid(
            f"wasm engine: the folder {target!r} must hold exactly one .wasm file, it holds: {names}",
            f"name the file, for example {target.rstrip('/')}/main.wasm",
        )
    return found[0]


def _named(work: Work, volume: Volume, target: str, path: Path) -> ModuleFile:
    """Collect the names it goes by: as a program, its file name; for imports, also its alias and target."""
    aliases = [source.alias for source in work.task.input_sources if source.target == volume.target]
    program = path.name if volume.source == path.parent else posixpath.basename(target)
    names = [*aliases, target, target.lstrip("/"), program, program.removesuffix(".wasm")]
    return ModuleFile(target, path, program, tuple(dict.fromkeys(name for name in names if name)))


def _preopens(work: Work, modules: set[Path]) -> list[Preopen]:
    """Lay out what the guest sees: inputs at their target, outputs at their path and at ``/<name>``."""
    folders: dict[str, Preopen] = {}
    files: dict[str, list[Volume]] = defaultdict(list)
    for volume in work.inputs:
        guest = _absolute(volume.target)
        if volume.source.is_dir():
            _add(folders, Preopen(volume.source, guest, not volume.read_only))
        elif volume.source not in modules:  # the program itself is not its input
            files[posixpath.dirname(guest)].append(volume)
    for guest, volumes in files.items():
        folder = work.scratch / "wasm-inputs" / str(len(folders))
        _add(folders, _gather(folder, guest, volumes))
    for volume in work.outputs:
        _add(folders, Preopen(volume.source, _absolute(volume.target), writable=True))
    for volume in work.outputs:  # Bacalhau shows outputs here, and only here
        guest = f"/{volume.source.name}"
        folders.setdefault(guest, Preopen(volume.source, guest, writable=True))
    return list(folders.values())


def _add(folders: dict[str, Preopen], new: Preopen) -> None:
    if new.guest in folders:
        raise invalid(
            f"wasm engine: two inputs or outputs share the folder {new.guest!r}",
            "give each its own folder; a single file needs a folder without another input or output",
        )
    folders[new.guest] = new


def _gather(folder: Path, guest: str, volumes: Sequence[Volume]) -> Preopen:
    """Put single files into ``folder``: hard links where possible, so that nothing is copied.

    Permissions go by folder. Where one file may be written, the read-only ones beside it are copies.
    """
    writable = any(not volume.read_only for volume in volumes)
    folder.mkdir(parents=True)
    for volume in volumes:
        source, name = volume.source.resolve(), posixpath.basename(_absolute(volume.target))
        if not source.is_file():
            raise invalid(f"wasm engine: input {volume.target!r} is neither a file nor a folder")
        try:
            if writable and volume.read_only:
                shutil.copyfile(source, folder / name)
            else:
                os.link(source, folder / name)
        except FileExistsError:
            raise invalid(f"wasm engine: two inputs have the target {volume.target!r}") from None
        except OSError as error:  # another file system, or a file of another user
            if not volume.read_only:
                raise invalid(
                    f"wasm engine: input {volume.target!r} cannot be made writable: {error}",
                    "mount its folder instead of the file",
                ) from None
            shutil.copyfile(source, folder / name)
    return Preopen(folder, guest, writable)


def _strings(engine: SpecConfig, name: str) -> list[str]:
    value = engine.param(name, [])
    if not isinstance(value, list | tuple) or not all(isinstance(item, str) for item in value):
        raise invalid(f"wasm engine: {name} must be a list of strings, not {value!r}")
    return list(value)


def _switch(engine: SpecConfig, name: str) -> bool:
    value = engine.param(name, False)
    if isinstance(value, str) and value.lower() in ("true", "false"):
        return value.lower() == "true"
    if not isinstance(value, bool):
        raise invalid(f"wasm engine: {name} must be true or false, not {value!r}")
    return value


def _absolute(path: str) -> str:
    return posixpath.normpath("/" + path.lstrip("/"))


def _targets(work: Work) -> str:
    targets = ", ".join(volume.target for volume in work.inputs)
    return f"targets of this job: {targets}" if targets else "this job has no input sources"
