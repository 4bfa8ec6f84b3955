"""Run a command in an image, with an input, and fetch what it left."""

import asyncio
from pathlib import Path
from tempfile import TemporaryDirectory

from bacalhau_nats.client import Client, docker, inline

WORDS = "delta\nalpha\ncharlie\nbravo\n"


async def main() -> None:
    job = docker(
        "busybox:1.37",
        "sh",
        "-c",
        "sort /in/words > /out/sorted; wc -l < /in/words",
        inputs=[inline(WORDS, "/in/words")],
        outputs=["out:/out"],
        cpu=0.2,
        memory="64Mb",
    )
    async with Client() as client:
        running = await client.submit(job)
        await running.wait(timeout=120)
        with TemporaryDirectory() as folder:
            await running.results(folder)
            print("lines:", Path(folder, "stdout").read_text().strip())
            print("sorted:", *Path(folder, "out", "sorted").read_text().split())


if __name__ == "__main__":
    asyncio.run(main())
