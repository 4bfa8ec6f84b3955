"""Many real compute nodes in one process: `python -m benchmarks.computes '{"nats": …, "count": …}'`.

Each is what `bacalhau serve --compute` runs, with its own node id, data folder and connections. Says ``ready``
when all are, and stops when stdin ends.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Any

import uvloop

from bacalhau_nats import node
from bacalhau_nats.node import Started
from bacalhau_nats.settings import Settings

_STDIN = 0
_AT_ONCE = 10


async def main(asked: dict[str, Any]) -> None:
    """Start ``count`` nodes called ``prefix``-0, ``prefix``-1, … below ``folder``."""
    stop = asyncio.Event()
    asyncio.get_running_loop().add_reader(_STDIN, lambda: None if os.read(_STDIN, 1024) else _end(stop))
    starting = asyncio.Semaphore(_AT_ONCE)
    names = [f"{asked['prefix']}-{number}" for number in range(int(asked["count"]))]
    async with asyncio.TaskGroup() as group:
        ready = [await _start(group, starting, name, asked, stop) for name in names]
        await asyncio.gather(*(event.wait() for event in ready))
        print("ready", flush=True)


def _end(stop: asyncio.Event) -> None:
    asyncio.get_running_loop().remove_reader(_STDIN)
    stop.set()


async def _start(
    group: asyncio.TaskGroup,
    starting: asyncio.Semaphore,
    name: str,
    asked: dict[str, Any],
    stop: asyncio.Event,
) -> asyncio.Event:
    await starting.acquire()
    ready = asyncio.Event()

    def started(_: Started) -> None:
        ready.set()
        starting.release()

    settings = Settings.load(
        overrides=[
            f"DataDir={Path(asked['folder']) / name}",
            f"Compute.Orchestrators={asked['nats']}",
            # No engine of these needs a file server or a reaper process per node.
            "Engines.Disabled=docker",
            "Publishers.Disabled=local",
        ]
    )
    group.create_task(
        node.run(settings, orchestrator=False, compute=True, name=name, stop=stop, ready=started), name=name
    )
    return ready


if __name__ == "__main__":
    uvloop.run(main(json.loads(sys.argv[1])))
