"""Run a WASM module, wait for it, show what it printed."""

import asyncio
from pathlib import Path

from bacalhau_nats.client import Client, wasm

HELLO = Path(__file__).parents[1] / "wasm" / "built" / "hello.wasm"


async def main() -> None:
    async with Client() as client:
        job = await client.submit(wasm(HELLO, "one", "two", labels={"example": "hello"}))
        status = await job.wait(timeout=60)
        print(job.id, status.state)
        async for line in job.logs():
            print(line.text, end="")


if __name__ == "__main__":
    asyncio.run(main())
