"""A caller follows a job while the gateway it asks is killed and comes back."""

from __future__ import annotations

import asyncio
import socket

from bacalhau_nats.client import Client, HistoryItem
from tests.support.marks import marking
from tests.support.waiting import eventually

from .conftest import Site


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


async def test_events_go_on_after_a_restart_of_the_gateway_without_a_gap_or_a_repetition(site: Site) -> None:
    other = await site.client(await site.node("o1", "orchestrator"))
    gateway = await site.process("o2", "orchestrator", settings=[f"API.Port={_free_port()}"])
    seen: list[HistoryItem] = []
    async with Client(gateway.url) as client:
        wish = marking(site.marks)
        wish["Tasks"][0]["Timeouts"] = {"QueueTimeout": 60}
        job = await client.submit(wish)

        async def follow() -> None:
            async for item in job.events():
                seen.append(item)  # noqa: PERF401 - each is looked at as it comes

        following = asyncio.create_task(follow())
        await eventually(lambda: seen)
        await gateway.kill()
        await site.node("c1", "compute")
        await other.wait(job.id, timeout=20)
        assert not following.done()
        await gateway.start()
        async with asyncio.timeout(20):
            await following
    history = (await other.history(job.id))["Items"]
    assert seen == history
    assert seen[-1]["Event"]["Message"] == "Completed"
