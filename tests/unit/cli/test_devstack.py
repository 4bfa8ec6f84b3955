"""Which nodes a stack has, and how each is started."""

from __future__ import annotations

from pathlib import Path

import pytest
from bacalhau_cli.commands import devstack
from bacalhau_cli.commands.devstack import Member, arguments, plan

from bacalhau_nats.errors import UserError
from tests.unit.cli.conftest import Run


def test_the_first_node_is_an_orchestrator() -> None:
    assert [member.name for member in plan(1, 1, 2)] == [
        "orchestrator-1",
        "hybrid-1",
        "compute-1",
        "compute-2",
    ]
    assert plan(0, 1, 0) == [Member("hybrid-1", orchestrator=True, compute=True)]
    with pytest.raises(UserError, match="needs an orchestrator"):
        plan(0, 0, 3)


def test_others_join_the_nats_server_of_the_first() -> None:
    first, hybrid, compute = plan(1, 1, 1)
    shared = ["Cell=test"]
    alone = arguments(first, Path("/d"), shared, "", first_fixed=True)
    assert alone[:6] == [
        "serve",
        "--until-eof",
        "--name",
        "orchestrator-1",
        "--data-dir",
        "/d/orchestrator-1",
    ]
    assert alone[6:] == ["--orchestrator", "-c", "Cell=test"]
    anywhere = arguments(first, Path("/d"), (), "", first_fixed=False)
    assert anywhere[7:] == ["-c", "API.Port=0", "-c", "Orchestrator.Port=0"]
    both = arguments(hybrid, Path("/d"), (), "nats://h:1", first_fixed=False)
    assert "Orchestrator.URLs=nats://h:1" in both
    assert "Compute.Orchestrators=nats://h:1" in both
    one = arguments(compute, Path("/d"), (), "nats://h:1", first_fixed=False)
    assert "--orchestrator" not in one
    assert {"API.Port=0", "Publishers.Types.Local.Port=0"} <= set(one)


@pytest.fixture
def planned(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int, int]]:
    """Note the numbers of nodes that a command line asks for, and start none."""
    asked: list[tuple[int, int, int]] = []

    def note(*numbers: int) -> list[Member]:
        asked.append(numbers)  # type: ignore[arg-type]
        raise UserError("enough")

    monkeypatch.setattr(devstack, "plan", note)
    return asked


def test_flags_under_their_other_names_count_and_say_the_name_here(
    run: Run, planned: list[tuple[int, int, int]]
) -> None:
    run("devstack")
    named = run("devstack", "--compute-nodes", "0", "--requester-nodes=2", "--hybrid-nodes", "5")
    assert planned == [(1, 0, 3), (2, 5, 0)]
    for former, name in (("compute-nodes", "computes"), ("requester-nodes", "orchestrators")):
        assert f"--{former} is the former name of --{name}" in named.err
    both = run("devstack", "--computes", "1", "--compute-nodes", "2")
    assert (both.code, len(planned)) == (2, 2)
    assert "--compute-nodes" not in run("devstack", "--help").out


def test_flags_without_a_meaning_here_are_taken_and_said_to_have_none(
    run: Run, planned: list[tuple[int, int, int]]
) -> None:
    flags = ["--bad-computes", "--bad-compute-actors", "--cpu-profiling-file", "--memory-profiling-file"]
    told = run("devstack", *(part for flag in flags for part in (flag, "1"))).err
    assert [flag for flag in flags if f"{flag} has no effect: " not in told] == []
    assert "no effect" not in run("devstack", "--bad-computes", "0").err
    assert planned == [(1, 0, 3)] * 2
