"""Jobs that cannot work: one clear error each, the right exit code, nothing half-done."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

import pytest
import yaml

from tests.acceptance.conftest import Cluster
from tests.acceptance.program import WASM, Caller, Done


def error(done: Done, code: int) -> str:
    """Give the one error that a command told; what it says is on stderr."""
    assert done.code == code, done
    told = re.findall(r"^Error: (.*(?:\n(?!Hint: ).*)*)", done.err, re.MULTILINE)
    assert len(told) == 1, done
    assert "Traceback" not in done.err
    return told[0]


def job(engine: dict, **task: object) -> str:
    return yaml.safe_dump(
        {"Name": "bad", "Type": "batch", "Count": 1, "Tasks": [{"Name": "main", "Engine": engine, **task}]}
    )


async def test_an_unknown_engine_is_named_with_what_each_node_has(bacalhau: Caller) -> None:
    done = await bacalhau("job", "run", stdin=job({"Type": "qemu", "Params": {}}))
    told = error(done, 3)
    assert "qemu" in told
    assert "wasm" in told  # what there is


async def test_an_unknown_publisher_is_named(bacalhau: Caller) -> None:
    file = job({"Type": "noop", "Params": {}}, Publisher={"Type": "pigeon"})
    assert "pigeon" in error(await bacalhau("job", "run", stdin=file), 3)


async def test_a_path_outside_the_allow_list_is_named_with_the_setting(bacalhau: Caller) -> None:
    source = "file:///etc/shadow:/in"
    done = await bacalhau("wasm", "run", "--input", source, WASM / "cat.wasm", "/in", within=10)
    told = error(done, 3)
    assert "/etc/shadow" in told
    assert "AllowListedLocalPaths" in done.err


async def test_a_link_out_of_the_allow_list_is_not_followed(bacalhau: Caller, cluster: Cluster) -> None:
    (cluster.data / "innocent").symlink_to("/etc/hostname")
    source = f"file://{cluster.data}/innocent:/in"
    done = await bacalhau("wasm", "run", "--input", source, WASM / "cat.wasm", "/in")
    assert "innocent" in error(done, 3) or "/etc/hostname" in done.err


async def test_a_module_without_a_start_function_is_told_what_it_has(bacalhau: Caller) -> None:
    told = error(await bacalhau("wasm", "run", WASM / "nostart.wasm"), 3)
    assert "_start" in told


async def test_a_file_that_is_no_module_fails_before_it_starts(bacalhau: Caller, tmp_path: Path) -> None:
    (tmp_path / "not.wasm").write_text("#!/bin/sh\necho hello\n")
    told = error(await bacalhau("wasm", "run", "not.wasm"), 3)
    assert re.search("wasm|module", told, re.IGNORECASE)


async def test_a_module_that_is_not_there_is_a_wrong_command_line(bacalhau: Caller) -> None:
    assert "missing.wasm" in error(await bacalhau("wasm", "run", "missing.wasm"), 2)


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        (("--env", "NOVALUE"), "NOVALUE"),
        (("--publisher", "pigeon"), "pigeon"),
        (("--input", "gopher://x"), "gopher"),
        (("--target", "all", "--count", "2"), "--count"),
        (("--count", "many"), "many"),
    ],
)
async def test_a_wrong_flag_is_quoted_and_nothing_is_sent(
    command: Path, tmp_path: Path, flags: tuple[str, ...], says: str
) -> None:
    # Nobody listens at this address: an attempt to send would say so.
    nowhere = Caller(command, tmp_path, "http://127.0.0.1:1")
    done = await nowhere("wasm", "run", *flags, WASM / "echo.wasm")
    assert says in error(done, 2)
    assert done.out == ""


async def test_what_the_server_refuses_leaves_no_job(bacalhau: Caller) -> None:
    before = (await bacalhau("job", "list", "--limit", "0", "--output", "json")).json
    no_engine, bad_type, no_task, no_amount = await asyncio.gather(
        bacalhau("job", "run", stdin=job({"Type": ""})),
        bacalhau("job", "run", stdin=job({"Type": "noop"}).replace("batch", "weekly")),
        bacalhau("job", "run", stdin="Name: x\nType: batch\nCount: 1\nTasks: []\n"),
        bacalhau("wasm", "run", "--cpu", "lots", WASM / "echo.wasm"),
    )
    assert "engine" in error(no_engine, 1).lower()
    assert "weekly" in error(bad_type, 1)
    assert "task" in error(no_task, 1).lower()
    assert "lots" in error(no_amount, 2)
    assert (await bacalhau("job", "list", "--limit", "0", "--output", "json")).json == before
