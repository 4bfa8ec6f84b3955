"""What this node has right now: asks every plugin and notices what appears or goes."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from typing import Protocol

from bacalhau_nats.compute.disk import DiskReserve
from bacalhau_nats.compute.runner import Plugins
from bacalhau_nats.domain.locality import told
from bacalhau_nats.domain.node import NodeReport
from bacalhau_nats.ports import Health, Holder

log = logging.getLogger(__name__)
_PATIENCE = 3.0


class _Checked(Protocol):
    async def check(self) -> Health: ...


class Survey:
    """Keeps the node's report; `look` renews it. An engine that is not there is not advertised."""

    def __init__(self, report: NodeReport, plugins: Plugins, reserve: DiskReserve | None = None) -> None:
        self._base, self._plugins, self._reserve = report, plugins, reserve
        self._found: tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]] = ((), (), ())
        self._known: NodeReport | None = None
        self._holds: dict[str, int] = {}
        self.busy = ""
        self.draining = False
        self.left = False
        self.unavailable: dict[str, str] = {}

    @property
    def report(self) -> NodeReport:
        """What this node says of itself."""
        engines, storages, publishers = self._found
        return self._base.but(
            engines=engines,
            storages=storages,
            publishers=publishers,
            holds=self._holds,
            busy=self.busy,
            draining=self.draining,
            left=self.left,
        )

    def forget(self) -> None:
        """The report could not be stored; the next look counts as a change."""
        self._known = None

    async def look_at_disk(self) -> bool:
        """Find out whether there is disk to spare; say whether that has changed."""
        if self._reserve is None:
            return False
        missing = await asyncio.to_thread(self._reserve.missing)
        if missing:
            for holder in self._holders():
                await asyncio.to_thread(holder.shrink)
            missing = await asyncio.to_thread(self._reserve.missing)
        changed = missing != self.busy
        if changed:
            log.warning("this node %s", missing or "has disk to spare again", extra={"action": "disk"})
        self.busy = missing
        return changed

    async def look(self) -> bool:
        """Ask all plugins and look at the disk; say whether the report has changed since the last look."""
        self._found = (
            await self._healthy("engine", self._plugins.executors),
            await self._healthy("input source", self._plugins.storages),
            await self._healthy("publisher", self._plugins.publishers),
        )
        self._holds = told(
            (digest[:16], size) for holder in self._holders() for digest, size in holder.held().items()
        )
        await self.look_at_disk()
        report = self.report
        changed = report != self._known
        self._known = report
        return changed

    def _holders(self) -> list[Holder]:
        return [storage for storage in self._plugins.storages.values() if isinstance(storage, Holder)]

    async def _healthy(self, family: str, plugins: Mapping[str, _Checked]) -> tuple[str, ...]:
        healths = await asyncio.gather(*(self._ask(plugin) for plugin in plugins.values()))
        found = []
        for name, health in zip(plugins, healths, strict=True):
            key = f"{family} {name}"
            if health.ok:
                found.append(name)
                if self.unavailable.pop(key, None):
                    log.info("%s is available now", key, extra={"action": "plugin_appeared"})
            elif self.unavailable.get(key) != health.why:
                self.unavailable[key] = health.why
                level = logging.WARNING if health.configured else logging.DEBUG
                log.log(level, "%s is not available: %s", key, health.why, extra={"action": "plugin_gone"})
        return tuple(sorted(found))

    @staticmethod
    async def _ask(plugin: _Checked) -> Health:
        try:
            async with asyncio.timeout(_PATIENCE):
                return await plugin.check()
        except TimeoutError:
            return Health(ok=False, why=f"it did not answer within {_PATIENCE:g} seconds")
