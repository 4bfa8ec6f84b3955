"""The command line of Bacalhau 1.9.3 itself, a Go program, works against our servers."""

from __future__ import annotations

import json
from pathlib import Path

import httpx
import pytest

from tests.acceptance.conftest import Cluster
from tests.acceptance.outside import go_client
from tests.acceptance.program import WASM, Caller
from tests.support.http_server import http_server, says

BATCH = """
name: {name}
type: batch
count: 1
labels: {{colour: {colour}}}
tasks:
  - name: main
    engine: {{type: noop}}
"""
ENDLESS = """
name: {name}
type: service
count: 1
tasks:
  - name: main
    engine:
      type: wasm
      params: {{EntryModule: /m.wasm, Entrypoint: _start}}
    inputSources:
      - target: /m.wasm
        source: {{type: urlDownload, params: {{URL: "{url}"}}}}
"""


@pytest.fixture
async def go(cluster: Cluster, tmp_path: Path) -> Caller:
    """Give the Go client; it has logged in before and says nothing about its home any more."""
    client = go_client(tmp_path, cluster.alpha.api)
    for _ in range(2):
        (await client("job", "list")).ok()
    return client


def written(folder: Path, text: str) -> Path:
    file = folder / "job.yaml"
    file.write_text(text)
    return file


async def test_a_fresh_home_answers_the_challenge_once_and_keeps_the_token(
    cluster: Cluster, tmp_path: Path
) -> None:
    client = go_client(tmp_path, cluster.alpha.api)
    kept = tmp_path / ".bacalhau" / "tokens.json"
    (await client("job", "list")).ok()
    ((address, token),) = json.loads(kept.read_text()).items()
    assert (address.rstrip("/"), token != "") == (cluster.alpha.api, True)
    (await client("node", "list")).ok()
    assert json.loads(kept.read_text()) == {address: token}


async def test_version_and_agent_show_what_the_server_says(go: Caller, cluster: Cluster) -> None:
    shown = (await go("version", "--output", "json")).json
    async with httpx.AsyncClient(base_url=cluster.alpha.api) as http:
        asked = (await http.get("/api/v1/agent/version")).json()
    assert (shown["clientVersion"]["GitVersion"], shown["serverVersion"]) == ("v1.9.3", asked)
    assert (await go("agent", "version", "--output", "json")).json == asked
    assert (await go("agent", "alive", "--output", "json")).json == {"Status": "OK"}
    assert (await go("agent", "node", "--output", "json")).json["NodeID"] == "alpha"
    assert (await go("agent", "config", "--output", "json")).json["Orchestrator"]["Enabled"] is True
    assert "does not support SSO" in (await go("auth", "info")).ok().out


async def test_nodes_are_listed_filtered_and_described(go: Caller) -> None:
    listed = (await go("node", "list", "--output", "json", "--order-by", "id")).json
    assert [node["Info"]["NodeID"] for node in listed] == ["alpha", "beta", "node-1", "node-2"]
    flags = ("--labels", "rack=r2", "--filter-status", "connected", "--filter-approval", "approved")
    (one,) = (await go("node", "list", "--output", "json", *flags)).json
    assert one["Info"]["NodeID"] == "node-2"
    assert "node-2" in (await go("node", "list", *flags)).ok().out
    assert (await go("node", "describe", "node-2", "--output", "json")).json["Info"]["Labels"]["rack"] == "r2"
    again = await go("node", "approve", "node-2")
    assert (again.code, "node-2 already approved" in again.out + again.err) == (1, True)
    missing = await go("node", "describe", "nobody")
    assert (missing.code, "node not found: nobody" in missing.err) == (1, True)


async def test_a_wasm_job_is_followed_to_its_end_and_looked_at_from_all_sides(go: Caller) -> None:
    done = (await go("wasm", "run", "--name", "go-wasm", "--env", "A=b", WASM / "hello.wasm", "x")).ok()
    for step in ("Job submitted", "Requested execution on node-", "Running", "Completed successfully"):
        assert step in done.out
    job = (await go("job", "describe", "go-wasm", "--output", "json")).json
    assert (job["Job"]["ID"], job["Job"]["State"]["StateType"]) == (done.id, "Completed")
    assert job["Executions"]["Items"][0]["RunOutput"]["Stdout"].startswith("arg 0: ")
    described = (await go("job", "describe", done.id[:10])).ok().out
    for part in ("go-wasm", "Completed", "arg 1: x", "Job submitted"):
        assert part in described
    (execution,) = (await go("job", "executions", done.id, "--output", "json")).json
    assert (execution["ComputeState"]["StateType"], execution["JobID"]) == (9, done.id)
    assert execution["ID"][:10] in (await go("job", "executions", done.id)).ok().out
    history = (await go("job", "history", done.id, "--output", "json")).json
    assert [item["SeqNum"] for item in history] == [1, 2, 3, 4, 5, 6]
    only = (await go("job", "history", done.id, "--event-type", "execution", "--output", "json")).json
    assert {item["Type"] for item in only} == {"ExecutionLevel"}
    (version,) = (await go("job", "versions", done.id, "--output", "json")).json
    assert version["Version"] == 1
    assert "arg 1: x\n" in (await go("job", "logs", done.id)).ok().out
    listed = (await go("job", "list", "--limit", "0", "--output", "json")).json
    assert done.id in [one["ID"] for one in listed]


async def test_results_are_downloaded_and_unpacked(go: Caller, tmp_path: Path) -> None:
    for number, publisher in enumerate((("--publisher", "local"), ())):
        name = f"go-results-{number}"
        flags = ("--name", name, "--output", "out:/out", *publisher)
        (await go("wasm", "run", *flags, WASM / "write.wasm", "/out/report.txt", "the result")).ok()
        (tmp_path / name).mkdir()
        (await go("job", "get", name, "--output-dir", tmp_path / name)).ok()
        assert (tmp_path / name / "out" / "report.txt").read_text() == "the result"
        assert (tmp_path / name / "exitCode").read_text() == "0"


async def test_updates_differences_and_reruns(go: Caller, tmp_path: Path) -> None:
    first = written(tmp_path, BATCH.format(name="go-update", colour="red"))
    done = (await go("job", "run", first)).ok()
    same = await go("job", "run", first)
    assert (same.code, "no changes detected" in same.out + same.err) == (1, True)
    assert (await go("job", "run", "--force", first)).ok().id == done.id
    second = written(tmp_path, BATCH.format(name="go-update", colour="blue"))
    dry = (await go("job", "run", "--dry-run", second)).ok()
    assert "red" in dry.out
    assert "blue" in dry.out
    assert (await go("job", "run", second)).ok().id == done.id
    (await go("job", "rerun", "go-update")).ok()
    versions = (await go("job", "versions", "go-update", "--output", "json")).json
    assert [one["Labels"]["colour"] for one in versions] == ["red", "red", "blue", "blue"]
    old = (await go("job", "describe", "go-update", "--version", "1", "--output", "json")).json
    assert old["Job"]["Version"] == 1


async def test_a_service_is_followed_and_stopped(go: Caller, tmp_path: Path) -> None:
    module = (WASM / "sleep.wasm").read_bytes()
    name = "go-service"
    async with http_server() as server:
        server.on("/m.wasm", says(module))
        file = written(tmp_path, ENDLESS.format(name=name, url=server.url("/m.wasm")))
        (await go("job", "run", "--id-only", file)).ok()
    assert "evaluation ID" in (await go("job", "stop", name)).ok().out
    again = await go("job", "stop", name)
    assert (again.code, "terminal state" in again.out + again.err) == (1, True)
    job = (await go("job", "describe", name, "--output", "json")).json["Job"]
    assert job["State"] == {"StateType": "Stopped", "Message": "Stopped at user request"}


async def test_output_is_followed_while_it_is_made(go: Caller) -> None:
    done = (await go("wasm", "run", "--follow", WASM / "echo.wasm", "one", "two")).ok()
    assert done.out.rstrip().endswith("one two")


async def test_what_does_not_exist_is_said_in_the_words_of_the_server(go: Caller) -> None:
    for args in (
        ("job", "describe"),
        ("job", "executions"),
        ("job", "history"),
        ("job", "stop"),
        ("job", "logs"),
    ):
        done = await go(*args, "nobody")
        assert (done.code, "job not found: nobody" in done.out + done.err) == (1, True), str(done)


async def test_a_list_is_read_page_by_page(go: Caller) -> None:
    for name in "abc":
        file = written(go.home, BATCH.format(name=f"go-page-{name}", colour="page"))
        (await go("job", "run", "--wait=false", file)).ok()
    flags = ("--labels", "colour=page", "--limit", "2", "--order-by", "created_at")
    page = (await go("job", "list", *flags)).ok()
    assert "--next-token" in page.out + page.err
    newest = (await go("job", "list", *flags, "--order-reversed", "--output", "json")).ok().out
    assert [job["Name"] for job in json.loads(newest.splitlines()[0])] == ["go-page-c", "go-page-b"]


@pytest.mark.docker
async def test_a_container_is_run_published_and_fetched(go: Caller, tmp_path: Path) -> None:
    script = "echo to stdout; echo to stderr >&2; echo kept > /out/file; exit 3"
    flags = ("--name", "go-docker", "--publisher", "local", "--output", "out:/out", "--cpu", "0.1")
    done = (await go("docker", "run", *flags, "busybox:1.37", "--", "sh", "-c", script)).ok()
    (execution,) = (await go("job", "executions", done.id, "--output", "json")).json
    output = execution["RunOutput"]
    assert (output["Stdout"], output["stderr"], output["ExitCode"]) == ("to stdout\n", "to stderr\n", 3)
    (tmp_path / "got").mkdir()
    (await go("job", "get", "go-docker", "--output-dir", tmp_path / "got")).ok()
    assert (tmp_path / "got" / "out" / "file").read_text() == "kept\n"
    assert (tmp_path / "got" / "stdout").read_text() == "to stdout\n"
    followed = await go(
        "docker", "run", "--follow", "busybox:1.37", "--", "sh", "-c", "echo 1; sleep 0.3; echo 2"
    )
    assert "1\n2\n" in followed.ok().out
