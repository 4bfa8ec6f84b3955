"""A node on a small disk: it fails what fills it, takes nothing while it is full, and goes on when there is room."""

from __future__ import annotations

import base64
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest

from bacalhau_nats.client import Client, Job
from bacalhau_nats.client.wire import job_state
from tests.support.machine import IN_CI
from tests.support.waiting import eventually

from .conftest import Site

FILL = Path(__file__).parents[3] / "wasm" / "built" / "fill.wasm"
MB = 1_000_000
SETTINGS = ["Compute.DiskReserve=20MB", "Compute.Logs.Quota=1kB", "Orchestrator.Scheduler.MaxAttempts=1"]

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0 and not IN_CI, reason="only root may mount a file system of its own"
)


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """The data folder of node c1, on a file system of 64 MB."""
    folder = tmp_path / "c1"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", folder], check=True)
    yield folder
    subprocess.run(["umount", "--lazy", folder], check=True)


def filling(size: int, *, paths: bool = True, **resources: str) -> Job:
    """A job that prints so many bytes, which are kept as a result."""
    module = f"data:application/wasm;base64,{base64.b64encode(FILL.read_bytes()).decode()}"
    task: dict[str, Any] = {
        "Name": "main",
        "Engine": {"Type": "wasm", "Params": {"EntryModule": "/main.wasm", "Parameters": [str(size)]}},
        "Publisher": {"Type": "nats"},
        "InputSources": [{"Target": "/main.wasm", "Source": {"Type": "inline", "Params": {"URL": module}}}],
        "Resources": resources,
    }
    if paths:
        task["ResultPaths"] = [{"Name": "out", "Path": "/out"}]
    return cast("Job", {"Name": "", "Type": "batch", "Count": 1, "Tasks": [task]})


async def ends(client: Client, job: Job) -> tuple[str, str]:
    """Give the state and message of the job's end."""
    ended = await client.wait((await client.submit(job)).job_id, timeout=30)
    return job_state(ended), ended["State"].get("Message", "")


async def cluster(site: Site) -> Client:
    client = await site.client(await site.node("o1", "orchestrator", settings=SETTINGS))
    await site.node("c1", "compute", settings=SETTINGS)
    return client


async def test_an_execution_beyond_its_quota_is_ended_with_what_it_took(site: Site, small: Path) -> None:
    client = await cluster(site)
    state, message = await ends(client, filling(8 * MB, Disk="2MB"))
    assert state == "Failed"
    assert "disk quota: the execution takes" in message
    assert "may take 2.0 MB" in message
    assert list((small / "executions").iterdir()) == []
    assert (await ends(client, filling(MB, Disk="2MB")))[0] == "Completed"


@pytest.mark.parametrize("size", [55 * MB, 90 * MB])
async def test_an_execution_that_fills_the_disk_fails_and_the_node_has_room_again(
    site: Site, small: Path, size: int
) -> None:
    """Beyond the reserve, and until the file system itself says no."""
    client = await cluster(site)
    state, message = await ends(client, filling(size))
    assert state == "Failed"
    assert "disk full: the node has no disk to spare" in message
    assert (await ends(client, filling(MB)))[0] == "Completed"


async def test_output_that_no_file_system_can_take_fails_with_that_reason(site: Site, small: Path) -> None:
    client = await cluster(site)
    state, message = await ends(client, filling(90 * MB, paths=False))
    assert state == "Failed"
    assert "No space left on device" in message


async def test_a_node_takes_no_work_while_its_disk_is_full_and_says_why(site: Site, small: Path) -> None:
    client = await cluster(site)
    hog = small / "hog"
    hog.write_bytes(bytes(50 * MB))

    async def free() -> float:
        info = (await client.node("c1"))["Info"]["ComputeNodeInfo"]
        return float((info.get("AvailableCapacity") or {}).get("CPU", 0))

    await eventually(lambda: _is(free, 0), within=10)
    job = (await client.submit(filling(MB))).job_id

    async def why() -> str:
        return str((await client.get(job))["Job"]["State"].get("Message", ""))

    await eventually(lambda: _says(why, "has no disk to spare: less than the 20.0 MB"), within=15)
    assert job_state((await client.get(job))["Job"]) == "Queued"
    hog.unlink()
    assert job_state(await client.wait(job, timeout=20)) == "Completed"


async def _is(found: Any, wanted: float) -> bool:
    return bool(await found() == wanted)


async def _says(found: Any, words: str) -> bool:
    return words in await found()
