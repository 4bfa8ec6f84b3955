"""Find plugins by name and open them.

A plugin is a function registered under an entry-point group; it takes a `PluginContext` and returns an async
context manager (see `ports`). Nothing is imported before it is asked for, so a node without Docker jobs never
loads the Docker client. Names are matched without regard to case, as the public API does for engine types.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from bacalhau_nats.errors import UnknownPlugin
from bacalhau_nats.ports import PluginContext

EXECUTORS = "bacalhau_nats.executors"
STORAGE = "bacalhau_nats.storage"
PUBLISHERS = "bacalhau_nats.publishers"

Opener = Callable[[PluginContext], AbstractAsyncContextManager[Any]]
"""What an entry point names."""

_log = logging.getLogger(__name__)


class OpenPlugins(Mapping[str, Any]):
    """The plugins that could be opened, by lower-case name; ``unavailable`` says why the others could not."""

    def __init__(self, opened: Mapping[str, Any], unavailable: Mapping[str, str]) -> None:
        self._opened = opened
        self.unavailable = unavailable

    def __getitem__(self, name: str) -> Any:
        return self._opened[name.strip().lower()]

    def __iter__(self) -> Iterator[str]:
        return iter(self._opened)

    def __len__(self) -> int:
        return len(self._opened)


def known(group: str) -> tuple[str, ...]:
    """Name the plugins installed in ``group``, sorted, in lower case."""
    return tuple(sorted(_scan(group)))


def find(group: str, name: str) -> Opener:
    """Load the plugin called ``name``.

    Raises UnknownPlugin naming what is installed; whatever the import of the plugin's module raises goes on.
    """
    opener: Opener = _entry(group, name).load()
    return opener


@asynccontextmanager
async def open_plugins(
    group: str, names: Iterable[str], context_for: Callable[[str], PluginContext]
) -> AsyncIterator[OpenPlugins]:
    """Open each of ``names`` and close them, last first, at the end.

    A name nobody has installed is a mistake in the settings and raises UnknownPlugin before anything is
    opened. A plugin that is installed but cannot be loaded or opened is logged and left out: a node without
    its S3 publisher is worth more than no node.
    """
    wanted = {name.strip().lower(): _entry(group, name) for name in names}
    opened: dict[str, Any] = {}
    unavailable: dict[str, str] = {}
    async with AsyncExitStack() as stack:
        for name, entry in wanted.items():
            try:
                opener: Opener = entry.load()
                opened[name] = await stack.enter_async_context(opener(context_for(name)))
            except Exception as error:  # noqa: BLE001 - the edge: third-party code, reported by name
                unavailable[name] = str(error) or type(error).__name__
                _log.warning(
                    "%s plugin %s cannot be used: %s",
                    _family(group),
                    name,
                    unavailable[name],
                    exc_info=_log.isEnabledFor(logging.DEBUG),
                    extra={"action": "plugin_unavailable", "plugin": name, "group": group},
                )
        yield OpenPlugins(opened, unavailable)


@cache
def _scan(group: str) -> Mapping[str, EntryPoint]:
    """Read the installed distributions once per group: each scan costs milliseconds."""
    return {entry.name.lower(): entry for entry in entry_points(group=group)}


def _entry(group: str, name: str) -> EntryPoint:
    entry = _scan(group).get(name.strip().lower())
    if entry is None:
        installed = ", ".join(known(group)) or "none"
        raise UnknownPlugin(
            f"no {_family(group)} plugin is called {name!r}",
            hint=f"installed are: {installed}",
            group=group,
            name=name,
        )
    return entry


def _family(group: str) -> str:
    return group.rpartition(".")[2].removesuffix("s")
