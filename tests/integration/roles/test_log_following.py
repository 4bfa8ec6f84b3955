"""Who follows a job is not bothered by the restart of the gateway he follows it through."""

from __future__ import annotations

import asyncio
import base64
import socket
from pathlib import Path
from typing import cast

import wasmtime

from bacalhau_nats.client import Client, Job, LogLine

from .conftest import Site, all_end

TICKER = Path(__file__).parents[3] / "benchmarks" / "ticker.wat"
LINES = 200


def ticker(**more: object) -> Job:
    """Build a job that prints 200 different lines, one every 20 ms."""
    url = f"data:application/wasm;base64,{base64.b64encode(bytes(wasmtime.wat2wasm(TICKER.read_text()))).decode()}"
    module = {"Source": {"Type": "inline", "Params": {"URL": url}}, "Target": "/ticker.wasm"}
    engine = {"Type": "wasm", "Params": {"EntryModule": "/ticker.wasm"}}
    task = {
        "Name": "main",
        "Engine": engine,
        "InputSources": [module],
        "Resources": {"CPU": "10m", "Memory": "20Mb"},
    }
    return cast("Job", {"Type": "batch", "Count": 1, "Tasks": [task], **more})


async def a_gateway_that_can_come_back(site: Site) -> tuple[Client, object]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    gateway = await site.process("g", "orchestrator", settings=[f"API.Port={port}"])
    return await site.client(gateway), gateway


async def test_a_follower_of_all_executions_loses_and_doubles_no_line_when_the_gateway_restarts(
    site: Site,
) -> None:
    other = await site.client(await site.node("o", "orchestrator"))
    for name in ("c1", "c2"):
        await site.node(name, "compute")
    client, gateway = await a_gateway_that_can_come_back(site)
    job = (await other.submit(ticker(Count=2))).job_id
    seen: list[LogLine] = []
    half = asyncio.Event()

    async def follow() -> None:
        async for line in client.logs(job, follow=True, every=True):
            seen.append(line)
            if len(seen) > LINES // 2:
                half.set()

    async with asyncio.timeout(60), asyncio.TaskGroup() as tasks:
        tasks.create_task(follow())
        await half.wait()
        await gateway.kill()
        await gateway.start()

    by_execution: dict[str, str] = {}
    for line in seen:
        by_execution[line.execution_id] = by_execution.get(line.execution_id, "") + line.text
    assert len(by_execution) == 2
    for text in by_execution.values():
        moments = [int(part) for part in text.split()]
        assert len(moments) == LINES
        assert moments == sorted(set(moments))


async def test_output_is_read_from_a_time_and_from_a_sequence_on(site: Site) -> None:
    client = await site.client(await site.node("o", "orchestrator", "compute"))
    job = (await client.submit(ticker())).job_id
    await all_end(client, [job])
    whole = [line async for line in client.logs(job)]
    middle = whole[len(whole) // 2]
    assert middle.seq

    by_seq = [line async for line in client.logs(job, from_seq=middle.seq)]
    by_time = [line async for line in client.logs(job, since=str(middle.time))]

    assert by_seq == whole[len(whole) // 2 :]
    assert by_time == [line for line in whole if line.time >= middle.time]
    assert [line async for line in client.logs(job, since="1h")] == whole
    assert [line async for line in client.logs(job, since="2100-01-01T00:00:00Z")] == []
