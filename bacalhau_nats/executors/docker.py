"""Engine ``docker``: work in containers of the node's Docker engine.

What is promised, and where it is kept:

* an image that is there is used without asking a registry (`docker_image`)
* output is passed on as it appears, every byte once, and a slow sink slows the container (`docker_output`)
* a node touches only the containers of its own data folder, whatever its name (`docker_home`)
* no container outlives its execution: it is removed after its end, on cancellation within two seconds, by
  `sweep` when an earlier process of this node left it, and by a small process beside this one when this one
  dies and does not come back (`docker_reaper`)
* work survives a restart of the compute process: `attach` finds its container and goes on (`docker_run`)

Settings are in `docker_settings`. Parameters of the engine are in `docker_container`.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from bacalhau_nats.domain.ids import ExecutionID
from bacalhau_nats.executors.docker_container import (
    EXECUTION_LABEL,
    Owner,
    container_config,
)
from bacalhau_nats.executors.docker_errors import EngineError, NoSuchImage, work_failed
from bacalhau_nats.executors.docker_home import home_of
from bacalhau_nats.executors.docker_image import Images
from bacalhau_nats.executors.docker_link import EngineLink
from bacalhau_nats.executors.docker_output import Output
from bacalhau_nats.executors.docker_reaper import Reaper
from bacalhau_nats.executors.docker_run import ContainerRun
from bacalhau_nats.executors.docker_settings import DockerSettings, read_settings
from bacalhau_nats.ports import Health, LogSink, Outcome, PluginContext, Stream, Work

_CANCEL_LIMIT = 1.9  # seconds a cancelled run waits for its container to be gone
_CLOSE_LIMIT = 5.0  # seconds closing waits for removals under way
_REMOVE_TRIES = 5
_REMOVE_PAUSE = 0.5  # seconds before the second try, doubled each time
_GONE = frozenset({"removing", "dead"})

_log = logging.getLogger(__name__)


class DockerExecutor:
    """Runs each execution in a container of its own."""

    def __init__(self, owner: Owner, data_dir: Path, settings: DockerSettings) -> None:
        self._settings = settings
        self._owner = owner
        self._labels = owner.labels
        self._link = EngineLink(settings)
        self._images = Images(self._link, _credentials(settings), offline=settings.skip_image_pull)
        self._reaper = Reaper(owner, data_dir, settings) if settings.reaper else None
        self._background: set[asyncio.Task[None]] = set()
        self._active: set[ExecutionID] = set()

    async def check(self) -> Health:
        """Ask the engine, at most every other second; one that comes or goes later is noticed."""
        health = await self._link.check()
        if health.ok:
            await self._watch_over()
        return health

    async def run(self, work: Work, logs: LogSink) -> Outcome:
        """Run it in a new container. Raises WorkFailed; see `ports.Executor.run`."""
        config = container_config(work, self._labels, self._settings)
        await self._watch_over()
        container = self._container(work)
        ended = False
        try:
            try:
                await container.launch(config)
            except NoSuchImage:
                await self._images.pull(config["Image"], logs)
                await self._launch_pulled(container, config)
            await container.follow(Output(logs))
            outcome = await container.outcome()
            ended = True
            return outcome
        finally:
            await self._dispose(work, container, ended=ended)

    async def attach(self, work: Work, logs: LogSink, *, seen: Mapping[Stream, int]) -> Outcome | None:
        """Go on with the container of this execution; None when there is none. Raises WorkFailed."""
        try:
            found = await self._link.call(
                lambda engine: engine.inspect(self._owner.container_name(work.execution_id))
            )
        except EngineError as error:
            raise work_failed(error, "find") from error
        if found is None or found["State"]["Status"] in _GONE or not self._is_ours(found):
            return None
        await self._watch_over()
        container, output = self._container(work), Output(logs, seen)
        ended = False
        try:
            if found["State"]["Status"] == "created":
                await container.resume()
                await container.follow(output)
            else:
                await container.rejoin()
                await container.replay(output)
            outcome = await container.outcome()
            ended = True
            return outcome
        finally:
            await self._dispose(work, container, ended=ended)

    async def sweep(self, keep: Sequence[ExecutionID]) -> int:
        """Remove the containers of this node that belong to no execution in ``keep`` and none that runs here."""
        try:
            found = await self._link.call(lambda engine: engine.labelled(self._labels))
        except EngineError as error:
            _log.warning("cannot look for left containers: %s", error, extra={"action": "sweep_failed"})
            return 0
        wanted = {*keep, *self._active}  # not before: work may have begun while the engine was asked
        left = [item for item, labels in found.items() if labels.get(EXECUTION_LABEL) not in wanted]
        removed = await asyncio.gather(*(self._remove_left(item) for item in left))
        return sum(removed)

    async def close(self) -> None:
        """Finish the removals under way and let the reaper go."""
        late: set[asyncio.Task[None]] = set()
        if self._background:
            _, late = await asyncio.wait(self._background, timeout=_CLOSE_LIMIT)
            for task in late:
                task.cancel()
        # With containers left behind the reaper is still wanted: it sees this process end and tries again.
        if self._reaper is not None and not late:
            await asyncio.to_thread(self._reaper.dismiss)
        self._link.close()

    def _container(self, work: Work) -> ContainerRun:
        self._active.add(work.execution_id)
        published = work.task.effective_publisher.kind not in ("", "noop")
        name = self._owner.container_name(work.execution_id)
        return ContainerRun(self._link, name, work.resources.memory, tell_image=published)

    def _is_ours(self, found: Mapping[str, Any]) -> bool:
        labels = found["Config"].get("Labels") or {}
        return all(labels.get(key) == value for key, value in self._labels.items())

    async def _launch_pulled(self, container: ContainerRun, config: Mapping[str, Any]) -> None:
        try:
            await container.launch(config)
        except NoSuchImage as error:
            # Pulled and gone again, or the registry's image is for another platform.
            raise work_failed(error, "create") from error

    async def _watch_over(self) -> None:
        if self._reaper is not None and not self._reaper.running:
            await asyncio.to_thread(self._reaper.start)

    async def _dispose(self, work: Work, container: ContainerRun, *, ended: bool) -> None:
        """Remove the container: in the background after a normal end, otherwise before going on."""
        grace = 0 if ended else self._settings.stop_grace
        removal = self._in_background(self._destroy(work.execution_id, container, grace))
        if not ended:
            await asyncio.wait({removal}, timeout=_CANCEL_LIMIT)

    def _in_background(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work, name="docker-remove")
        self._background.add(task)
        task.add_done_callback(self._background.discard)
        return task

    async def _destroy(self, execution: ExecutionID, container: ContainerRun, grace: float) -> None:
        try:
            for attempt in range(_REMOVE_TRIES):
                try:
                    return await container.destroy(grace)
                except EngineError as error:
                    trouble = error
                await asyncio.sleep(_REMOVE_PAUSE * 2**attempt)
            _log.warning(
                "cannot remove the container of %s: %s; it is tried again when this node starts",
                execution,
                trouble,
                extra={"action": "container_left", "execution": execution},
            )
        finally:
            self._active.discard(execution)

    async def _remove_left(self, container: str) -> bool:
        try:
            return await self._link.call(lambda engine: engine.remove(container))
        except EngineError as error:
            _log.warning(
                "cannot remove container %s: %s", container[:12], error, extra={"action": "sweep_failed"}
            )
            return False


@asynccontextmanager
async def open_docker(context: PluginContext) -> AsyncIterator[DockerExecutor]:
    """Open the engine; it need not be there yet, see `DockerExecutor.check`. Raises InvalidSettings.

    The section is a `docker_settings.DockerSettings`: Host, Registry, Username, Password, RejectNetworked,
    PidsLimit, LogSize, StopGrace, LostWindow, Reaper.
    """
    settings = read_settings(context.settings)
    home = await asyncio.to_thread(home_of, context.data_dir)
    executor = DockerExecutor(Owner(context.cell, context.node_id, home), context.data_dir, settings)
    try:
        yield executor
    finally:
        await executor.close()


def _credentials(settings: DockerSettings) -> dict[str, tuple[str, str]]:
    if not settings.username:
        return {}
    return {settings.registry: (settings.username, settings.password.get_secret_value())}
