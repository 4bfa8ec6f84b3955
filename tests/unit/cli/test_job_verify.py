"""What `job verify` prints of a comparison, and how it exits."""

from __future__ import annotations

import json
from typing import Any

import pytest

from bacalhau_nats.client import verify as module
from bacalhau_nats.client.verify import Verification, Verified
from bacalhau_nats.domain.agreement import Run, judge
from bacalhau_nats.domain.manifest import Difference
from tests.unit.cli.conftest import Run as Call

GOOD, BAD = "sha256:" + "a" * 64, "sha256:" + "b" * 64


def a_verification(*outputs: str, whole: bool = True) -> Verification:
    runs = tuple(
        Run(f"e-{n}2345678-x", f"n{n}", made, job="j-1" if n == 0 else f"j-v{n}")
        for n, made in enumerate(outputs)
    )
    judgement = judge(runs)
    files = {one: (Difference("data/a", "is missing"),) for one in judgement.odd if judgement.decided}
    return Verification("j-1", whole, ("j-v1",), (Verified(0, runs, judgement, files),))


@pytest.fixture
def compared(monkeypatch: pytest.MonkeyPatch) -> Any:
    def give(found: Verification) -> dict[str, Any]:
        asked: dict[str, Any] = {}

        async def verify(client: Any, job: str, **how: Any) -> Verification:
            asked.update(how, job=job)
            return found

        monkeypatch.setattr(module, "verify", verify)
        return asked

    return give


def test_runs_that_agree_are_listed_and_all_is_well(run: Call, compared: Any) -> None:
    asked = compared(a_verification(GOOD, GOOD))
    ran = run("job", "verify", "--nodes", "1", "mine")
    assert (asked["job"], asked["nodes"]) == ("mine", 1)
    lines = ran.out.splitlines()
    assert [line.split()[-1] for line in lines] == ["RESULT", "agrees", "agrees"]
    assert [line.split()[3] for line in lines[1:]] == ["original", "rerun"]
    assert ran.code == 0


def test_the_node_that_differs_is_named_with_its_files_and_the_command_fails(
    run: Call, compared: Any
) -> None:
    compared(a_verification(GOOD, GOOD, BAD))
    ran = run("job", "verify", "mine")
    assert ran.code == 1
    assert [line.split()[-1] for line in ran.out.splitlines()[1:]] == ["agrees", "agrees", "differs"]
    assert "node n2 made something else than the others" in ran.err
    assert "data/a is missing" in ran.err


def test_without_a_majority_nobody_is_accused(run: Call, compared: Any) -> None:
    compared(a_verification(GOOD, BAD))
    ran = run("job", "verify", "mine")
    assert ran.code == 1
    assert "no majority" in ran.err
    assert "made something else" not in ran.err


def test_programs_get_everything(run: Call, compared: Any) -> None:
    compared(a_verification(GOOD, GOOD, BAD))
    found = json.loads(run("job", "verify", "mine", "--output", "json").out)
    assert (found["JobID"], found["Agrees"], found["AllOutputs"]) == ("j-1", False, True)
    assert [row["Result"] for row in found["Runs"]] == ["agrees", "agrees", "differs"]
    assert found["Runs"][2]["Files"] == [{"Path": "data/a", "What": "is missing"}]


def test_it_says_when_not_all_outputs_could_be_compared(run: Call, compared: Any) -> None:
    compared(a_verification("record:1", "record:1", whole=False))
    ran = run("job", "verify", "mine")
    assert ran.code == 0
    assert "publishes no results" in ran.err


def test_nodes_must_be_at_least_one(run: Call) -> None:
    assert run("job", "verify", "--nodes", "0", "mine").code == 2
