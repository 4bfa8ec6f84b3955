"""The ``noop`` publisher: keeps nothing. The beginning of the output is in the execution's record anyway."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from bacalhau_nats.domain.spec import SpecConfig
from bacalhau_nats.ports import Health, PluginContext, Work

_HEALTHY = Health(ok=True)


class NoopPublisher:
    """A publisher that is always there and does nothing."""

    async def check(self) -> Health:
        """Say yes."""
        return _HEALTHY

    async def publish(self, work: Work, results: Path, spec: SpecConfig) -> SpecConfig:  # noqa: ARG002 - the port's signature
        """Give the empty result."""
        return SpecConfig()


@asynccontextmanager
async def open_noop(context: PluginContext) -> AsyncIterator[NoopPublisher]:  # noqa: ARG001 - needs nothing
    """Open the publisher; it has no settings."""
    yield NoopPublisher()
