"""WASM jobs through the command line: what goes in, what comes out."""

from __future__ import annotations

import base64
import hashlib
import os
from pathlib import Path

import httpx
import pytest

from tests.acceptance.conftest import Cluster
from tests.acceptance.program import WASM, Caller
from tests.support.http_server import http_server, says


async def run(bacalhau: Caller, *args: object):
    return (await bacalhau("wasm", "run", *args)).ok()


async def test_arguments_environment_and_both_streams_come_through(bacalhau: Caller) -> None:
    done = await run(bacalhau, "--env", "COLOUR=red", WASM / "hello.wasm", "--", "a b", "--flag")
    logs = (await bacalhau("job", "logs", done.id)).ok()
    lines = logs.out.splitlines()
    assert lines[:3] == ["arg 0: main.wasm", "arg 1: a b", "arg 2: --flag"]
    assert "env: COLOUR=red" in lines
    assert f"env: BACALHAU_JOB_ID={done.id}" in lines
    assert logs.err == "hello from main.wasm\n"


async def test_follow_puts_the_jobs_output_on_stdout(bacalhau: Caller) -> None:
    done = await run(bacalhau, "--follow", WASM / "echo.wasm", "one", "two")
    assert done.out.splitlines()[-1] == "one two"


async def test_a_local_file_that_is_allowed_is_an_input(bacalhau: Caller, cluster: Cluster) -> None:
    (cluster.data / "words.txt").write_text("from the node\n")
    source = f"file://{cluster.data}/words.txt:/in/words.txt"
    done = await run(bacalhau, "--follow", "--input", source, WASM / "cat.wasm", "/in/words.txt")
    assert done.out.endswith("from the node\n")


async def test_a_url_is_an_input(bacalhau: Caller) -> None:
    async with http_server() as server:
        url = server.on("/words.txt", says(b"from the web\n"))
        done = await run(bacalhau, "--follow", "--input", url, WASM / "cat.wasm", "/inputs")
    assert done.out.endswith("from the web\n")


async def test_an_inline_input_of_a_job_file_is_an_input(bacalhau: Caller) -> None:
    module = base64.b64encode((WASM / "cat.wasm").read_bytes()).decode()
    file = f"""
Name: inline-input
Type: batch
Count: 1
Tasks:
  - Name: main
    Engine:
      Type: wasm
      Params:
        EntryModule: /m.wasm
        Parameters: [/in/x]
    InputSources:
      - Target: /m.wasm
        Source: {{Type: inline, Params: {{URL: "data:application/wasm;base64,{module}"}}}}
      - Target: /in/x
        Source: {{Type: inline, Params: {{URL: "data:,written%20in%20the%20job"}}}}
"""
    done = (await bacalhau("job", "run", "--follow", stdin=file)).ok()
    assert done.out.endswith("written in the job")


@pytest.mark.parametrize(
    "publisher", [("--publisher", "nats"), ("--publisher", "local"), ()], ids=["nats", "local", "none-named"]
)
async def test_results_come_back(bacalhau: Caller, publisher: tuple[str, ...], tmp_path: Path) -> None:
    flags = ("--output", "out:/out", *publisher)
    done = await run(bacalhau, *flags, WASM / "write.wasm", "/out/report.txt", "the result")
    got = (await bacalhau("job", "get", done.id)).ok()
    folder = tmp_path / f"job-{done.id}"
    assert str(folder) in got.out
    assert (folder / "out" / "report.txt").read_text() == "the result"
    assert (folder / "stdout").read_text() == ""
    assert (folder / "exitCode").read_text() == "0"


async def test_one_file_of_the_results_comes_alone(bacalhau: Caller, tmp_path: Path) -> None:
    flags = ("--output", "out:/out", "--publisher", "nats")
    done = await run(bacalhau, *flags, WASM / "write.wasm", "/out/report.txt", "the result")
    (tmp_path / "here").mkdir()
    (await bacalhau("job", "get", f"{done.id}/out/report.txt", "--output-dir", "here")).ok()
    files = [path for path in (tmp_path / "here").rglob("*") if path.is_file()]
    assert [(path.name, path.read_text()) for path in files] == [("report.txt", "the result")]


async def test_a_module_of_nine_megabytes_runs_and_is_given_back_whole(
    bacalhau: Caller, cluster: Cluster
) -> None:
    # A custom section is content that a module carries and nobody executes. Random bytes do not compress.
    payload = os.urandom(9 * 1024 * 1024 * 3 // 4 - 4096)
    body = b"\x03pad" + payload
    size, leb = len(body), bytearray()
    while size:
        leb.append(size & 0x7F | (0x80 if size > 0x7F else 0))
        size >>= 7
    module = (WASM / "echo.wasm").read_bytes() + b"\x00" + bytes(leb) + body
    inline = {
        "Type": "inline",
        "Params": {"URL": "data:application/wasm;base64," + base64.b64encode(module).decode()},
    }
    task = {
        "Name": "main",
        "Engine": {"Type": "wasm", "Params": {"EntryModule": "/m.wasm", "Parameters": ["big"]}},
        "InputSources": [{"Source": inline, "Target": "/m.wasm"}],
    }
    job = {"Name": "nine-megabytes", "Type": "batch", "Count": 1, "Tasks": [task]}
    async with httpx.AsyncClient(base_url=cluster.alpha.api, timeout=60) as api:
        answer = (await api.put("/api/v1/orchestrator/jobs", json={"Job": job})).raise_for_status()
        job_id = answer.json()["JobID"]
        logs = await bacalhau("job", "logs", "--follow", job_id)
        assert logs.out == "big\n", logs
        for gateway in (cluster.alpha.api, cluster.beta.api):
            told = (await api.get(f"{gateway}/api/v1/orchestrator/jobs/{job_id}")).raise_for_status().json()
            url = told["Job"]["Tasks"][0]["InputSources"][0]["Source"]["Params"]["URL"]
            back = base64.b64decode(url.partition(",")[2])
            assert hashlib.sha256(back).digest() == hashlib.sha256(module).digest()
