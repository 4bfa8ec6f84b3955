"""A real nats-server for tests: up in milliseconds, on a free loopback port, gone with the test."""

from __future__ import annotations

import asyncio
import contextlib
import re
import shutil
import subprocess
import tempfile
import threading
from collections import deque
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from bacalhau_nats.errors import StartFailed
from bacalhau_nats.messaging.binary import LISTENING, READY, find_server, tied

_PORT = re.compile(re.escape(LISTENING) + r".*:(\d+)")


class NatsServer:
    """One nats-server with JetStream, its store in a folder that is removed when it is closed.

    Use it in ``async with`` (a test) or ``with`` (a fixture that outlives event loops)::

        async with NatsServer() as server:
            bus = await connect(server.url)

    ``conf`` is a configuration file for it; host and port are still ours, and so is the store unless it names one.
    ``env`` is its whole environment (for ``$VARIABLES`` in the file). It is killed by the kernel when the thread that started it
    ends, so start it where the test runs and not in a worker thread.
    """

    host = "127.0.0.1"

    def __init__(
        self,
        *,
        conf: Path | None = None,
        env: Mapping[str, str] | None = None,
        args: tuple[str, ...] = (),
        deadline: float = 10.0,
    ) -> None:
        self.port = 0
        self.lines: deque[str] = deque(maxlen=200)
        self._conf = conf
        self._env = env
        self._args = args
        self._deadline = deadline
        self._store: Path | None = None
        self._process: subprocess.Popen[str] | None = None
        self._reader: threading.Thread | None = None
        self._ready = threading.Event()

    @property
    def url(self) -> str:
        """Where clients connect."""
        return f"nats://{self.host}:{self.port}"

    @property
    def pid(self) -> int | None:
        """The server's process id; None while it is down."""
        return self._process.pid if self._process else None

    @property
    def store(self) -> Path:
        """The folder of its streams; it survives `stop`, `kill` and `restart`, not the end of ``with``."""
        if self._store is None:
            self._store = Path(tempfile.mkdtemp(prefix="nats-test-"))
        return self._store

    async def start(self) -> None:
        """Start it and wait until it serves. Raises StartFailed with what it said."""
        self._launch()
        await asyncio.to_thread(self._await_ready)

    async def stop(self) -> None:
        """Stop it in good order; port and store are kept for `start`."""
        await asyncio.to_thread(self._end, kill=False)

    async def kill(self) -> None:
        """End it as a power cut would (SIGKILL); port and store are kept for `start`."""
        await asyncio.to_thread(self._end, kill=True)

    async def restart(self, *, kill: bool = False) -> None:
        """Stop (or kill) it and start it again on the same port and store."""
        await asyncio.to_thread(self._end, kill=kill)
        await self.start()

    def __enter__(self) -> Self:
        try:
            self._launch()
            self._await_ready()
        except BaseException:
            self._close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close()

    async def __aenter__(self) -> Self:
        try:
            await self.start()
        except BaseException:
            self._close()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await asyncio.to_thread(self._close)

    def _launch(self) -> None:
        if self._process is not None:
            raise RuntimeError("the server is already running")
        command: list[str | Path] = [find_server(), "-a", self.host, "-p", str(self.port or -1)]
        if self._conf is not None:
            command += ["-c", self._conf]
        if self._conf is None or "store_dir" not in self._conf.read_text():  # named twice is refused
            command += ["-js", "-sd", self.store]
        self._ready.clear()
        self.lines.clear()
        self._process = subprocess.Popen(  # noqa: S603 - our own binary, a list, no shell
            tied([*command, *self._args]),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            env=None if self._env is None else dict(self._env),
            start_new_session=True,  # Ctrl-C in the terminal is for the test
        )
        self._reader = threading.Thread(target=self._read, args=(self._process,), daemon=True)
        self._reader.start()

    def _read(self, process: subprocess.Popen[str]) -> None:
        # Reads on until the end: a full pipe would stop the server.
        assert process.stderr is not None  # noqa: S101 - opened as a pipe above
        with process.stderr:
            for line in process.stderr:
                self.lines.append(line.rstrip())
                if found := _PORT.search(line):
                    self.port = int(found.group(1))
                if READY in line:
                    self._ready.set()
        self._ready.set()  # the end of its output wakes the waiter too

    def _await_ready(self) -> None:
        self._ready.wait(self._deadline)
        if not any(READY in line for line in self.lines):
            self._end(kill=True)
            raise StartFailed("the test's nats-server did not start:\n" + "\n".join(list(self.lines)[-8:]))

    def _end(self, *, kill: bool) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        if kill:
            process.kill()
        else:
            process.terminate()
        try:
            process.wait(self._deadline)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if self._reader is not None:
            self._reader.join()

    def _close(self) -> None:
        self._end(kill=True)
        if self._store is not None:
            with contextlib.suppress(OSError):
                shutil.rmtree(self._store)
            self._store = None
