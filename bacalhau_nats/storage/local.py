"""The ``local`` input source: a file or folder of the node itself, lent, not copied.

Params: ``SourcePath``; ``ReadWrite`` (a boolean or "true"); ``CreateAs``, what to make where nothing is:
``dir``, ``file`` or ``noCreate``, the default. Only read-write sources are made.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from pydantic import Field

from bacalhau_nats.domain.execution import Reason
from bacalhau_nats.domain.model import Model
from bacalhau_nats.domain.spec import SpecConfig
from bacalhau_nats.errors import InvalidSettings
from bacalhau_nats.ports import Health, LogSink, PluginContext, Volume, WorkFailed
from bacalhau_nats.storage.allowlist import SETTING, AllowList, resolve

_HEALTHY = Health(ok=True)
_CREATE = ("dir", "file", "nocreate")


class LocalSettings(Model):
    """`Compute.AllowListedLocalPaths`; nothing is lent unless it is listed."""

    allow_listed_local_paths: tuple[str, ...] = Field(
        (), description="globs of paths that jobs may use, each with :ro (default) or :rw at its end"
    )


class LocalStorage:
    """Lends what the allow-list allows."""

    def __init__(self, allowed: AllowList) -> None:
        self._allowed = allowed

    async def check(self) -> Health:
        """Say yes: what a job asks for is judged by `refuses`."""
        return _HEALTHY

    def refuses(self, source: SpecConfig) -> str:
        """Say why this node will not lend the path: not absolute, not listed, not writable, not there.

        Data lies where it lies: a job that reads it goes to a node that has it.
        """
        why = self._forbids(source)
        if not why and not (_writes(source) and _create_as(source) != "nocreate"):
            path = resolve(str(source.param("SourcePath")))
            why = "" if path.exists() else f"does not have the local input {source.param('SourcePath')}"
        return why

    def _forbids(self, source: SpecConfig) -> str:
        path = source.param("SourcePath", "")
        if not isinstance(path, str) or not path or "\0" in path:
            return "a local input needs a SourcePath"
        if _create_as(source) not in _CREATE:
            return (
                f"CreateAs of a local input must be dir, file or noCreate, not {source.param('CreateAs')!r}"
            )
        return self._allowed.refuses(path, write=_writes(source))

    async def fetch(self, source: SpecConfig, target: str, into: Path, logs: LogSink) -> Volume:  # noqa: ARG002 - nothing is downloaded
        """Give the path with its links followed, made before when the source says so."""
        if why := self._forbids(source):
            raise WorkFailed(why, reason=Reason.INPUT, retryable=False)
        path, write = resolve(str(source.param("SourcePath"))), _writes(source)
        try:
            await asyncio.to_thread(_be_there, path, _create_as(source) if write else "nocreate")
        except OSError as error:
            raise WorkFailed(
                f"local input {path} cannot be used: {error.strerror or error}",
                reason=Reason.INPUT,
                hint="it must exist on the node; CreateAs dir or file makes it when ReadWrite is set",
            ) from error
        return Volume(path, target, read_only=not write)


@asynccontextmanager
async def open_local(context: PluginContext) -> AsyncIterator[LocalStorage]:
    """Open the storage with `LocalSettings`."""
    settings = context.read(LocalSettings)
    try:
        allowed = AllowList(settings.allow_listed_local_paths)
    except ValueError as error:
        raise InvalidSettings(f"{SETTING}: {error}", hint="write entries such as /data/**:rw") from None
    yield LocalStorage(allowed)


def _writes(source: SpecConfig) -> bool:
    return str(source.param("ReadWrite", "")).strip().lower() == "true"


def _create_as(source: SpecConfig) -> str:
    return str(source.param("CreateAs", "") or "noCreate").lower()


def _be_there(path: Path, create_as: str) -> None:
    if create_as == "dir":
        path.mkdir(parents=True, exist_ok=True)
    elif create_as == "file":
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    else:
        path.stat()
