"""Which NATS servers a node talks to, and its connections to them."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AsyncExitStack

from bacalhau_nats.messaging.bus import Bus, connect
from bacalhau_nats.messaging.server import ClusterOptions, EmbeddedServer
from bacalhau_nats.messaging.subjects import Cell
from bacalhau_nats.node.identity import Self
from bacalhau_nats.settings import Settings


async def nats_servers(
    settings: Settings, stack: AsyncExitStack, me: Self, *, orchestrator: bool
) -> Sequence[str]:
    """Give the NATS servers to connect to; an orchestrator that is given none starts one.

    Raises StartFailed when it does not start.
    """
    section = settings.orchestrator
    if not orchestrator:
        return settings.compute.orchestrators
    if section.urls:
        return section.urls
    cluster = section.cluster
    options = (
        ClusterOptions(
            name=cluster.name or "bacalhau",
            host=cluster.host or section.host,
            port=cluster.port,
            peers=cluster.peers,
            advertise=cluster.advertise,
        )
        if cluster.port
        else None
    )
    server = EmbeddedServer(
        settings.data_dir / "nats",
        host=section.host,
        port=section.port or -1,
        name=me.node_id,
        token=section.auth.token,
        cluster=options,
    )
    await stack.enter_async_context(server)
    return [server.url]


async def connected(
    settings: Settings, stack: AsyncExitStack, urls: Sequence[str], me: Self, purpose: str
) -> Bus:
    """Open a connection for a purpose, which the server shows. Raises Unavailable or UnsupportedServer."""
    token = settings.orchestrator.auth.token or settings.compute.auth.token
    opened = connect(urls, cell=Cell(settings.cell), name=f"{me.node_id} {purpose}", token=token or None)
    return await stack.enter_async_context(opened)


def without_password(url: str) -> str:
    """Give the URL without the user and password that it may hold."""
    scheme, _, rest = url.partition("://")
    return f"{scheme}://{rest.rpartition('@')[2]}"
