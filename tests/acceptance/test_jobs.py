"""What a person does with jobs: submit, look, list, stop; what scripts read; how commands end."""

from __future__ import annotations

import asyncio
import json
import re
from pathlib import Path

import httpx
import pytest
import yaml

import bacalhau_nats
from tests.acceptance.conftest import Cluster
from tests.acceptance.program import WASM, Caller, Done
from tests.support.waiting import eventually

_ID = re.compile(r"^j-[0-9a-f-]{36}\n$")


async def test_what_runs_is_the_wheel_and_not_the_checkout(command: Path) -> None:
    python = command.with_name("python")
    script = "import bacalhau_cli, bacalhau_nats, json; print(json.dumps([bacalhau_cli.__file__, bacalhau_nats.__file__]))"
    process = await asyncio.create_subprocess_exec(python, "-P", "-c", script, stdout=asyncio.subprocess.PIPE)
    out, _ = await process.communicate()
    site = command.parents[1] / "lib"
    assert all(Path(file).is_relative_to(site) for file in json.loads(out))
    assert not Path(bacalhau_nats.__file__).is_relative_to(site)


async def test_every_look_at_a_job_agrees(bacalhau: Caller) -> None:
    done = (
        await bacalhau(
            "wasm", "run", "--name", "looked-at", "--labels", "team=blue", WASM / "echo.wasm", "hi"
        )
    ).ok()
    describe, listed, executions, history, versions, logs = await asyncio.gather(
        bacalhau("job", "describe", done.id),
        bacalhau("job", "list", "--labels", "team=blue", "--wide"),
        bacalhau("job", "executions", "looked-at"),
        bacalhau("job", "history", done.id),
        bacalhau("job", "versions", "looked-at"),
        bacalhau("job", "logs", done.id[:12]),
    )
    assert re.search(r"^State +\S* *= Completed$", describe.ok().out, re.MULTILINE)
    assert "hi" in describe.out
    assert done.id in listed.ok().out
    assert "Completed" in listed.out
    assert "Completed" in executions.ok().out
    for word in ("Job submitted", "Running", "Completed successfully"):
        assert word in history.ok().out
    assert versions.ok().out
    assert logs.ok().out == "hi\n"


async def test_what_a_script_reads_parses(bacalhau: Caller) -> None:
    bare = (await bacalhau("wasm", "run", "--id-only", WASM / "echo.wasm")).ok()
    assert _ID.match(bare.out)
    assert bare.err == ""
    early = (await bacalhau("wasm", "run", "--wait=false", WASM / "echo.wasm")).ok()
    assert _ID.match(early.out)
    job = bare.out.strip()
    for args in (
        ("job", "describe", job),
        ("job", "list"),
        ("job", "executions", job),
        ("job", "history", job),
        ("job", "versions", job),
        ("node", "list"),
        ("version",),
        ("agent", "node"),
    ):
        as_json, as_yaml = await asyncio.gather(
            bacalhau(*args, "--output", "json"), bacalhau(*args, "--output", "yaml")
        )
        assert json.loads(as_json.ok().out), args
        assert yaml.safe_load(as_yaml.ok().out), args


async def test_the_exit_code_tells_what_failed(bacalhau: Caller, tmp_path: Path) -> None:
    def told(done: Done, code: int) -> None:
        assert done.code == code, done
        if code:
            assert len(re.findall(r"^Error: ", done.err, re.MULTILINE)) == 1, done

    program, job, trap, command, usage, silent = await asyncio.gather(
        bacalhau("wasm", "run", WASM / "exit.wasm", "9"),
        bacalhau("wasm", "run", "--timeout", "2", WASM / "spin.wasm"),
        bacalhau("wasm", "run", WASM / "trap.wasm"),
        bacalhau("job", "describe", "j-nothing"),
        bacalhau("wasm", "run", "--no-such-flag", WASM / "echo.wasm"),
        Caller(bacalhau.command, tmp_path, "http://127.0.0.1:1")("job", "list"),
    )
    told(program, 0)
    assert "exit code 9" in program.err
    told(job, 3)
    assert "timeout" in job.err or "timed out" in job.err or "longer" in job.err, job
    assert trap.code in (0, 3), trap
    told(command, 1)
    told(usage, 2)
    assert "bacalhau wasm run --help" in usage.err
    told(silent, 1)
    assert "http://127.0.0.1:1" in silent.err
    assert "Hint: " in silent.err


async def test_a_job_that_is_stopped_ends_its_watcher_with_another_code(bacalhau: Caller) -> None:
    watcher = await bacalhau.start("wasm", "run", WASM / "sleep.wasm", "600")
    job = re.search(r"j-[0-9a-f-]{36}", await watcher.line())
    assert job
    (await bacalhau("job", "stop", job.group())).ok()
    done = await watcher.end()
    assert done.code == 4, done
    again = await bacalhau("job", "stop", job.group())
    assert again.code == 1
    assert "Stopped" in again.err


async def test_a_gateway_answers_what_another_took_a_moment_ago(cluster: Cluster) -> None:
    task = {"Name": "main", "Engine": {"Type": "noop", "Params": {}}}
    path = "/api/v1/orchestrator/jobs"
    async with (
        httpx.AsyncClient(base_url=cluster.alpha.api) as alpha,
        httpx.AsyncClient(base_url=cluster.beta.api) as beta,
    ):
        for turn in range(50):
            here, there = (alpha, beta) if turn % 2 else (beta, alpha)
            job = {"Name": f"seen-at-once-{turn}", "Type": "batch", "Count": 1, "Tasks": [task]}
            taken = (await here.put(path, json={"Job": job})).raise_for_status().json()["JobID"]
            assert (await there.get(f"{path}/{taken}")).status_code == 200, turn
            stop = await there.delete(f"{path}/{taken}", params={"reason": "seen"})
            assert stop.status_code != 404, turn


async def test_submitting_the_same_name_again_makes_a_new_version(bacalhau: Caller) -> None:
    first = await bacalhau.submit("wasm", "run", "--name", "twice", WASM / "echo.wasm", "one")
    await eventually(lambda: bacalhau_completed(bacalhau, first), within=10)
    done = (await bacalhau("wasm", "run", "--name", "twice", "--follow", WASM / "echo.wasm", "two")).ok()
    assert done.id == first
    assert done.out.endswith("two\n")
    assert (await bacalhau.job(first))["Version"] == 2
    again = (await bacalhau("job", "rerun", "twice", "--version", "1", "--follow")).ok()
    assert again.out.endswith("one\n")


async def bacalhau_completed(bacalhau: Caller, job: str) -> bool:
    return await bacalhau.state(job) == "Completed"


@pytest.mark.parametrize(
    ("file", "says"),
    [
        ("Name: [unclosed", "job.yaml:2:1: did not find"),
        ("Name: x\nType: batch\nTaskz: []\n", "Taskz"),
        ("- not\n- a job\n", "job"),
    ],
)
async def test_a_broken_job_file_is_refused_with_its_place(
    bacalhau: Caller, tmp_path: Path, file: str, says: str
) -> None:
    (tmp_path / "job.yaml").write_text(file)
    before = (await bacalhau("job", "list", "--limit", "0", "--output", "json")).json
    done = await bacalhau("job", "run", "job.yaml")
    assert done.code in (1, 2), done
    assert done.out == ""
    assert "job.yaml" in done.err
    assert says in done.err, done
    assert (await bacalhau("job", "list", "--limit", "0", "--output", "json")).json == before
