"""Fetching images: one pull however many executions wait for it, with progress for each of them.

An image that the engine has is used as it is and no registry is asked, also for ``latest`` and for images that
were built or loaded here; so a node goes on when a registry does not. Only when the engine says that it has no
such image is it pulled.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator, Mapping
from typing import Any

from bacalhau_nats.domain.execution import Reason
from bacalhau_nats.executors.docker_errors import EngineError, EngineGone
from bacalhau_nats.executors.docker_link import EngineLink
from bacalhau_nats.ports import LogSink, WorkFailed

_STEP = 25  # percent of a layer between two lines about its download
_DONE = {"Pull complete": "pulled", "Already exists": "is there already"}
_REFUSED = frozenset({400, 401, 403, 404})
_REFUSAL = (
    "manifest unknown",
    "no matching manifest",
    "unauthorized",
    "no basic auth credentials",
    "denied",
    "does not exist",
    "not found",
)
_TRY_LATER = ("toomanyrequests", "no such host")


class PullProgress:
    """Boils the engine's hundreds of progress messages down to a few lines for people."""

    def __init__(self) -> None:
        self._told: dict[str, int] = {}

    def feed(self, message: Mapping[str, Any]) -> str:
        """Give the line to show for ``message``; empty when there is nothing new in it."""
        layer, status = str(message.get("id", "")), str(message.get("status", ""))
        if status in _DONE:
            return f"layer {layer} {_DONE[status]}"
        detail = message.get("progressDetail") or {}
        total, current = int(detail.get("total") or 0), int(detail.get("current") or 0)
        if status != "Downloading" or total <= 0:
            return ""
        step = current * 100 // total // _STEP * _STEP
        if step <= self._told.get(layer, -1):
            return ""
        self._told[layer] = step
        return f"layer {layer}: {step}% of {total / 1e6:.1f} MB"


class _Pull:
    """One pull under way. It ends with its last waiter."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.waiting = 0
        self.changed = asyncio.Event()
        self.task: asyncio.Task[None] | None = None

    def say(self, line: str) -> None:
        self.lines.append(line)
        self.changed.set()
        self.changed = asyncio.Event()

    async def follow(self, logs: LogSink) -> None:
        """Tell ``logs`` all there was and will be, to the end; raises what the pull raises."""
        assert self.task is not None  # noqa: S101 - set by whoever made the pull
        at = 0
        while at < len(self.lines) or not self.task.done():
            changed = self.changed
            for line in self.lines[at:]:
                at += 1
                await logs.event(line)
            if at == len(self.lines) and not self.task.done():
                await changed.wait()
        await self.task


class Images:
    """The images of one engine; ``offline`` fetches none."""

    def __init__(
        self, link: EngineLink, credentials: Mapping[str, tuple[str, str]], *, offline: bool = False
    ) -> None:
        self._link = link
        self._offline = offline
        self._credentials = credentials
        self._pulls: dict[str, _Pull] = {}

    async def pull(self, image: str, logs: LogSink) -> None:
        """Fetch ``image``. Raises WorkFailed: INVALID when the registry refuses it, INPUT when it cannot be had."""
        if self._offline:
            raise WorkFailed(
                f"docker engine: image {image} is not on this node, and SkipImagePull forbids to fetch it",
                reason=Reason.INPUT,
                hint="load it there with `docker load` or `docker pull`, or unset SKIP_IMAGE_PULL of the compute node",
            )
        pull = self._pulls.get(image)
        if pull is None:
            pull = self._pulls[image] = _Pull()
            pull.task = asyncio.create_task(self._fetch(image, pull), name=f"docker-pull-{image}")
        pull.waiting += 1
        try:
            await pull.follow(logs)
        finally:
            pull.waiting -= 1
            if not pull.waiting and pull.task is not None:
                # Nobody may join a pull that is being given up.
                if self._pulls.get(image) is pull:
                    del self._pulls[image]
                pull.task.cancel()

    async def _fetch(self, image: str, pull: _Pull) -> None:
        began = time.monotonic()
        pull.say(f"pulling image {image}")
        try:
            await self._stream(image, pull)
            pull.say(f"pulled image {image} in {time.monotonic() - began:.1f} s")
        except EngineError as error:
            raise pull_failed(image, error) from error
        finally:
            if self._pulls.get(image) is pull:
                del self._pulls[image]
            pull.changed.set()

    async def _stream(self, image: str, pull: _Pull) -> None:
        source = await self._link.wait(lambda engine: engine.pull(image, self._credentials))
        progress, lines = PullProgress(), _Lines()
        try:
            while data := await self._link.read(source):
                for message in lines.feed(data):
                    if why := message.get("error"):
                        raise EngineError(str(why))
                    if line := progress.feed(message):
                        pull.say(line)
        finally:
            await self._link.end(source)


class _Lines:
    """JSON messages, one a line, from bytes cut anywhere."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> Iterator[dict[str, Any]]:
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            if line.strip():
                yield json.loads(line)


def pull_failed(image: str, error: EngineError) -> WorkFailed:
    """Say what a failed pull means: a refusal is the job's, anything else may be over soon."""
    words = str(error).lower()
    message = f"docker engine: cannot pull image {image}: {error}"
    if isinstance(error, EngineGone):
        return WorkFailed(message, hint="check that the Docker engine of this node is running")
    later = any(phrase in words for phrase in _TRY_LATER)
    if not later and (error.status in _REFUSED or any(phrase in words for phrase in _REFUSAL)):
        return WorkFailed(
            message,
            reason=Reason.INVALID,
            retryable=False,
            hint="check the name; for a private image give the compute node DOCKER_USERNAME and DOCKER_PASSWORD",
        )
    return WorkFailed(
        message,
        reason=Reason.INPUT,
        hint="check that the compute node reaches the registry, or load the image there with `docker load`",
    )
