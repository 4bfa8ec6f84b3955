"""Commands that somebody interrupts, or whose output nobody reads any more."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.waiting import eventually
from tests.unit.cli.test_commands import ID, JOBS, ends
from tests.unit.client.fake_api import Answer, FakeApi

# A shell that runs the tests in the background has them ignore SIGINT, and children inherit that.
_PROGRAM = """
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)
from bacalhau_cli.main import main
main()
"""


def start(api: FakeApi, home: Path, *args: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", _PROGRAM, *args],
        env={"PATH": os.defpath, "HOME": str(home), "BACALHAU_API_HOST": api.url},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.parametrize("flags", [[], ["--id-only"], ["--group-events"]])
async def test_who_stops_watching_is_told_that_the_job_goes_on_and_how_to_stop_it(
    api: FakeApi, tmp_path: Path, flags: list[str]
) -> None:
    ends(api, "Running", [])
    api.on(f"GET {JOBS}/{ID}/history", {"NextToken": "t", "Items": []})
    process = start(api, tmp_path, "docker", "run", *flags, "img")
    await eventually(lambda: len(api.of(f"GET {JOBS}/{ID}/history")) > 1, within=20)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=20)
    assert process.returncode == 130
    assert ID in out
    assert f"job {ID} goes on" in err
    assert f"bacalhau job stop {ID}" in err
    assert f"bacalhau job describe {ID}" in err
    assert "Traceback" not in err


async def test_a_watcher_who_leaves_leaves_the_job_alone(api: FakeApi, tmp_path: Path) -> None:
    ends(api, "Running", [])
    api.on(f"GET {JOBS}/{ID}/history", {"NextToken": "t", "Items": []})
    process = start(api, tmp_path, "job", "watch", ID)
    await eventually(lambda: len(api.of(f"GET {JOBS}/{ID}/history")) > 1, within=20)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=20)
    assert process.returncode == 130
    assert "the job goes on" in err
    assert not api.of(f"DELETE {JOBS}/{ID}")


@pytest.mark.parametrize("flags", [[], ["--follow"], ["--all"], ["--output", "json"]])
def test_logs_end_quietly_when_their_reader_has_seen_enough(
    api: FakeApi, tmp_path: Path, flags: list[str]
) -> None:
    frame = json.dumps({"value": {"Type": 1, "Line": "x" * 1000 + "\n"}, "ExecutionID": "e-1"})
    begin = json.dumps({"value": {"Type": 0, "Line": ""}, "Since": 0, "ExecutionID": ""})
    api.on(f"GET {JOBS}/n/logs", Answer(frames=[begin, *[frame] * 500]))
    process = start(api, tmp_path, "job", "logs", *flags, "n")
    assert process.stdout
    assert process.stderr
    assert "xxx" in process.stdout.readline()
    process.stdout.close()
    assert process.stderr.read() == ""
    process.stderr.close()
    process.wait(20)
