"""A small process that outlives its compute process by one window, to leave no container behind.

Its standard input is a pipe that the compute process holds open and never writes to, but for the farewell of
an orderly end. So::

    farewell, end of file      the compute closed in order: nothing to do
    end of file                the compute died (also by kill -9):
      ├─ its lock is taken     a new compute is back and has a reaper of its own: nothing to do
      └─ nobody for a window   remove the containers of this data folder, then exit

The lock is ``compute.lock`` in the data folder, which the compute role holds exclusively while it lives. While
this process looks, it holds the lock for some microseconds, and while it removes, until it is done: a compute
that starts should wait for its lock for a few seconds instead of giving up at once.

The process has a session of its own and ignores SIGINT, SIGTERM and SIGHUP, so that what ends the compute does not
end its reaper. It ends itself, by an alarm, when its task takes too long. Only what it needs to wait is imported
before it has to act: it is there in some 20 ms and small.
"""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bacalhau_nats.executors.docker_container import Owner
    from bacalhau_nats.executors.docker_settings import DockerSettings

LOCK_NAME = "compute.lock"
LOG_NAME = "docker-reaper.log"

_FAREWELL = b"bye\n"
_TASK_LIMIT = 60  # seconds for removing, after the window
_DISMISS_LIMIT = 2.0


class Reaper:
    """The compute's side: starts the process and sends it home. Blocking, but for milliseconds."""

    def __init__(self, owner: Owner, data_dir: Path, settings: DockerSettings) -> None:
        window = str(settings.lost_window)
        whose = [owner.cell, owner.node, owner.home]
        self._arguments = [*whose, str(data_dir.absolute()), window, settings.host]
        self._process: subprocess.Popen[bytes] | None = None
        self._starting = threading.Lock()

    @property
    def running(self) -> bool:
        """Say whether it is there."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Start it, unless it runs."""
        with self._starting:
            if self.running:
                return
            if self._process is not None and self._process.stdin is not None:
                self._process.stdin.close()
            self._process = subprocess.Popen(  # noqa: S603 - this module, with arguments from the settings
                [sys.executable, "-m", __name__, *self._arguments],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )

    def dismiss(self) -> None:
        """Tell it that nothing is left to do."""
        if self._process is None:
            return
        try:
            self._process.communicate(_FAREWELL, timeout=_DISMISS_LIMIT)
        except (OSError, subprocess.TimeoutExpired):
            self._process.kill()
            self._process.wait()


def main(arguments: list[str]) -> int:
    """Wait for the end of the compute process, and do what has to be done then."""
    *whose, data_dir, window, host = arguments
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    said = b""
    while more := os.read(sys.stdin.fileno(), 64):
        said += more
    if said == _FAREWELL:
        return 0
    signal.alarm(int(float(window)) + 1 + _TASK_LIMIT)
    if not _deserted(Path(data_dir) / LOCK_NAME, float(window)):
        return 0
    removed = _remove(whose, host)
    with (Path(data_dir) / LOG_NAME).open("a") as log:
        now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        log.write(f"{now} compute of node {whose[1]} did not come back: removed {removed} containers\n")
    return 0


def _deserted(lock: Path, window: float) -> bool:
    """Wait out the window; False as soon as somebody has taken the lock. Otherwise it is ours to the end."""
    deadline = time.monotonic() + window
    turn = min(1.0, window / 10)
    while True:
        # First the pause: a process that is being killed closes its pipe a moment before it drops its lock.
        time.sleep(turn)
        last = time.monotonic() >= deadline
        # The file stays open, and with it the lock, to the end of this process.
        held = os.open(lock, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(held, (fcntl.LOCK_EX if last else fcntl.LOCK_SH) | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        if last:
            return True
        os.close(held)


def _remove(whose: list[str], host: str) -> int:
    from bacalhau_nats.executors.docker_container import Owner  # noqa: PLC0415 - only when it has to act
    from bacalhau_nats.executors.docker_engine import Engine  # noqa: PLC0415 - the same
    from bacalhau_nats.executors.docker_errors import EngineError  # noqa: PLC0415 - the same

    labels, removed = Owner(*whose).labels, 0
    while True:  # the alarm ends it
        try:
            engine = Engine(host)
            left = engine.labelled(labels)
            if not left:
                return removed
            removed += sum(engine.remove(container) for container in left)
        except EngineError:
            time.sleep(1)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
