"""The life of one container, from its creation to its removal.

::

    create ──► attach ──► start ──► output to the end ──► exit code ──► removed in the background
       │          │          │             │
       └──────────┴──────────┴─────────────┴──► cancelled or failed: killed and removed at once

The name is derived from the execution, so whatever step is under way when the task is cancelled, `destroy`
knows what to remove; it first waits for that step, so that nothing appears after it. Attaching comes before
starting, so the first and the last line of the shortest container are seen.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from bacalhau_nats.domain.execution import Reason
from bacalhau_nats.domain.resources import show_bytes
from bacalhau_nats.executors.docker_errors import EngineError, EngineGone, NoSuchImage, work_failed
from bacalhau_nats.executors.docker_link import EngineLink
from bacalhau_nats.executors.docker_output import Output
from bacalhau_nats.ports import Failure, Outcome, WorkFailed

if TYPE_CHECKING:
    from bacalhau_nats.executors.docker_engine import Engine, Source

T = TypeVar("T")


class ContainerRun:
    """One container by its name. Use each instance once and `destroy` it in the end.

    Which image it ran is looked up when ``tell_image`` is set, or the exit code is to be explained.
    """

    def __init__(self, link: EngineLink, name: str, memory: int, *, tell_image: bool = False) -> None:
        self._link = link
        self._name = name
        self._memory = memory
        self._tell_image = tell_image
        self._given_up = threading.Event()
        self._step: asyncio.Future[Any] | None = None
        self._source: Source | None = None
        self._mine = False  # a container of that name exists, or may exist, and is this run's

    async def launch(self, config: Mapping[str, Any]) -> None:
        """Create, attach and start it. Raises NoSuchImage, and WorkFailed for whatever else."""
        await self._finish_step(lambda engine: self._launch(engine, config), "start")

    async def resume(self) -> None:
        """Start it, when it was created and its creator died before it could."""
        await self._finish_step(lambda engine: self._launch(engine, None), "start")

    async def rejoin(self) -> None:
        """Read its log from the beginning."""
        await self._finish_step(self._replay, "follow")

    async def follow(self, output: Output) -> None:
        """Pass its output on to the end, live."""
        source = self._opened()
        if not await output.live(source, self._reader(source)):
            await self.rejoin()
            await self.replay(output)

    async def replay(self, output: Output) -> None:
        """Pass its log on to the end, less what is written already."""
        await output.replay(self._reader(self._opened()))

    async def outcome(self) -> Outcome:
        """Wait for its end. Raises WorkFailed when the end cannot be known."""
        try:
            code = await self._link.wait(lambda engine: engine.wait(self._name))
            described = await self._described() if code or self._tell_image else {}
        except EngineError as error:
            raise work_failed(error, "wait for") from error
        if (described.get("State") or {}).get("OOMKilled"):
            limit = f"the limit of {show_bytes(self._memory)}" if self._memory else "the memory of the node"
            return Outcome(
                exit_code=code,
                failure=Failure(
                    f"out of memory: the container wanted more than {limit}",
                    Reason.MEMORY,
                    retryable=False,
                    hint="ask for more memory in Resources",
                ),
            )
        return Outcome(exit_code=code, program=str(described.get("Image") or ""))

    async def destroy(self, grace: float) -> None:
        """Remove it, whatever state it is in; ``grace`` seconds between SIGTERM and SIGKILL.

        Raises EngineError when the engine did not remove it.
        """
        self._given_up.set()
        if self._step is not None:
            await asyncio.wait({self._step})
        if self._source is not None:
            # Before killing: while somebody is attached who does not read, the engine cannot.
            await self._link.end(self._source)
        if not self._mine:
            return
        if grace:
            await self._terminate(grace)
        await self._link.call(lambda engine: engine.remove(self._name))

    async def _terminate(self, grace: float) -> None:
        try:
            await self._link.wait(lambda engine: engine.terminate(self._name, grace))
        except EngineError:
            return  # not running, or not there: then there is nobody to be kind to

    async def _described(self) -> dict[str, Any]:
        return await self._link.call(lambda engine: engine.inspect(self._name)) or {}

    async def _finish_step(self, step: Callable[[Engine], Source | None], doing: str) -> None:
        """Run ``step`` so that it is known to be over, or waited for by `destroy`."""
        self._step = asyncio.ensure_future(self._link.call(step))
        self._step.add_done_callback(_look)
        try:
            await asyncio.shield(self._step)
        except NoSuchImage:
            raise
        except EngineError as error:
            raise work_failed(error, doing) from error

    def _launch(self, engine: Engine, config: Mapping[str, Any] | None) -> None:
        if config is not None:
            self._create(engine, config)
        self._mine = True
        if self._given_up.is_set():
            return
        self._source = engine.attach(self._name)
        if not self._given_up.is_set():
            engine.start(self._name)

    def _create(self, engine: Engine, config: Mapping[str, Any]) -> None:
        try:
            engine.create(self._name, config)
        except EngineGone:
            self._mine = True  # it may have been created, only the answer was lost
            raise

    def _replay(self, engine: Engine) -> None:
        self._mine = True
        self._source = engine.logs(self._name)

    def _opened(self) -> Source:
        if self._source is None:
            raise WorkFailed("docker engine: the container was given up before it ran")
        return self._source

    def _reader(self, source: Source) -> Callable[[], Awaitable[bytes]]:
        async def read() -> bytes:
            try:
                return await self._link.read(source)
            except EngineError as error:
                raise work_failed(error, "follow") from error

        return read


def _look(step: asyncio.Future[Any]) -> None:
    if not step.cancelled():
        step.exception()  # whoever awaits it raises it; nobody may be left to
