"""What is printed into a pipe: data on stdout, the rest on stderr, and no colour anywhere."""

from __future__ import annotations

import csv
import json
from typing import Any

import pytest
import yaml

from tests.unit.cli.conftest import Run
from tests.unit.client.fake_api import FakeApi

JOBS = "/api/v1/orchestrator/jobs"
NODES = "/api/v1/orchestrator/nodes"
AGENT = "/api/v1/agent"

LISTS = [
    "job list",
    "job executions n",
    "job history n",
    "job versions n",
    "node list",
    "node list --show labels,version,features,capacity",
    "config list",
    "version",
]
DOCUMENTS = [
    "job describe n",
    "node describe n-1",
    "agent alive",
    "agent config",
    "agent node",
    "agent version",
]
SAYS = ["completion bash", "config set API.Port=1", "config validate", "node approve n-1", "help job"]


@pytest.fixture
def server(api: FakeApi, recorded: dict[str, Any]) -> FakeApi:
    nodes = recorded["nodes"]["response"]
    jobs = {"Items": [recorded["describe"]["response"]["Job"]], "NextToken": "more"}
    for path, answer in {
        JOBS: jobs,
        f"{JOBS}/n": recorded["describe"]["response"],
        f"{JOBS}/n/executions": recorded["executions"]["response"],
        f"{JOBS}/n/history": recorded["history"]["response"],
        f"{JOBS}/n/versions": recorded["versions"]["response"],
        NODES: nodes,
        f"{NODES}/n-1": {"Node": nodes["Nodes"][0]},
        f"{AGENT}/alive": {"Status": "OK"},
        f"{AGENT}/config": recorded["agent config"]["response"],
        f"{AGENT}/node": nodes["Nodes"][0]["Info"],
        f"{AGENT}/version": recorded["agent version"]["response"],
    }.items():
        api.on(f"GET {path}", answer)
    api.on(f"PUT {NODES}/n-1", {"Success": True})
    return api


@pytest.mark.parametrize("command", LISTS)
def test_a_list_can_be_read_by_programs_in_every_form(run: Run, server: FakeApi, command: str) -> None:
    args = command.split()
    table, wide = run(*args), run(*args, "--wide")
    for ran in (table, wide):
        assert ran.code == 0
        assert "\x1b" not in ran.out + ran.err
    rows = table.out.splitlines()
    assert len(rows) == len(wide.out.splitlines()) > 1, "a row is a line"
    assert rows[0] == rows[0].upper()
    bare = run(*args, "--hide-header").out.splitlines()
    assert [row.split() for row in bare] == [row.split() for row in rows[1:]]
    assert run(*args, "--no-style").out == table.out
    read = [list(csv.reader(run(*args, "--output", "csv").out.splitlines()))]
    assert len({len(row) for row in read[0]}) == 1
    assert yaml.safe_load(run(*args, "--output", "yaml").out)
    as_json = run(*args, "--output", "json")
    assert json.loads(as_json.out) == json.loads(run(*args, "--output", "json", "--pretty").out)
    assert isinstance(json.loads(as_json.out), dict if command == "version" else list)


@pytest.mark.parametrize("command", DOCUMENTS)
def test_a_document_can_be_read_by_programs(run: Run, server: FakeApi, command: str) -> None:
    args = command.split()
    assert "\x1b" not in "".join(map(str, run(*args)))
    as_json, as_yaml = run(*args, "--output", "json"), run(*args, "--output", "yaml")
    assert json.loads(as_json.out) == yaml.safe_load(as_yaml.out)
    assert as_json.err == as_yaml.err == ""


@pytest.mark.parametrize("command", [*LISTS, *DOCUMENTS, *SAYS])
def test_with_quiet_nothing_but_data_is_said(run: Run, server: FakeApi, tmp_path, command: str) -> None:
    (tmp_path / ".bacalhau").mkdir()
    (tmp_path / ".bacalhau" / "config.yaml").write_text("StrictVersionMatch: true\n")
    told, quiet = run(*command.split()), run("--quiet", *command.split())
    assert (quiet.code, quiet.out, quiet.err) == (0, told.out, "")
    assert "\x1b" not in told.err


def test_quiet_does_not_hide_errors_and_lasts_for_one_command(run: Run, server: FakeApi) -> None:
    assert "Error: no /api/v1" in run("--quiet", "job", "describe", "nope").err
    assert "To fetch more" in run("job", "list").err
    assert run("job", "list", "--quiet").err == ""
    assert "To fetch more" in run("job", "list").err
