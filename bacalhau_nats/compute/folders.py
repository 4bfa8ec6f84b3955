"""The folders of executions on a compute node: where everything is, and how it goes away.

::

    <data folder>/executions/<execution>/      0700: nobody else on this machine looks in
        inputs/<n>/                            made by a storage that needs it
        outputs/<Name>/                        writable for the work, whoever it runs as
        scratch/
        results/{stdout,stderr,exitCode,manifest.json,<Name>/}   what is published

Nothing is made before it is needed: an execution without results and without inputs on disk leaves no trace.
"""

from __future__ import annotations

import errno
import logging
import os
import shutil
from collections.abc import Callable
from pathlib import Path

from bacalhau_nats.domain.execution import Reason
from bacalhau_nats.domain.ids import ExecutionID
from bacalhau_nats.domain.manifest import MANIFEST, Origin, Summary
from bacalhau_nats.domain.spec import ResultPath, Task
from bacalhau_nats.ports import Volume, WorkFailed
from bacalhau_nats.sealing import seal

log = logging.getLogger(__name__)

RESERVED = frozenset({"stdout", "stderr", "exitCode", MANIFEST})
"""Names in a results folder that no result path can have."""


class ExecutionFolder:
    """The folder of one execution. All methods block; only those that are called touch the disk."""

    def __init__(self, data_dir: Path, execution: ExecutionID) -> None:
        if execution in ("", ".", "..") or "/" in execution:
            raise ValueError(f"{execution!r} cannot be the name of a folder")
        self.root = data_dir / "executions" / execution
        self.inputs = self.root / "inputs"
        self.outputs = self.root / "outputs"
        self.scratch = self.root / "scratch"
        self.results = self.root / "results"

    def make(self, task: Task, *, scratch: bool) -> tuple[Volume, ...]:
        """Make an output folder for each result path and give them as volumes; also ``scratch`` when asked.

        What is there already, of an execution that goes on, stays. Raises WorkFailed for a result path whose
        name cannot be a folder's.
        """
        for result in task.result_paths:
            _must_name_folder(result)
        if task.result_paths or scratch:
            self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
        if scratch:
            _open_folder(self.scratch)
        volumes = []
        for result in task.result_paths:
            folder = self.outputs / result.name
            _open_folder(folder)
            volumes.append(Volume(folder, result.path, read_only=False))
        return tuple(volumes)

    def assemble(
        self, task: Task, exit_code: int, origin: Origin, stopped: Callable[[], bool] = lambda: False
    ) -> Summary:
        """Bring together in ``results`` what is published and give the digest of its manifest; safe to repeat.

        Output folders are moved, not copied. Output that was never written is an empty file. The manifest is
        written last, over all that is there. Raises WorkFailed when the disk is full or a file unreadable.
        """
        try:
            self._bring_together(task, exit_code)
            return seal(self.results, origin, stopped)
        except OSError as error:
            raise disk_trouble(f"results could not be put together: {error}", error) from error

    def _bring_together(self, task: Task, exit_code: int) -> None:
        self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.results.mkdir(exist_ok=True)
        for stream in ("stdout", "stderr"):
            (self.results / stream).touch()
        (self.results / "exitCode").write_text(str(exit_code))
        for result in task.result_paths:
            made = self.outputs / result.name
            if made.exists():
                made.rename(self.results / result.name)

    def remove(self) -> None:
        """Remove everything of this execution; that there is nothing is no error. Raises OSError."""
        remove_tree(self.root)

    def clear(self) -> None:
        """Remove what can be: files that work has left must not change how it ended, nor end the node."""
        try:
            self.remove()
        except OSError as error:
            log.warning("cannot remove %s: %s", self.root, error, extra={"action": "folder_left"})


def disk_trouble(message: str, error: OSError) -> WorkFailed:
    """Say what an error of the file system means for an execution: a full disk is one of this node."""
    full = error.errno in (errno.ENOSPC, errno.EDQUOT)
    return WorkFailed(message, reason=Reason.DISK if full else Reason.ENGINE)


def leftovers(data_dir: Path) -> list[ExecutionID]:
    """Name the executions that have a folder: at start, those of a process that has died. Blocking."""
    folder = data_dir / "executions"
    if not folder.is_dir():
        return []
    return sorted(ExecutionID(path.name) for path in folder.iterdir() if path.is_dir())


def remove_tree(folder: Path) -> None:
    """Remove a folder whatever the modes in it; that it is not there is no error. Raises OSError. Blocking.

    Work may leave folders that cannot be listed or written; their owner may still change the modes.
    """
    if not folder.exists():
        return
    try:
        shutil.rmtree(folder)
    except PermissionError:
        folder.chmod(0o700)
        for parent, names, _ in os.walk(folder):
            for name in names:
                path = Path(parent, name)
                if not path.is_symlink():
                    path.chmod(0o700)
        shutil.rmtree(folder)


def _must_name_folder(result: ResultPath) -> None:
    name = result.name
    if name in ("", ".", "..") or name in RESERVED or "/" in name or "\0" in name:
        raise WorkFailed(
            f"result path {result.path} cannot be named {name!r}",
            reason=Reason.INVALID,
            retryable=False,
            hint=f"a name is one folder's, and not one of {', '.join(sorted(RESERVED))}",
        )


def _open_folder(folder: Path) -> None:
    """Make a folder that any user may write: the work may run as one this node has never heard of."""
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o777)
