"""``job watch`` and ``job explain`` as people and programs see them."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest
from bacalhau_cli import watching
from bacalhau_cli.watching import changes
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from bacalhau_nats.client import LogLine
from tests.unit.cli.conftest import Run
from tests.unit.cli.test_commands import ID, JOBS, ONE, event, execution, job
from tests.unit.client.fake_api import Answer, Asked, FakeApi


def going(api: FakeApi, *stages: tuple[str, list[dict[str, Any]]]) -> None:
    """Let a job go through stages, one for each look at it."""
    answers = [{"Job": job(state), "Executions": {"Items": found}} for state, found in stages]
    api.on(f"GET {JOBS}/n", [answers[0]])
    api.on(f"GET {JOBS}/{ID}", answers[1:] or answers)
    page = {"NextToken": "t", "Items": [event("Running", "Execution", execution_id=ONE)]}
    api.on(f"GET {JOBS}/{ID}/history", [page, page, {"NextToken": "", "Items": []}])


def test_off_a_terminal_each_change_is_a_line_and_the_code_is_the_jobs(run: Run, api: FakeApi) -> None:
    failed = execution(10, ComputeState={"StateType": 10, "Message": "no such\nimage"})
    going(api, ("Pending", []), ("Running", [execution(5)]), ("Failed", [failed]))
    done = run("job", "watch", "n")
    assert done.code == 3
    assert [line.split("  ", 1)[1] for line in done.out.splitlines()] == [
        "job                       Pending",
        "e-00000001 on n-1         Running",
        "job                       Running",
        "e-00000001 on n-1         Failed: no such image",
        "job                       Failed",
    ]


def test_programs_get_an_object_for_each_change(run: Run, api: FakeApi) -> None:
    going(api, ("Running", [execution(5)]), ("Completed", [execution(9)]))
    done = run("job", "watch", "--output", "json", "n")
    rows = [json.loads(line) for line in done.out.splitlines()]
    assert done.code == 0
    assert [(row.get("ExecutionID", ""), row["State"]) for row in rows] == [
        ("", "Running"),
        (ONE, "BidAccepted"),
        (ONE, "Completed"),
        ("", "Completed"),
    ]
    assert all(row["JobID"] == ID and row["Time"].endswith("Z") for row in rows)


def test_a_server_that_is_away_for_a_moment_does_not_end_the_watching(run: Run, api: FakeApi) -> None:
    going(api, ("Running", [execution(5)]), ("Stopped", [execution(11)]))
    away = Answer({"Message": "starting", "Code": "ServiceUnavailable"}, 503)
    pages = [{"NextToken": "t", "Items": []}, away, away, {"NextToken": "", "Items": []}]
    api.on(f"GET {JOBS}/{ID}/history", pages)
    assert run("job", "watch", "n").code == 4


def test_a_job_that_is_not_there_is_one_error(run: Run, api: FakeApi) -> None:
    assert run("job", "watch", "nobody").code == 1


def test_on_a_terminal_the_picture_holds_states_places_and_the_last_lines() -> None:
    board = watching._Board({"ID": ID, "Name": "my-job"}, lines=2)
    board.look(job("Running"), [execution(5)])
    board.event(event("Requested execution on n-1", "Scheduling", execution_id=ONE))
    for text in ("one\n", "two\n", "thr\x1b]0;x\x07ee\n"):
        board.piece(LogLine("stdout", text, ONE))
    out = io.StringIO()
    Console(file=out, width=90).print(board)
    lines = [line.rstrip() for line in out.getvalue().splitlines()]
    assert lines[0].startswith(f"Job {ID[:10]}  Running  my-job  0s")
    assert lines[2].split() == ["e-00000001", "n-1", "Running", "Requested", "execution", "on", "n-1"]
    assert lines[4:] == ["  LAST OUTPUT", "  e-00000001 │ two", "  e-00000001 │ thr\ufffd]0;x\ufffdee"]


STATES = st.lists(
    st.tuples(st.sampled_from(["Pending", "Running"]), st.lists(st.integers(1, 11), max_size=3))
)


@given(STATES)
def test_each_change_is_told_once_and_what_stays_is_not(looks: list[tuple[str, list[int]]]) -> None:
    known: dict[str, str] = {}
    for state, numbers in looks:
        found = [
            {"ID": f"e-{at}", "ComputeState": {"StateType": number}} for at, number in enumerate(numbers)
        ]
        before = dict(known)
        told = list(changes(known, job(state), found))  # type: ignore[arg-type]
        assert all(before.get(row.get("ExecutionID") or ID) != row["State"] for row in told)
        assert not list(changes(known, job(state), found))  # type: ignore[arg-type]


NODE = {
    "Verdict": "chosen",
    "Reason": "its bid came first",
    "CouldRunNow": True,
    "WhyNotNow": "",
    "Answers": [],
}
EXPLAINED = {
    "JobID": ID,
    "JobName": "n",
    "JobVersion": 2,
    "State": "Failed",
    "Message": "not enough\nnodes",
    "Nodes": [
        {**NODE, "NodeID": "n-1", "Executions": [{"ID": ONE, "State": "Running"}]},
        {**NODE, "NodeID": "n-2", "Verdict": "declined", "Reason": "is busy", "Executions": []},
        {
            **NODE,
            "NodeID": "n-3",
            "Verdict": "unsuitable",
            "Reason": "has left",
            "CouldRunNow": False,
            "WhyNotNow": "has left",
            "Executions": [],
        },
    ],
}


def test_an_explanation_is_a_row_for_each_node(run: Run, api: FakeApi) -> None:
    def answer(asked: Asked) -> dict[str, Any]:
        assert asked.query == {"job_version": "2", "namespace": "x"}
        return EXPLAINED

    api.on(f"GET {JOBS}/n/explain", answer)
    done = run("job", "explain", "n", "--job-version", "2", "--namespace", "x")
    lines = done.out.splitlines()
    assert lines[:3] == [f"Job {ID} (n), version 2: Failed", "not enough", "nodes"]
    assert lines[4].split() == ["NODE", "VERDICT", "WHY", "NOW"]
    assert lines[5].endswith("e-00000001 Running")
    assert lines[6].endswith("could run it")
    assert lines[7].split()[-4:] == ["has", "left", "the", "same"]


@pytest.mark.parametrize("form", ["json", "yaml", "csv"])
def test_an_explanation_for_programs_is_data_only(run: Run, api: FakeApi, form: str) -> None:
    api.on(f"GET {JOBS}/n/explain", EXPLAINED)
    out = run("job", "explain", "n", "--output", form).out
    if form == "json":
        assert json.loads(out) == EXPLAINED
    assert out.startswith({"json": "{", "yaml": "JobID:", "csv": "Node,Verdict,Why,Now"}[form])
