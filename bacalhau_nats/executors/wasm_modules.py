"""Compiled WASM modules, kept on disk under the sha256 of their source.

Compiling costs 20 to 300 ms, loading a compiled module 0.02 to 0.4 ms. A compiled module is machine code that
runs in this process, so only files are loaded that this user wrote and nobody else could have changed; they
are written under another name first and renamed, so a killed process never leaves half a module behind.
"""

from __future__ import annotations

import hashlib
import logging
import os
import stat
import tempfile
import threading
from contextlib import suppress
from pathlib import Path

from wasmtime import Engine, Module, WasmtimeError

from bacalhau_nats.domain.execution import Reason
from bacalhau_nats.ports import WorkFailed

_MAGIC = b"\0asm"
_CORE, _COMPONENT = b"\x01\0\0\0", b"\x0d\0\x01\0"
_TEMPORARY = ".tmp"

_log = logging.getLogger(__name__)


def digest_of(wasm: bytes) -> str:
    """Name a module by its content."""
    return hashlib.sha256(wasm).hexdigest()


class ModuleStore:
    """Compiled modules below ``folder``, at most ``limit`` bytes of them; safe to use from several threads."""

    def __init__(self, folder: Path, limit: int) -> None:
        self._folder = folder
        self._limit = limit
        # Two threads that need the same module compile it once; unrelated ones rarely meet.
        self._compiling = [threading.Lock() for _ in range(16)]
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        folder.chmod(0o700)
        for leftover in folder.glob(f"*{_TEMPORARY}"):
            leftover.unlink(missing_ok=True)

    def load(self, engine: Engine, wasm: bytes, digest: str, name: str) -> Module:
        """Give the module ready for ``engine``, compiling it if nobody has yet.

        Raises WorkFailed with reason INVALID when ``wasm`` is no module; ``name`` is what to call it.
        """
        path = self._folder / f"{digest}.cwasm"
        if module := self._read(engine, path):
            return module
        with self._compiling[int(digest[:8], 16) % len(self._compiling)]:
            if module := self._read(engine, path):
                return module
            module = _compile(engine, wasm, name)
            self._write(path, module)
            return module

    def _read(self, engine: Engine, path: Path) -> Module | None:
        """Load a compiled module; None when there is none that this wasmtime accepts."""
        try:
            status = path.lstat()
            if not _is_ours(status):
                _log.warning("ignoring %s: it is not a private file of this user", path)
                return None
            module = Module.deserialize_file(engine, str(path))
            os.utime(path)  # the least recently used go first
        except (OSError, WasmtimeError):  # absent, or written by another version of wasmtime
            return None
        return module

    def _write(self, path: Path, module: Module) -> None:
        try:
            descriptor, temporary = tempfile.mkstemp(suffix=_TEMPORARY, dir=self._folder)  # mode 0600
            with os.fdopen(descriptor, "wb") as file:
                file.write(module.serialize())
                file.flush()
                os.fsync(file.fileno())  # a power cut must not leave a renamed file full of zeros
            Path(temporary).replace(path)
            self._prune()
        except OSError as error:  # the module is in memory: a full disk only costs the next compile
            _log.warning("cannot keep a compiled WASM module: %s", error)

    def _prune(self) -> None:
        """Remove the least recently used modules beyond the limit; loaded ones live on in memory."""
        entries: list[tuple[float, int, Path]] = []
        for path in self._folder.glob("*.cwasm"):
            with suppress(FileNotFoundError):
                status = path.stat()
                entries.append((status.st_mtime, status.st_size, path))
        total = sum(size for _, size, _ in entries)
        for _, size, path in sorted(entries)[:-1]:
            if total <= self._limit:
                return
            path.unlink(missing_ok=True)
            total -= size


def _is_ours(status: os.stat_result) -> bool:
    return stat.S_ISREG(status.st_mode) and status.st_uid == os.geteuid() and not status.st_mode & 0o077


def _compile(engine: Engine, wasm: bytes, name: str) -> Module:
    if not wasm.startswith(_MAGIC):
        raise _invalid(
            f"{name} is not a WASM module: it does not begin with the bytes 00 61 73 6d",
            "build it for the target wasm32-wasi (wasm32-wasip1)",
        )
    if wasm[4:8] == _COMPONENT:
        raise _invalid(
            f"{name} is a WASM component; this engine runs core modules with WASI preview 1",
            "build it for wasm32-wasip1 instead of wasm32-wasip2",
        )
    try:
        return Module(engine, wasm)
    except WasmtimeError as error:
        reason = " ".join(str(error).split())
        raise _invalid(f"{name} is not a valid WASM module: {reason}", "build it again") from None


def _invalid(message: str, hint: str) -> WorkFailed:
    return WorkFailed(message, reason=Reason.INVALID, retryable=False, hint=hint)
