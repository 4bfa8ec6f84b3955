"""One report over many files: three partitions read a part each, and their results are merged here.

The module looks at BACALHAU_PARTITION_INDEX and BACALHAU_PARTITION_COUNT to find its files, and writes
``delays-<partition>.csv``. Sums and maxima of the parts are sums and maxima of the whole.
"""

import asyncio
import csv
from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory

from bacalhau_nats.client import Client, inline, wasm

DELAYS = Path(__file__).parents[1] / "wasm" / "built" / "delays.wasm"
PARTITIONS = 3
COLUMNS = (
    "year,month,day,dep_time,sched_dep_time,dep_delay,arr_time,sched_arr_time,arr_delay,carrier,flight,"
    "tailnum,origin,dest,air_time,distance,hour,minute,time_hour"
)


def month_of_flights(month: int) -> str:
    """Make up a month: each carrier flies once a day from JFK, later from day to day."""
    rows = [
        f"2013,{month},{day},600,600,{day},,,,{carrier},1,,JFK,LAX,,,6,0,"
        for day in range(1, 29)
        for carrier in ("AA", "UA")
    ]
    return "\n".join([COLUMNS, *rows]) + "\n"


async def main() -> None:
    year = [inline(month_of_flights(month), f"/in/{month:02}.csv") for month in range(1, 13)]
    report = wasm(DELAYS, "/in", "/out", inputs=year, outputs=["out:/out"], count=PARTITIONS)
    async with Client() as client:
        job = await client.submit(report)
        await job.wait(timeout=60)
        with TemporaryDirectory() as folder:
            await job.results(folder)
            flights, late = Counter[str](), Counter[str]()
            for part in Path(folder, "out").glob("delays-*.csv"):
                for row in csv.DictReader(part.read_text().splitlines()):
                    flights[row["carrier"]] += int(row["flights"])
                    late[row["carrier"]] += int(row["late15"])
    for carrier in sorted(flights):
        print(f"{carrier}: {late[carrier]} of {flights[carrier]} flights left 15 minutes late or more")


if __name__ == "__main__":
    asyncio.run(main())
