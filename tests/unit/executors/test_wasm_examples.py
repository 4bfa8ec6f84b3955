"""The example modules do what their sources say; the flight delays add up across partitions."""

import csv
import subprocess

import pytest

from bacalhau_nats.ports import Volume
from bacalhau_nats.testing.engine import RecordingSink

from .guests import BUILT, engine, work

COLUMNS = (
    "year,month,day,dep_time,sched_dep_time,dep_delay,arr_time,sched_arr_time,arr_delay,"
    "carrier,flight,tailnum,origin,dest,air_time,distance,hour,minute,time_hour"
)
# carrier, origin, dep_time, dep_delay
FLIGHTS = [
    ("UA", "EWR", "517", "2"),
    ("UA", "EWR", "533", "15"),
    ("UA", "LGA", "542", "-5"),
    ("AA", "JFK", "NA", "NA"),
    ("UA", "EWR", "600", "1301"),
    ("AA", "JFK", "", ""),
    ("B6", "JFK", "554", "14"),
    ("UA", "LGA", "", ""),
]


@pytest.fixture
def flights(tmp_path):
    """Three files of flights and one that is none."""
    folder = tmp_path / "flights"
    folder.mkdir()
    for number in range(3):
        lines = [
            f'2013,1,1,{dep},515,{delay},830,819,11,{carrier},1545,"N1,4",{origin},IAH,227,1400,5,15,2013-01-01'
            for carrier, origin, dep, delay in FLIGHTS[number::3]
        ]
        (folder / f"{number}.csv").write_text("\r\n".join([COLUMNS, *lines]) + "\n")
    (folder / "README").write_text("not a CSV file")
    return folder


async def delays(tmp_path, flights, index, count):
    """One partition's report, by carrier and origin, and its log."""
    folder = tmp_path / f"report-{index}-of-{count}"
    folder.mkdir()
    job = work(
        tmp_path,
        "delays",
        "/flights",
        "/report",
        env={"BACALHAU_PARTITION_INDEX": str(index), "BACALHAU_PARTITION_COUNT": str(count)},
        inputs=[Volume(flights, "/flights")],
        outputs=[Volume(folder, "/report", read_only=False)],
    )
    logs = RecordingSink()
    async with engine(tmp_path) as executor:
        outcome = await executor.run(job, logs)
    assert outcome.exit_code == 0, logs.stderr
    with (folder / f"delays-{index}.csv").open() as file:
        return list(csv.DictReader(file)), logs.stdout.decode()


async def test_delays_counts_late_and_cancelled_flights(tmp_path, flights):
    rows, log = await delays(tmp_path, flights, 0, 1)
    assert [tuple(row.values()) for row in rows] == [
        ("AA", "JFK", "2", "0", "0", "", "2"),
        ("B6", "JFK", "1", "0", "14", "14", "0"),
        ("UA", "EWR", "3", "2", "1318", "1301", "0"),
        ("UA", "LGA", "2", "0", "-5", "-5", "1"),
    ]
    assert list(rows[0]) == (
        ["carrier", "origin", "flights", "late15", "sum_dep_delay_minutes", "max_dep_delay", "cancelled"]
    )
    assert log.splitlines() == [f"/flights/{n}.csv: {len(FLIGHTS[n::3])} flights" for n in range(3)]


async def test_the_reports_of_partitions_add_up_to_the_whole(tmp_path, flights):
    whole, _ = await delays(tmp_path, flights, 0, 1)
    merged = {}
    for index in range(2):
        rows, _ = await delays(tmp_path, flights, index, 2)
        for row in rows:
            sums = merged.setdefault((row["carrier"], row["origin"]), dict.fromkeys(("flights", "late15"), 0))
            for name in sums:
                sums[name] += int(row[name])
    assert merged == {
        (row["carrier"], row["origin"]): {name: int(row[name]) for name in ("flights", "late15")}
        for row in whole
    }


async def test_count_writes_the_words_of_each_file(tmp_path):
    texts = tmp_path / "texts"
    texts.mkdir()
    (texts / "a.txt").write_text("one two\n three\n")
    (texts / "b.txt").write_text("")
    report = tmp_path / "report"
    report.mkdir()
    inputs, outputs = [Volume(texts, "/texts")], [Volume(report, "/out", read_only=False)]
    async with engine(tmp_path) as executor:
        job = work(tmp_path, "count", "/texts", "/out", inputs=inputs, outputs=outputs)
        assert (await executor.run(job, RecordingSink())).exit_code == 0
    assert (report / "counts.csv").read_text() == "file,words\na.txt,3\nb.txt,0\n"


def test_every_module_is_small():
    sizes = {path.name: path.stat().st_size for path in BUILT.glob("*.wasm")}
    assert len(sizes) >= 15
    assert max(sizes.values()) < 64 * 1024


def test_the_modules_match_their_sources():
    """Needs the tools of wasm/Makefile; the gate has them."""
    pytest.importorskip("shutil").which("wasm-ld") or pytest.skip("no WASM toolchain here")
    done = subprocess.run(
        ["make", "-s", "-C", str(BUILT.parent), "check"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
