"""Which nodes a stack has, and how each is started."""

from __future__ import annotations

from pathlib import Path

import pytest
from bacalhau_cli.commands.devstack import Member, arguments, plan

from bacalhau_nats.errors import UserError


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
