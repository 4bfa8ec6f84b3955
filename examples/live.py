"""Follow a job: its events and its output side by side, while it runs."""

import asyncio
from pathlib import Path

from bacalhau_nats.client import Client, JobHandle, wasm

SLEEP = Path(__file__).parents[1] / "wasm" / "built" / "sleep.wasm"


async def show_output(job: JobHandle) -> None:
    async for line in job.logs(follow=True):
        print("output:", line.text.rstrip())


async def show_events(job: JobHandle) -> None:
    async for event in job.events():
        print("event:", event["Event"]["Message"])


async def main() -> None:
    async with Client() as client:
        job = await client.submit(wasm(SLEEP, "0.6", "200"))
        async with asyncio.TaskGroup() as both:
            both.create_task(show_output(job))
            both.create_task(show_events(job))


if __name__ == "__main__":
    asyncio.run(main())
