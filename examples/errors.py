"""What can go wrong, and how it is told: every failure is an error with a message and a hint."""

import asyncio
from pathlib import Path

from bacalhau_nats.client import Client, wasm
from bacalhau_nats.errors import BusTimeout, InvalidSpec, JobFailed, NotFound, Unavailable

BUILT = Path(__file__).parents[1] / "wasm" / "built"


async def main() -> None:
    async with Client() as client:
        try:
            await client.submit(type="batch", tasks=[{"name": "", "engine": {"type": "noop"}}])
        except InvalidSpec as error:
            print("refused:", error.field, "-", error.message)

        try:
            await client.job("no-such-job").status()
        except NotFound as error:
            print("not found:", error.message)

        job = await client.submit(wasm(BUILT / "trap.wasm"))
        try:
            await job.wait(timeout=60)
        except JobFailed as error:
            print("failed:", error.message.partition(": ")[2])

        job = await client.submit(wasm(BUILT / "sleep.wasm", "600"))
        try:
            await job.wait(timeout=0.5)
        except BusTimeout:
            await job.stop("it took too long")
            status = await job.wait(check=False)
            print("stopped:", status.state, "-", status.message)

    try:
        async with Client("http://127.0.0.1:9") as nobody:
            await nobody.nodes()
    except Unavailable as error:
        print("no server:", error.hint.partition(",")[0])


if __name__ == "__main__":
    asyncio.run(main())
