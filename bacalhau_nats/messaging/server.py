"""The NATS server that `serve` and `devstack` bring along when nobody names one.

One child process, tied to us: it is started again when it dies while we live, stopped when we stop, and
killed by the kernel when we are killed. The life of the child::

    start ── ready line in its log ──> serving ── dies ──> wait (backoff) ── start
                    │                     │
         deadline, or it exits       stop: SIGTERM, then SIGKILL
                    v
              StartFailed with the last lines of its log

`bus.connect` judges the server's version.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import json
import logging
import os
import re
from asyncio.subprocess import DEVNULL, Process
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

from bacalhau_nats.errors import InvalidSettings, StartFailed
from bacalhau_nats.messaging.binary import LISTENING, READY, find_server, tied

__all__ = ["ClusterOptions", "EmbeddedServer", "find_server"]

log = logging.getLogger(__name__)

LOOPBACK = "127.0.0.1"
DEFAULT_PORT = 4222
DEFAULT_MAX_PAYLOAD = 1024 * 1024  # bytes; what NATS itself has

_PORT = re.compile(re.escape(LISTENING) + r".*:(\d+)")
_LOG_LIMIT, _LOG_FILES = 8 * 1024 * 1024, 3  # bytes per log file, files kept
_LOCK_WAIT = 3.0  # seconds: a predecessor that was killed is gone in milliseconds
_STOP_WAIT = 5.0  # seconds from SIGTERM to SIGKILL
_FIRST_BACKOFF, _LONGEST_BACKOFF = 0.05, 5.0  # seconds
_STEADY = 30.0  # seconds up after which the next death is a first one again


@dataclass(frozen=True, slots=True)
class ClusterOptions:
    """How this server forms a cluster with others; ``peers`` are ``host:port`` or ``nats://user:pw@host:port``."""

    name: str
    host: str = LOOPBACK
    port: int = 6222
    peers: tuple[str, ...] = ()
    advertise: str = ""

    def to_conf(self) -> dict[str, Any]:
        """Write the ``cluster`` block of the server's configuration."""
        conf: dict[str, Any] = {"name": self.name, "host": self.host, "port": self.port}
        if self.peers:
            conf["routes"] = [peer if "://" in peer else f"nats://{peer}" for peer in self.peers]
        if self.advertise:
            conf["cluster_advertise"] = self.advertise
        return conf


class EmbeddedServer:
    """A nats-server as our child, up while the ``async with`` block runs.

    ``data_dir`` holds its configuration (private: it may hold passwords), log and streams, and belongs to
    one server at a time. ``port`` -1 takes a free one. ``token`` or ``users`` (name to password) must be
    given by every client then. ``sync_interval`` is ``always`` (an acknowledged write survives a power cut) or a
    duration such as ``2m``. ``deadline`` is how long it may take to be ready, in seconds; recovering many
    streams takes time.

    Entering raises StartFailed: no binary, port taken, folder not writable or in use, or not ready in time.
    """

    def __init__(
        self,
        data_dir: Path,
        *,
        host: str = LOOPBACK,
        port: int = DEFAULT_PORT,
        name: str = "",
        token: str = "",
        users: Mapping[str, str] | None = None,
        sync_interval: str = "always",
        cluster: ClusterOptions | None = None,
        max_payload: int = DEFAULT_MAX_PAYLOAD,
        deadline: float = 30.0,
    ) -> None:
        if token and users:
            raise InvalidSettings("the embedded NATS server takes a token or users, not both")
        self.host = host
        self.port = port
        self.data_dir = data_dir.absolute()
        self.log_path = self.data_dir / "nats-server.log"
        self._conf_path = self.data_dir / "nats-server.conf"
        self._name = name
        self._token = token
        self._users = dict(users or {})
        self._sync_interval = sync_interval
        self._cluster = cluster
        self._max_payload = max_payload
        self._deadline = deadline
        self._lock: IO[str] | None = None
        self._process: Process | None = None
        self._supervisor: asyncio.Task[None] | None = None

    @property
    def url(self) -> str:
        """Where clients on this machine connect (without the token or password)."""
        host = {"0.0.0.0": LOOPBACK, "::": "::1"}.get(self.host, self.host)
        return f"nats://[{host}]:{self.port}" if ":" in host else f"nats://{host}:{self.port}"

    @property
    def pid(self) -> int:
        """The process that serves now; 0 before the start."""
        return self._process.pid if self._process else 0

    async def __aenter__(self) -> Self:
        try:
            await self._take_data_dir()
            await self._launch(find_server())
        except BaseException:
            await self._stop()
            raise
        self._supervisor = asyncio.create_task(self._supervise(), name="nats-server")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._supervisor is not None:
            self._supervisor.cancel()
            await asyncio.gather(self._supervisor, return_exceptions=True)
            self._supervisor = None
        await self._stop()

    async def _take_data_dir(self) -> None:
        # Two servers on one store destroy it. Our child inherits the lock: it is held until both of us are gone.
        try:
            self.data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._lock = (self.data_dir / "nats-server.lock").open("a+")
        except OSError as error:
            raise self._not_writable(error) from error
        try:
            async with asyncio.timeout(_LOCK_WAIT):
                while not _locked(self._lock):  # noqa: ASYNC110 - another process holds it
                    await asyncio.sleep(0.02)
        except TimeoutError:
            self._lock.seek(0)
            owner = self._lock.read().strip() or "unknown"
            raise StartFailed(
                f"the folder {self.data_dir} is in use by another embedded NATS server (of process {owner})",
                hint="stop that process, connect to its server by URL, or choose another data folder",
            ) from None
        self._lock.truncate(0)
        self._lock.write(f"{os.getpid()}\n")
        self._lock.flush()

    def _not_writable(self, error: OSError) -> StartFailed:
        return StartFailed(
            f"the embedded NATS server cannot write in {self.data_dir}: {error.strerror or error}",
            hint="give it a folder this user may write to, or connect to a running server by its URL",
        )

    def _conf(self) -> dict[str, Any]:
        conf: dict[str, Any] = {
            "host": self.host,
            "port": self.port,
            "max_payload": self._max_payload,
            "log_file": str(self.log_path),
            "logfile_size_limit": _LOG_LIMIT,
            "logfile_max_num": _LOG_FILES,
            "jetstream": {"store_dir": str(self.data_dir / "store"), "sync_interval": self._sync_interval},
        }
        if self._name:
            conf["server_name"] = self._name
        if self._token:
            conf["authorization"] = {"token": self._token}
        if self._users:
            users = [{"user": user, "password": password} for user, password in self._users.items()]
            conf["authorization"] = {"users": users}
        if self._cluster is not None:
            conf["cluster"] = self._cluster.to_conf()
        return conf

    def _write_conf(self) -> None:
        # The server's format takes JSON; written whole and private before anybody can open it.
        draft = self._conf_path.with_suffix(".tmp")
        draft.unlink(missing_ok=True)
        with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:  # noqa: PTH123 - needs a mode
            json.dump(self._conf(), file, indent=2, ensure_ascii=False)
        draft.replace(self._conf_path)

    async def _launch(self, binary: Path) -> None:
        assert self._lock is not None  # noqa: S101 - taken in __aenter__
        try:
            self._write_conf()
            with self.log_path.open("ab") as output:
                output.seek(0, os.SEEK_END)
                begin = output.tell()
                self._process = await asyncio.create_subprocess_exec(
                    *tied([binary, "-c", self._conf_path]),
                    stdin=DEVNULL,
                    stdout=DEVNULL,
                    stderr=output,  # what it says before it has read where to log
                    pass_fds=(self._lock.fileno(),),
                    start_new_session=True,  # Ctrl-C is for us: we drain before we stop it
                )
        except OSError as error:
            raise self._not_writable(error) from error
        await self._await_ready(self._process, begin)

    async def _await_ready(self, process: Process, begin: int) -> None:
        pause = 0.002
        try:
            async with asyncio.timeout(self._deadline):
                while READY not in (said := self._said(begin)):
                    if process.returncode is not None:
                        raise self._why_not(self._said(begin), f"exited with code {process.returncode}")
                    await asyncio.sleep(pause)
                    pause = min(pause * 1.5, 0.1)
        except TimeoutError:
            await self._end(process)
            raise self._why_not(said, f"was not ready within {self._deadline:g} s") from None
        if found := _PORT.search(said):
            self.port = int(found.group(1))

    def _said(self, begin: int) -> str:
        with self.log_path.open("rb") as file:
            if file.seek(0, os.SEEK_END) < begin:
                begin = 0  # the server has begun a new file
            file.seek(begin)
            return file.read().decode(errors="replace")

    def _why_not(self, said: str, what: str) -> StartFailed:
        if "address already in use" in said:
            return StartFailed(
                f"port {self.port} on {self.host} is taken by another process; the embedded NATS server wants it",
                hint="choose another port, stop the other process, or, if it is a NATS server, connect to it by URL",
                port=str(self.port),
            )
        return StartFailed(
            "\n".join(
                [f"the embedded NATS server {what}; the end of {self.log_path}:", *said.splitlines()[-8:]]
            ),
            hint="the log says why; a running server can be used instead by its URL",
        )

    async def _supervise(self) -> None:
        clock = asyncio.get_running_loop().time
        backoff = _FIRST_BACKOFF
        while True:
            assert self._process is not None  # noqa: S101 - launched before this task
            since = clock()
            code = await self._process.wait()
            if clock() - since > _STEADY:
                backoff = _FIRST_BACKOFF
            log.error(
                "the embedded NATS server died (code %s); starting it again in %.2f s", code, backoff,
                extra={"action": "nats_server_died", "code": code},
            )  # fmt: skip
            await asyncio.sleep(backoff)
            backoff = min(backoff * 2, _LONGEST_BACKOFF)
            try:
                await self._launch(find_server())
            except StartFailed as error:
                log.error("%s", error, extra={"action": "nats_server_not_started"})  # noqa: TRY400 - it is the message

    async def _stop(self) -> None:
        if self._process is not None:
            await self._end(self._process)
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    async def _end(self, process: Process) -> None:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        try:
            async with asyncio.timeout(_STOP_WAIT):
                await process.wait()
        except TimeoutError:
            log.warning("the embedded NATS server does not stop; killing it")
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()


def _locked(file: IO[str]) -> bool:
    with contextlib.suppress(BlockingIOError):
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return True
    return False
