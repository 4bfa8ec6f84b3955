"""Serves the agent's part of the API on a node that is no gateway."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

from bacalhau_nats.domain.node import BuildInfo, Heartbeat, NodeReport
from bacalhau_nats.gateway.http.agent import About
from bacalhau_nats.gateway.http.app import create_agent_app
from bacalhau_nats.gateway.http.authorizing import Gatekeeper
from bacalhau_nats.gateway.listener import Listener
from bacalhau_nats.gateway.render_node import node_info


class AgentService:
    """Listens from its construction on; `run` until ``stop`` is set. Raises StartFailed when the port is taken."""

    def __init__(
        self,
        listener: Listener,
        build: BuildInfo,
        *,
        report: Callable[[], NodeReport],
        beat: Callable[[], Heartbeat],
        debug: Callable[[], Mapping[str, Any]],
        config: Callable[[], Mapping[str, Any]],
        gatekeeper: Gatekeeper | None = None,
    ) -> None:
        self._listener = listener

        async def inside() -> Mapping[str, Any]:
            return debug()

        about = About(build, lambda: node_info(report(), beat()), inside, config)
        self._gatekeeper = gatekeeper
        self._app = create_agent_app(about, gatekeeper=gatekeeper)
        self.ready = asyncio.Event()

    @property
    def url(self) -> str:
        """Where people on this machine reach it."""
        return self._listener.url

    async def run(self, stop: asyncio.Event) -> None:
        """Serve until ``stop`` is set. ``ready`` is set when requests are answered."""
        if self._gatekeeper:
            self._gatekeeper.begin()
        await self._listener.serve(self._app, stop, self.ready)
