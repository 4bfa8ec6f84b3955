"""Deciding about nodes: approve, reject, delete, cordon, uncordon, drain."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.cli.conftest import Run
from tests.unit.client.fake_api import Answer, FakeApi

NODE = "/api/v1/orchestrator/nodes/n-1"


def node(**scheduling: Any) -> dict[str, Any]:
    state = {"Info": {"NodeID": "n-1"}, "Membership": "APPROVED", "Connection": "CONNECTED"}
    return {"Node": state | ({"Scheduling": scheduling} if scheduling else {})}


@pytest.mark.parametrize("action", ["approve", "reject", "delete", "cordon", "uncordon"])
def test_a_decision_is_sent_and_answered_with_ok(run: Run, api: FakeApi, action: str) -> None:
    api.on(f"PUT {NODE}", {"Success": True})
    assert run("node", action, "n-1", "-m", "why not") == (0, "Ok\n", "")
    assert api.asked[-1].body == {"Action": action, "Message": "why not", "NodeID": "n-1"}


@pytest.mark.parametrize("action", ["approve", "reject", "delete", "cordon", "uncordon"])
def test_a_refusal_is_an_error(run: Run, api: FakeApi, action: str) -> None:
    """Bacalhau ends with 0 when the answer says that it did not succeed."""
    api.on(f"PUT {NODE}", {"Success": False, "Error": "not today"})
    assert run("node", action, "n-1") == (1, "", "Error: not today\n")
    refusal = {"Status": 409, "Message": "node n-1 already approved", "Code": "ConflictNodeState"}
    api.on(f"PUT {NODE}", Answer(refusal, 409))
    assert run("node", action, "n-1") == (1, "", "Error: node n-1 already approved\n")


def test_a_drain_is_watched_to_its_end(run: Run, api: FakeApi) -> None:
    api.on(f"PUT {NODE}", {"Success": True})
    two = node(State="DRAINING", Remaining=["e-00000001-a", "e-00000002-b"], Daemons=["e-00000003-c"])
    one = node(State="DRAINING", Remaining=["e-00000002-b"], Daemons=["e-00000003-c"])
    none = node(State="DRAINED", Remaining=[], Daemons=["e-00000003-c"])
    api.on(f"GET {NODE}", [node(), two, one, none])
    ran = run("node", "drain", "--ignore-daemons", "n-1")
    assert (ran.code, ran.out) == (0, "Ok\n")
    assert ran.err.splitlines()[1:] == [
        "2 to go: e-00000001-a, e-00000002-b",
        "e-00000001-a left, 1 to go",
        "e-00000002-b left, 0 to go",
        "Daemons stay: e-00000003-c",
    ]
    assert api.of(f"PUT {NODE}")[0].body["IgnoreDaemons"] is True


def test_a_drain_that_takes_too_long_says_what_is_left_and_goes_on(run: Run, api: FakeApi) -> None:
    api.on(f"PUT {NODE}", {"Success": True})
    api.on(f"GET {NODE}", [node(), node(State="DRAINING", Remaining=["e-1"])])
    ran = run("node", "drain", "--timeout", "50ms", "n-1")
    assert (ran.code, ran.out) == (5, "")
    assert "Error: node n-1 is not empty after 0.05 s: e-1" in ran.err
    assert "bacalhau node uncordon n-1" in ran.err


def test_a_drain_that_runs_already_is_only_watched(run: Run, api: FakeApi) -> None:
    api.on(f"GET {NODE}", node(State="DRAINED", Remaining=[]))
    assert run("node", "drain", "n-1").out == "Ok\n"
    assert not api.of(f"PUT {NODE}")


def test_a_drain_that_somebody_ends_says_so(run: Run, api: FakeApi) -> None:
    api.on(f"PUT {NODE}", {"Success": True})
    api.on(f"GET {NODE}", [node(), node(State="DRAINING", Remaining=["e-1"]), node()])
    ran = run("node", "drain", "n-1")
    assert ran.code == 1
    assert "somebody has opened node n-1 again" in ran.err


def test_a_drain_need_not_be_watched(run: Run, api: FakeApi) -> None:
    api.on(f"PUT {NODE}", {"Success": True})
    api.on(f"GET {NODE}", node())
    assert run("node", "drain", "--wait=false", "--quiet", "n-1") == (0, "Ok\n", "")


def test_a_list_shows_which_nodes_are_cordoned(run: Run, api: FakeApi) -> None:
    listed = [node(State="CORDONED")["Node"], node(State="DRAINED")["Node"], node()["Node"]]
    api.on("GET /api/v1/orchestrator/nodes", {"Nodes": listed})
    rows = run("node", "list", "--show", "version", "--hide-header").out.splitlines()
    assert [row.split()[-1] for row in rows] == ["CONNECTED,CORDONED", "CONNECTED,DRAINED", "CONNECTED"]
