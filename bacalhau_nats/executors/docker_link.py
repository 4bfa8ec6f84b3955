"""The engine as the event loop sees it: connecting, health, threads."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, TypeVar

from bacalhau_nats.executors.docker_errors import EngineError
from bacalhau_nats.executors.docker_settings import DockerSettings
from bacalhau_nats.ports import Health

if TYPE_CHECKING:
    from bacalhau_nats.executors.docker_engine import Engine, Source

T = TypeVar("T")

_CALLS = 16  # calls at the same time; the engine is no faster with more
_WAITERS = 4096  # threads that wait for output or an end: one for each container that runs, made on demand
_FRESH = 2.0  # seconds for which the last answer to `check` holds
_PATIENCE = 2.5  # seconds `check` waits for an engine that hangs

_HEALTHY = Health(ok=True)


class EngineLink:
    """Runs blocking calls of one engine in threads of its own.

    Two pools, so that however many containers run and are waited for, a call such as "kill" finds a thread.
    """

    def __init__(self, settings: DockerSettings) -> None:
        self._host = settings.host
        self._calls = ThreadPoolExecutor(_CALLS, thread_name_prefix="docker-call")
        self._waiters = ThreadPoolExecutor(_WAITERS, thread_name_prefix="docker-wait")
        self._engine: Engine | None = None
        self._connecting = asyncio.Lock()
        self._checking = asyncio.Lock()
        self._health = Health(ok=False, why="not checked yet")
        self._checked = float("-inf")

    async def call(self, work: Callable[[Engine], T]) -> T:
        """Run a call that is over soon. Raises EngineError."""
        engine = await self._connected()
        return await asyncio.get_running_loop().run_in_executor(self._calls, work, engine)

    async def wait(self, work: Callable[[Engine], T]) -> T:
        """Run a call that may take as long as a job. Raises EngineError."""
        engine = await self._connected()
        return await asyncio.get_running_loop().run_in_executor(self._waiters, work, engine)

    async def read(self, source: Source) -> bytes:
        """Read on. A cancelled read ends in its thread at once; `end` must follow."""
        reading = asyncio.get_running_loop().run_in_executor(self._waiters, source.read)
        try:
            return await asyncio.shield(reading)
        except asyncio.CancelledError:
            source.interrupt()
            reading.add_done_callback(_forget)
            raise

    async def end(self, source: Source) -> None:
        """End a stream, whoever reads it."""
        source.interrupt()
        # In a thread: closing waits for a reader that has not noticed the interruption yet.
        await asyncio.get_running_loop().run_in_executor(self._waiters, source.close)

    async def check(self) -> Health:
        """Ask the engine whether it is there, at most every other second, and never wait long for it."""
        async with self._checking:
            if time.monotonic() - self._checked > _FRESH:
                self._health = await self._probe()
                self._checked = time.monotonic()
        return self._health

    def close(self) -> None:
        """Let the threads go; the ones that still wait end with what they wait for."""
        self._calls.shutdown(wait=False, cancel_futures=True)
        self._waiters.shutdown(wait=False, cancel_futures=True)
        if self._engine is not None:
            self._engine.close()

    async def _probe(self) -> Health:
        try:
            async with asyncio.timeout(_PATIENCE):
                engine = await self._connected()
                # Not among the calls: sixteen slow ones do not mean that the engine is ill.
                await asyncio.get_running_loop().run_in_executor(self._waiters, engine.ping)
        except TimeoutError:
            return self._ill("it does not answer")
        except EngineError as error:
            return self._ill(str(error))
        return _HEALTHY

    def _ill(self, reason: str) -> Health:
        where = self._host or "DOCKER_HOST or the default socket /var/run/docker.sock"
        return Health(
            ok=False,
            why=f"no Docker engine at {where}: {reason}; start it, let this user use its socket, "
            "or set Engines.Types.Docker.Host",
        )

    async def _connected(self) -> Engine:
        if self._engine is None:
            async with self._connecting:
                if self._engine is None:
                    loop = asyncio.get_running_loop()
                    self._engine = await loop.run_in_executor(self._waiters, _connect, self._host)
        return self._engine


def _connect(host: str) -> Engine:
    # Imported in the thread: a node that never has a Docker engine does not pay for its client.
    from bacalhau_nats.executors.docker_engine import Engine  # noqa: PLC0415 - see above

    return Engine(host)


def _forget(reading: asyncio.Future[bytes]) -> None:
    if not reading.cancelled():
        reading.exception()
