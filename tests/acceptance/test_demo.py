"""The demo as a stranger runs it, on a small table of flights instead of the package from PyPI."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.acceptance.program import ROOT
from tests.support.waiting import eventually

HEADER = (
    "year,month,day,dep_time,sched_dep_time,dep_delay,arr_time,sched_arr_time,arr_delay,carrier,flight,tailnum,"
    "origin,dest,air_time,distance,hour,minute,time_hour"
)
CARRIERS = ("AA", "UA", "HA")
PER_MONTH = 20


@pytest.fixture
def flights(tmp_path: Path) -> Path:
    """Twelve months of flights: each carrier leaves on time, 14, 15 and 90 minutes late, and is cancelled once."""
    lines = [HEADER]
    for month in range(1, 13):
        for number in range(PER_MONTH):
            delay = ("-3", "14", "15", "90", "NA")[number % 5]
            left = "NA" if delay == "NA" else "517"
            carrier, origin = CARRIERS[(number + month) % 3], ("EWR", "JFK")[number % 2]
            lines.append(
                f"2013,{month},1,{left},515,{delay},830,819,11,{carrier},{number},N1,{origin},IAH,227,1400,5,15,x"
            )
    path = tmp_path / "flights.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


class Demo:
    """A run of the demo with a temporary folder of its own, in which nothing may remain."""

    def __init__(self, tmp_path: Path, *args: object) -> None:
        self._tmp = tmp_path / "tmp"
        self._tmp.mkdir()
        self.path = tmp_path / "said"
        # A shell that runs the tests in the background has them ignore SIGINT, and children inherit that.
        signal.signal(signal.SIGINT, signal.default_int_handler)
        with self.path.open("wb") as out:
            self._process = subprocess.Popen(
                [sys.executable, ROOT / "demo" / "flights.py", *map(str, args)],
                stdout=out,
                stderr=subprocess.STDOUT,
                env={**os.environ, "TMPDIR": str(self._tmp)},  # noqa: TID251 - the demo runs as from this shell
            )

    @property
    def said(self) -> str:
        return self.path.read_text()

    def interrupt(self) -> None:
        self._process.send_signal(signal.SIGINT)

    def close(self) -> None:
        """End it if the test failed before it ended: in order, and if need be by force."""
        self._process.terminate()
        try:
            self._process.wait(30)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    async def ended(self, within: float = 60) -> int:
        """Wait for its end and give its exit code; nothing of it is left in its folder, and no process in there."""
        await eventually(lambda: self._process.poll() is not None, within=within)
        code = self._process.returncode
        assert not list(self._tmp.iterdir())
        assert not self._living()
        return code

    def _living(self) -> list[str]:
        found = []
        for entry in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                command = entry.read_bytes().replace(b"\0", b" ").decode(errors="replace")
            except OSError:
                continue
            if str(self._tmp) in command:
                found.append(command)
        return found


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Callable[..., Demo]]:
    with ExitStack() as stack:

        def start(*args: object) -> Demo:
            demo = Demo(tmp_path, *args)
            stack.callback(demo.close)
            return demo

        yield start


async def test_the_demo_shows_a_checked_report_the_bus_and_a_death(
    run: Callable[..., Demo], flights: Path
) -> None:
    demo = run("--flights", flights, "--no-docker")
    assert await demo.ended() == 0, demo.said
    said = demo.said
    assert "\x1b" not in said, "plain when it is piped"
    assert max(map(len, said.splitlines())) <= 110
    assert f"Checked: {12 * PER_MONTH} flights" in said
    # Of the 192 that left, those 15 and 90 minutes late; a fifth of all is cancelled.
    assert "50.0%" in said
    assert said.split("\nall ")[1].split()[0] == "240"
    for kind in ("heartbeat", "offer", "bid", "desired", "observed", "log"):
        assert f"\n{kind}" in said
    assert "partition 1 runs again, on node-" in said
    assert "Nothing is left: no process, no container, no folder." in said


@pytest.mark.docker
async def test_the_report_in_docker_is_the_same(run: Callable[..., Demo], flights: Path) -> None:
    demo = run("--flights", flights, "--no-kill")
    assert await demo.ended() == 0, demo.said
    assert demo.said.count(f"Checked: {12 * PER_MONTH} flights") == 2


async def test_ctrl_c_leaves_nothing_behind(run: Callable[..., Demo], flights: Path) -> None:
    demo = run("--flights", flights, "--no-docker")
    await eventually(lambda: "kill -9" in demo.said, within=40)
    demo.interrupt()
    assert await demo.ended() == 130, demo.said
    assert "interrupted" in demo.said
    assert "Traceback" not in demo.said


async def test_a_file_that_holds_no_flights_is_refused_in_one_line(
    run: Callable[..., Demo], tmp_path: Path
) -> None:
    path = tmp_path / "other.csv"
    path.write_text("name,age\n")
    demo = run("--flights", path)
    assert await demo.ended() == 1
    assert "does not begin with the header of nycflights13" in " ".join(demo.said.split())
    assert "Traceback" not in demo.said
