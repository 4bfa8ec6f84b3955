"""Commands against a server that answers as the public one was recorded to do."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from bacalhau_cli.context import Caller

from tests.unit.cli.conftest import Run
from tests.unit.client.fake_api import Answer, Asked, FakeApi
from tests.unit.client.test_results import ONE, archive

JOBS = "/api/v1/orchestrator/jobs"
ID = "j-00000001-1111-4111-8111-111111111111"
TASK = {"Name": "main", "Engine": {"Type": "noop"}, "Publisher": {"Type": "local"}}


def job(state: str, **more: Any) -> dict[str, Any]:
    return {"ID": ID, "Name": "n", "Type": "batch", "Tasks": [TASK], "State": {"StateType": state}, **more}


def execution(state: int = 9, **more: Any) -> dict[str, Any]:
    return {"ID": ONE, "NodeID": "n-1", "ComputeState": {"StateType": state}, "RunOutput": {}, **more}


def event(text: str, topic: str, *, execution_id: str = "", **details: str) -> dict[str, Any]:
    item = {
        "Type": "ExecutionLevel" if execution_id else "JobLevel",
        "Event": {
            "Message": text,
            "Topic": topic,
            "Timestamp": "2026-01-01T10:11:12.345Z",
            "Details": details,
        },
    }
    return {**item, "ExecutionID": execution_id} if execution_id else item


def ends(api: FakeApi, state: str, executions: list[dict[str, Any]], **more: Any) -> None:
    """Make the next submission succeed and its job end in ``state``."""
    api.on(f"PUT {JOBS}", {"JobID": ID, "EvaluationID": "v", "Warnings": None})
    api.on(f"GET {JOBS}/{ID}", {"Job": job(state, **more)})
    api.on(f"GET {JOBS}/{ID}/executions", {"Items": executions})
    events = [
        event("Job submitted", "Submission"),
        event("Running", "State Update"),
        event("Requested execution on n-1", "Scheduling", execution_id=ONE),
    ]
    api.on(f"GET {JOBS}/{ID}/history", {"NextToken": "", "Items": events})


@pytest.mark.parametrize("command", ["docker run", "wasm run"])
def test_a_run_sends_what_the_public_cli_sends(
    run: Run, api: FakeApi, recorded: dict[str, Any], tmp_path: Path, command: str
) -> None:
    exchange = recorded[command]
    wanted = exchange["request"]["Job"]
    for source in wanted["Tasks"][0].get("InputSources", ()):
        data = source["Source"]["Params"]["URL"].partition(",")[2]
        (tmp_path / "hello.wasm").write_bytes(base64.b64decode(data))
    api.on(f"PUT {JOBS}", {"JobID": ID})
    assert run(*[arg.replace("{{run}}", "abcdefgh") for arg in exchange["cli"]]).out == f"{ID}\n"
    (asked,) = api.of(f"PUT {JOBS}")
    assert asked.body["Job"] == wanted
    assert asked.body["Force"] is False


def test_a_job_that_completes_is_told_with_its_events_on_stderr(run: Run, api: FakeApi) -> None:
    ends(api, "Completed", [execution(RunOutput={"ExitCode": 4})])
    ran = run("docker", "run", "img")
    assert (ran.code, ran.out) == (0, f"Job successfully submitted. Job ID: {ID}\n")
    rows = [line.split(None, 1) for line in ran.err.splitlines()]
    assert ["10:11:12.345", "e-00000001  Scheduling              Requested execution on n-1"] in rows
    assert not any("State Update" in line for line in ran.err.splitlines())
    assert "exit code 4 (e-00000001 on n-1)" in ran.err
    assert f"bacalhau job get {ID}" in ran.err


@pytest.mark.parametrize(("state", "code"), [("Failed", 3), ("Stopped", 4)])
def test_the_exit_code_tells_how_the_job_ended(run: Run, api: FakeApi, state: str, code: int) -> None:
    failed = execution(10, ComputeState={"StateType": 10, "Message": "no such image"})
    ends(api, state, [failed] if state == "Failed" else [])
    ran = run("docker", "run", "img")
    assert ran.code == code
    assert ("Error: job failed: no such image" in ran.err) is (state == "Failed")


def test_a_job_that_takes_too_long_goes_on(run: Run, api: FakeApi) -> None:
    ends(api, "Running", [])
    api.on(f"GET {JOBS}/{ID}/history", {"NextToken": "t", "Items": []})
    ran = run("docker", "run", "--wait-timeout-secs", "1", "img")
    assert ran.code == 5
    assert "not over after 1 s; it goes on" in ran.err


def test_id_only_prints_the_id_and_nothing_else(run: Run, api: FakeApi) -> None:
    ends(api, "Completed", [execution()])
    assert run("docker", "run", "--id-only", "img") == (0, f"{ID}\n", "")
    assert run("docker", "run", "--wait=false", "img") == (0, f"{ID}\n", "")


def test_grouped_events_show_the_last_of_each_execution(run: Run, api: FakeApi) -> None:
    ends(api, "Completed", [execution()])
    err = run("docker", "run", "--group-events", "img").err
    assert "Requested execution" in err
    assert "Job submitted" not in err


def test_grouped_events_end_with_the_jobs_own(run: Run, api: FakeApi) -> None:
    ends(api, "Completed", [execution()])
    rows = run("docker", "run", "--group-events", "img").err.splitlines()
    begin = next(at for at, row in enumerate(rows) if row.startswith("TIME"))
    assert "Requested execution" in rows[begin + 1]
    assert "State Update" in rows[begin + 2]


def test_a_job_that_nobody_took_points_at_the_explanation(run: Run, api: FakeApi) -> None:
    ends(api, "Failed", [], State={"StateType": "Failed", "Message": "not enough nodes"})
    assert f"bacalhau job explain {ID}" in run("docker", "run", "img").err


def test_former_names_of_options_still_work_alone_and_say_so(run: Run, api: FakeApi) -> None:
    api.on(f"PUT {JOBS}", {"JobID": ID})
    done = run("docker", "run", "--wait=false", "--concurrency", "3", "-s", "a=b", "img")
    assert "--concurrency is the former name of --count" in done.err
    sent = api.asked[-1].body["Job"]
    assert (sent["Count"], sent["Constraints"][0]["Key"]) == (3, "a")
    both = run("docker", "run", "--concurrency", "3", "--count", "2", "img")
    assert both.code == 2
    assert "give only that one" in both.err


def test_node_details_tell_what_each_node_said(run: Run, api: FakeApi) -> None:
    ends(api, "Completed", [execution(RunOutput={"Stdout": "hi\n", "ExitCode": 0})])
    assert "• Node n-1: hi" in run("docker", "run", "--node-details", "img").err


def test_follow_shows_stdout_and_stderr_where_they_belong(run: Run, api: FakeApi) -> None:
    ends(api, "Completed", [execution()])
    api.on(f"GET {JOBS}/{ID}", [{"Job": job("Pending")}, {"Job": job("Queued")}, {"Job": job("Completed")}])
    frames = ['{"value":{"Type":1,"Line":"out\\n"}}', '{"value":{"Type":2,"Line":"err\\n"}}']
    api.on(f"GET {JOBS}/{ID}/logs", Answer(frames=frames))
    ran = run("docker", "run", "-f", "img")
    assert ran.code == 0
    assert ran.out.splitlines()[1:] == ["out"]
    assert "err" in ran.err.splitlines()


def test_follow_of_a_job_that_never_ran_tells_why_instead_of_missing_logs(run: Run, api: FakeApi) -> None:
    ends(api, "Failed", [], State={"StateType": "Failed", "Message": "not enough nodes"})
    api.on(f"GET {JOBS}/{ID}/logs", Answer(frames=['{"error":"no executions found"}']))
    ran = run("docker", "run", "-f", "img")
    assert ran.code == 3
    assert "job failed: not enough nodes" in ran.err
    assert "no executions" not in ran.err


def test_a_service_is_left_when_its_first_execution_has_begun(run: Run, api: FakeApi) -> None:
    ends(api, "Running", [], Type="service")
    page = {"NextToken": "t", "Items": [event("Requested", "Scheduling", execution_id=ONE)]}
    api.on(f"GET {JOBS}/{ID}/history", page)
    assert run("docker", "run", "img").code == 0


def test_a_job_file_is_sent_and_the_servers_warnings_are_shown(
    run: Run, api: FakeApi, tmp_path: Path
) -> None:
    (tmp_path / "job.yaml").write_text("type: batch\nname: n\ntasks: [{name: main, engine: {type: noop}}]\n")
    api.on(f"PUT {JOBS}", {"JobID": ID, "Warnings": ["mind the gap"]})
    ran = run("job", "run", "--wait=false", "--force", "job.yaml")
    assert ran == (0, f"{ID}\n", "Warning: mind the gap\n")
    assert api.asked[-1].body["Job"]["Tasks"] == [{"Name": "main", "Engine": {"Type": "noop"}}]
    assert api.asked[-1].body["Force"] is True


def test_an_unchanged_job_is_refused_in_the_servers_words(
    run: Run, api: FakeApi, recorded: dict[str, Any], tmp_path: Path
) -> None:
    (tmp_path / "job.yaml").write_text("{type: batch, name: n}")
    api.on(f"PUT {JOBS}", Answer(recorded["unchanged"]["response"], recorded["unchanged"]["status"]))
    ran = run("job", "run", "job.yaml")
    assert ran.code == 1
    assert ran.err.splitlines()[0].startswith("Error: no changes detected for new job spec.")
    assert "--force" in ran.err.splitlines()[1]


def test_a_dry_run_can_be_run(run: Run, api: FakeApi, tmp_path: Path) -> None:
    text = run("docker", "run", "--dry-run", "--name", "n", "img", "--", "ls", "-l").out
    assert not api.asked
    (tmp_path / "job.yaml").write_text(text)
    api.on(f"PUT {JOBS}", {"JobID": ID})
    assert run("job", "run", "--wait=false", "job.yaml").code == 0
    assert api.asked[-1].body["Job"]["Tasks"][0]["Engine"]["Params"]["Parameters"] == ["ls", "-l"]


def test_job_run_dry_run_shows_the_difference_or_falls_back_to_the_job(
    run: Run, api: FakeApi, tmp_path: Path
) -> None:
    (tmp_path / "job.yaml").write_text("{type: batch, name: n}")
    api.on(f"PUT {JOBS}/diff", {"Diff": "+a\n-b\n"})
    assert run("job", "run", "--dry-run", "job.yaml").out == "+a\n-b\n"
    api.on(f"PUT {JOBS}/diff", {"Diff": ""})
    assert "No diff detected." in run("job", "run", "--dry-run", "job.yaml").err
    api.on(f"PUT {JOBS}/diff", None)
    assert yaml.safe_load(run("job", "run", "--dry-run", "job.yaml").out) == {"Type": "batch", "Name": "n"}


def test_validate_needs_no_server(run: Run, api: FakeApi, tmp_path: Path) -> None:
    (tmp_path / "good.yaml").write_text(
        "type: batch\ntasks: [{name: main, engine: {type: noop}, publisher: {type: ''}}]\n"
    )
    (tmp_path / "bad.yaml").write_text("type: batsh\ntasks: [{name: main, engine: {type: noop}}]\n")
    assert run("job", "validate", "good.yaml") == (0, "OK\n", "")
    ran = run("job", "validate", "bad.yaml")
    assert (ran.code, ran.out) == (1, "")
    assert 'invalid job type: "batsh"' in ran.err
    assert not api.asked


def test_list_asks_as_the_public_cli_and_repeats_every_flag_for_the_next_page(run: Run, api: FakeApi) -> None:
    api.on(f"GET {JOBS}", {"NextToken": "tok", "Items": [job("Completed", CreateTime=10**18)]})
    ran = run(
        "job", "list", "--limit", "1", "--order-by=created_at", "--order-reversed", "--next-token", "old"
    )
    assert api.asked[-1].query == {
        "labels": "bacalhau_canary!=true",
        "limit": "1",
        "next_token": "old",
        "order_by": "created_at",
        "reverse": "true",
    }
    assert ran.out == (
        "CREATED   ID          NAME  JOB   TYPE   STATE\n01:46:40  j-00000001  n     noop  batch  Completed\n"
    )
    assert "job list --limit 1 --order-by=created_at --order-reversed --next-token tok" in ran.err
    assert json.loads(run("job", "list", "--output", "json").out)[0]["ID"] == ID


def test_describe_tells_the_story_in_order(run: Run, api: FakeApi, recorded: dict[str, Any]) -> None:
    details = recorded["describe"]["response"]
    api.on(f"GET {JOBS}/n", details)
    out = run("job", "describe", "n").out
    titles = ["ID ", "Summary", "Job History", "Executions", "Execution e-", "Standard Output"]
    places = [out.index(f"\n{title}" if place else title) for place, title in enumerate(titles)]
    assert places == sorted(places)
    assert out.rstrip().endswith("from the cli")
    assert api.asked[-1].query == {"include": "executions,history"}
    assert json.loads(run("job", "describe", "n", "--output", "json").out) == details
    assert yaml.safe_load(run("job", "describe", "n", "--output", "yaml").out) == details


def test_describe_comments_on_what_ended_badly_not_that_it_once_ran(run: Run, api: FakeApi) -> None:
    done = execution(ComputeState={"StateType": 9, "Message": "Running"})
    coded = done | {"RunOutput": {"ExitCode": 7}}
    failed = execution(ComputeState={"StateType": 10, "Message": "no such image"})
    runs = execution(ComputeState={"StateType": 1, "Details": {"State": "Running"}})
    items = [done, coded, failed, runs]
    api.on(f"GET {JOBS}/n", {"Job": job("Running"), "Executions": {"Items": items}})
    out = run("job", "describe", "n").out
    table = out[out.index("\nExecutions\n") :]
    states = [row.split()[2] for row in table.splitlines()[3:7]]
    assert states == ["Completed", "Completed", "Failed", "Running"]
    assert [row.count("Running") for row in table.splitlines()[3:7]] == [0, 0, 0, 1]
    assert "exit code 7" in table
    assert "no such image" in table


@pytest.mark.parametrize("what", ["executions", "history", "versions"])
def test_other_lists_have_a_row_for_each_item(
    run: Run, api: FakeApi, recorded: dict[str, Any], what: str
) -> None:
    api.on(f"GET {JOBS}/n/{what}", recorded[what]["response"])
    lines = run("job", what, "n").out.splitlines()
    assert len(lines) == 1 + len(recorded[what]["response"]["Items"])


def test_what_was_published_is_described_and_in_wide_lists(run: Run, api: FakeApi) -> None:
    digest = {"Manifest": "sha256:ab12", "Outputs": "sha256:cd34", "Files": 3, "Bytes": 2048}
    items = [execution(ResultDigest=digest), execution()]
    api.on(f"GET {JOBS}/n/executions", {"Items": items})
    api.on(f"GET {JOBS}/n", {"Job": job("Completed"), "Executions": {"Items": items}})
    head, first, second = run("job", "executions", "--wide", "n").out.splitlines()
    assert [name for name in ("RESULT DIGEST", "OUTPUTS DIGEST", "FILES", "SIZE") if name not in head] == []
    assert first.split()[-2:] == ["sha256:ab12", "sha256:cd34"]
    assert "sha256" not in second
    assert "sha256" not in run("job", "executions", "n").out
    assert "sha256" not in run("job", "executions", "--output", "csv", "--wide", "n").out
    assert "Results\n" in (out := run("job", "describe", "n").out)
    assert "sha256:ab12" in out


def test_stop_asks_first_and_refuses_a_job_that_is_over(run: Run, api: FakeApi) -> None:
    api.on(f"GET {JOBS}/n", [{"Job": job("Running")}, {"Job": job("Running")}, {"Job": job("Completed")}])
    api.on(f"DELETE {JOBS}/n", {"EvaluationID": "v-1"})
    assert run("job", "stop", "n").out == "Job stop successfully submitted with evaluation ID: v-1\n"
    assert api.of(f"DELETE {JOBS}/n")[0].body["reason"] == "Stopped at user request"
    assert run("job", "stop", "--quiet", "n") == (0, "", "")
    ran = run("job", "stop", "n")
    assert ran.code == 1
    assert "it is Completed already" in ran.err


def test_logs_keep_the_streams_apart(run: Run, api: FakeApi) -> None:
    frames = ['{"value":{"Type":1,"Line":"a"}}', '{"value":{"Type":2,"Line":"b"}}']
    api.on(f"GET {JOBS}/n/logs", Answer(frames=frames))
    assert run("job", "logs", "n", "-t", "--execution-id", "e") == (0, "a", "b")
    assert api.asked[-1].query == {"tail": "true", "execution_id": "e", "details": "true"}


def test_logs_of_a_job_whose_executions_all_failed_are_those_of_the_newest(run: Run, api: FakeApi) -> None:
    words = "failed to open log stream for job j: unable to find execution  in job j and job version 1"
    none = Answer(frames=[json.dumps({"error": words, "value": {"Type": 0, "Line": ""}})])
    some = Answer(frames=['{"value":{"Type":2,"Line":"the backtrace\\n"}}'])
    api.on(f"GET {JOBS}/n/logs", lambda asked: some if "execution_id" in asked.query else none)
    api.on(
        f"GET {JOBS}/n/executions",
        {"Items": [execution(ID="e-old", CreateTime=1), execution(ID="e-new", CreateTime=2)]},
    )
    ran = run("job", "logs", "n")
    assert (ran.code, ran.out) == (0, "")
    assert ran.err == "No execution of it went well; this is the newest one, e-new:\nthe backtrace\n"
    assert api.asked[-1].query["execution_id"] == "e-new"
    api.on(f"GET {JOBS}/n/executions", {"Items": []})
    assert words in run("job", "logs", "n").err


def test_logs_of_all_executions_have_their_ids_and_times_line_by_line(run: Run, api: FakeApi) -> None:
    other = ID.replace("j-", "e-")
    pieces = [("e-1", 1, "one\ntw", 10**9), (other, 2, "err\n", 2 * 10**9), ("e-1", 1, "o\nrest", 3 * 10**9)]
    frames = [
        json.dumps({"value": {"Type": kind, "Line": line}, "ExecutionID": e, "Time": time, "Seq": 7})
        for e, kind, line, time in pieces
    ]
    begin = json.dumps({"value": {"Type": 0, "Line": ""}, "Since": 0, "ExecutionID": ""})
    api.on(f"GET {JOBS}/n/logs", Answer(frames=[begin, *frames]))
    done = run("job", "logs", "--all", "--timestamps", "--since", "5m", "--from-seq", "3", "n")
    assert done.out == (
        "e-1 | 1970-01-01T00:00:01.000Z one\ne-1 | 1970-01-01T00:00:01.000Z two\n"
        "e-1 | 1970-01-01T00:00:03.000Z rest\n"
    )
    assert done.err == f"{other[:10]} | 1970-01-01T00:00:02.000Z err\n"
    sent = api.asked[-1].query
    assert (sent["all_executions"], sent["from_time"], sent["from_seq"]) == ("true", "5m", "3")

    lines = [json.loads(line) for line in run("job", "logs", "--output", "json", "n").out.splitlines()]
    assert lines[1] == {
        "ExecutionID": other,
        "Stream": "stderr",
        "Time": "1970-01-01T00:00:02.000Z",
        "Line": "err",
        "Seq": 7,
    }


def test_logs_refuses_what_makes_no_sense_before_it_asks(run: Run, api: FakeApi) -> None:
    assert run("job", "logs", "--all", "-e", "e-1", "n").code == 2
    assert "is not a time" in run("job", "logs", "--since", "soon", "n").err
    assert not api.asked


def test_rerun_watches_the_new_version(run: Run, api: FakeApi) -> None:
    ends(api, "Completed", [])
    api.on(f"PUT {JOBS}/n/rerun", {"JobID": ID, "JobVersion": 3, "EvaluationID": "v"})
    assert run("job", "rerun", "n", "-v", "2").code == 0
    assert api.of(f"PUT {JOBS}/n/rerun")[0].body["JobVersion"] == 2
    assert api.of(f"GET {JOBS}/{ID}/history")[0].query["job_version"] == "3"


def test_get_writes_the_results_and_may_be_repeated(run: Run, api: FakeApi, tmp_path: Path) -> None:
    def results(_: Asked) -> dict[str, Any]:
        url = f"{api.url}/{ONE}.tar.gz"
        return {"Items": [{"Type": "urlDownload", "Params": {"URL": url}}]}

    api.on(f"GET {JOBS}/n/results", results)
    api.on(f"GET {JOBS}/n/executions", {"Items": [execution()]})
    api.on(f"GET /{ONE}.tar.gz", Answer(archive(stdout="out")))
    for _ in range(2):
        ran = run("job", "get", "n")
        assert ran.code == 0
        assert ran.out == f"Results for job 'n' have been written to...\n{tmp_path}/job-n\n"
    assert (tmp_path / "job-n" / "stdout").read_text() == "out"
    assert run("job", "get", "n", "--output-dir", "nope").code == 1
    assert run("job", "get", "--namespace", "ns", "n/stdout").code == 0
    assert [p.name for p in (tmp_path / "job-ns-n").iterdir()] == ["stdout"]


def test_get_names_what_was_altered_and_fails(run: Run, api: FakeApi, tmp_path: Path) -> None:
    digest = {"Manifest": "sha256:" + "0" * 64}
    item = {"Type": "urlDownload", "Params": {"URL": f"{api.url}/{ONE}.tar.gz"}, "ResultDigest": digest}
    api.on(f"GET {JOBS}/n/results", {"Items": [item]})
    api.on(f"GET {JOBS}/n/executions", {"Items": [execution()]})
    api.on(f"GET /{ONE}.tar.gz", Answer(archive(stdout="out")))
    ran = run("job", "get", "n")
    assert (ran.code, ran.out) == (1, "")
    assert "not what their nodes published" in ran.err
    assert "e-00000001: manifest.json is missing" in ran.err
    assert not (tmp_path / "job-n").exists()


def test_get_takes_the_ipfs_flags_of_old_and_says_what_became_of_them(
    run: Run, api: FakeApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    api.on(f"GET {JOBS}/n/results", {"Items": []})
    dead = {
        "--ipfs-serve-path": "/x",
        "--ipfs-swarm-addr": "/ip4/1.2.3.4/tcp/4001",
        "--ipfs-swarm-addrs": "/ip4/1.2.3.4/tcp/4001",
        "--ipfs-swarm-key": "key",
        "--private-internal-ipfs=false": None,
    }
    args = [word for pair in dead.items() for word in pair if word]
    ran = run("job", "get", *args, "--download-timeout-secs", "5m0s", "--raw", "n")
    assert (ran.code, ran.out) == (0, "No results found\n")
    said = [line for line in ran.err.splitlines() if line.startswith("Warning:")]
    assert [line.split()[1] for line in said] == [flag.partition("=")[0] for flag in dead]
    assert all("has no effect" in line for line in said)
    assert "--ipfs-swarm" not in run("job", "get", "--help").out
    assert run("job", "get", "n").err.count("Warning") == 0


@pytest.mark.parametrize("address", ["/ip4/127.0.0.1/tcp/5001", "http://127.0.0.1:5001"])
def test_ipfs_connect_sets_the_node_to_fetch_from(run: Run, api: FakeApi, monkeypatch, address: str) -> None:
    seen = []
    settings = Caller.settings

    def listening(caller: Caller, *args: Any) -> Any:
        seen.append(settings(caller, *args))
        return seen[-1]

    monkeypatch.setattr(Caller, "settings", listening)
    api.on(f"GET {JOBS}/n/results", {"Items": []})
    assert run("job", "get", "--ipfs-connect", address, "n").code == 0
    assert seen[-1].result_downloaders.types.ipfs.endpoint == address
    assert run("job", "get", "--ipfs-connect", "somewhere", "n").code == 2


def test_get_of_a_job_without_results_makes_no_folder(run: Run, api: FakeApi, tmp_path: Path) -> None:
    api.on(f"GET {JOBS}/n/results", {"Items": []})
    ran = run("job", "get", "n")
    assert (ran.code, ran.out) == (0, "No results found\n")
    assert not (tmp_path / "job-n").exists()


def test_get_of_a_service_says_that_it_has_no_results(run: Run, api: FakeApi) -> None:
    api.on(f"GET {JOBS}/n/results", Answer({"Status": 500, "Message": "Internal server error"}, 500))
    api.on(f"GET {JOBS}/n", {"Job": job("Running", Type="service")})
    ran = run("job", "get", "n")
    assert ran.code == 1
    assert "a service job has no results" in ran.err


def test_nodes_are_listed_and_described(run: Run, api: FakeApi, recorded: dict[str, Any]) -> None:
    nodes = recorded["nodes"]["response"]
    api.on("GET /api/v1/orchestrator/nodes", nodes)
    api.on("GET /api/v1/orchestrator/nodes/n-1", {"Node": nodes["Nodes"][0]})
    header, row = run("node", "list", "--show", "features,version").out.splitlines()
    assert header.split() == [
        "ID",
        "TYPE",
        "APPROVAL",
        "STATUS",
        "ENGINES",
        "INPUTS",
        "FROM",
        "OUTPUTS",
        "VERSION",
        "ARCHITECTURE",
        "OS",
    ]
    assert "docker wasm" in row
    run("node", "list", "--filter-approval", "approved", "--filter-status", "connected", "--labels", "a=b")
    asked = {"filter-approval": "approved", "filter-status": "connected", "labels": "a=b"}
    assert api.asked[-1].query == asked
    assert yaml.safe_load(run("node", "describe", "n-1").out) == nodes["Nodes"][0]
    unknown = run("node", "list", "--show", "labels,feature")
    assert (unknown.code, unknown.out) == (2, "")
    assert "did you mean features?" in unknown.err


def test_agent_and_version(run: Run, api: FakeApi, recorded: dict[str, Any]) -> None:
    api.on("GET /api/v1/agent/version", recorded["agent version"]["response"])
    api.on("GET /api/v1/agent/config", recorded["agent config"]["response"])
    assert run("agent", "version").out.splitlines()[0] == "Bacalhau v1.9.3"
    assert json.loads(run("version", "--output", "json").out)["serverVersion"] == "v1.9.3"
    assert "API:" in run("agent", "config").out
    offline = run("version", "--api-host", "http://127.0.0.1:9", "--output", "csv")
    assert offline.code == 0
    assert offline.out.startswith("client\nv")
    assert "not known" in offline.err


def test_config_set_and_list(run: Run, tmp_path: Path) -> None:
    ran = run("config", "set", "orchestrator.port=5000")
    assert ran.out == f"Writing config to {tmp_path}/.bacalhau/config.yaml\n"
    listed = json.loads(run("config", "list", "--output", "json").out)
    assert {"Key": "Orchestrator.Port", "Value": 5000}.items() <= next(
        item for item in listed if item["Key"] == "Orchestrator.Port"
    ).items()
    assert run("config", "set", "orchestrator.prot=1").code == 1
    assert run("config", "set", "a.yaml", "-c", "x.txt").code == 1


def test_a_list_of_settings_tells_where_each_comes_from_when_asked(run: Run, tmp_path: Path) -> None:
    (tmp_path / ".bacalhau").mkdir()
    file = tmp_path / ".bacalhau" / "config.yaml"
    file.write_text("Cell: ours\nAPI:\n  Port: 5\n")

    def sources(*args: str) -> dict[str, str]:
        items = json.loads(run("config", "list", "--wide", "--output", "json", *args, LOG_LEVEL="warn").out)
        return {item["Key"]: item["Source"] for item in items if item["Source"] != "default"}

    given = sources("--api-port", "7", "-c", "Compute.Enabled")
    assert given == {
        "Cell": f"{file}:1",
        "API.Host": "the variable BACALHAU_API_HOST",
        "API.Port": "the flag for API.Port",
        "Compute.Enabled": "-c",
        "Logging.Level": "the variable LOG_LEVEL",
    }
    listed = run("config", "list", "--output", "csv").out.splitlines()
    assert listed[0] == "Key,Value,Description"
    assert run("config", "list", "--wide", "--output", "csv").out.startswith("Key,Value,Description,Source\n")
    assert yaml.safe_load(run("config", "list", "--output", "yaml").out)["Cell"] == "ours"


def test_validate_names_every_mistake_with_its_place(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "node.yaml"
    file.write_text(
        "API:\n  Prot: 1\n  Port: many\nCompute:\n  Enabled: true\n  Enabled: false\n"
        "  Heartbeat: 5\nLabels: a\nPublishers: {Disabled: [1, 2], Types: {S3: {PreSignedURLDisable: 1}}}\n"
    )
    ran = run("config", "validate", "node.yaml")
    assert (ran.code, ran.out) == (1, "")
    assert ran.err.splitlines() == [
        'Error: node.yaml:2:3: "API.Prot" is not a valid config key',
        "Hint: did you mean API.Port or API.Host?",
        (
            'Error: node.yaml:3:3: API.Port: "many" cannot be used: Input should be a valid integer, unable to '
            "parse string as an integer"
        ),
        "Hint: expected a whole number",
        "Error: node.yaml:6:3: Compute.Enabled is given twice",
        "Hint: remove one of them",
        "Error: node.yaml:7:14: expected keys with values below Compute.Heartbeat",
        "Hint: run `bacalhau config list` to see all keys",
        "Error: node.yaml:8:1: Labels: \"a\" cannot be used: 'a' is not of the form name=value",
        "Hint: expected pairs such as a=b,c=d",
        'Error: node.yaml:9:45: "Publishers.Types.S3.PreSignedURLDisable" is not a valid config key',
        (
            "Hint: did you mean Publishers.Types.S3.PreSignedURLDisabled or "
            "Publishers.Types.S3.PreSignedURLExpiration or Publishers.Types.S3Managed.PreSignedURLExpiration?"
        ),
    ]


def test_validate_of_a_good_file_says_ok_and_what_has_no_meaning(run: Run, tmp_path: Path) -> None:
    (tmp_path / ".bacalhau").mkdir()
    file = tmp_path / ".bacalhau" / "config.yaml"
    file.write_text(
        "StrictVersionMatch: true\nCompute: {Network: {PortRangeStart: 40000, PortRangeEnd: 41000}}\n"
    )
    assert run("config", "validate") == (
        0,
        "OK\n",
        f"Warning: {file}:1: StrictVersionMatch has no meaning here\n",
    )
    file.write_text("Compute: {Network: {PortRangeStart: 40000, PortRangeEnd: 39000}}\n")
    assert run("config", "validate").code == 1, "a rule over two keys"
    file.write_text("API: {\n")
    assert "is no valid YAML" in run("config", "validate").err
    assert run("config", "validate", "none.yaml").code == 1
