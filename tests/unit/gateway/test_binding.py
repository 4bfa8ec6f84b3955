"""How queries and bodies become requests: the rules of the public server, each seen at a server of 1.9.3."""

from __future__ import annotations

import base64
import json
from typing import Any

import httpx
import pytest

from tests.support.gateway_world import JOBS, ME, NODES, GatewayWorld
from tests.unit.domain.drafts import a_draft

JSON = {"content-type": "application/json"}
LISTS = (JOBS, f"{JOBS}/a/executions", f"{JOBS}/a/history", f"{JOBS}/a/versions", f"{JOBS}/a/results", NODES)
VERSIONED = (f"{JOBS}/a/executions", f"{JOBS}/a/history")


async def a_world() -> GatewayWorld:
    world = GatewayWorld()
    for name in "abc":
        assert (await world.put(a_draft(Name=name))).status_code == 200
    return world


async def ask(world: GatewayWorld, path: str, said: Any) -> httpx.Response:
    """Ask with GET and a body."""
    return await world.http.request("GET", path, content=json.dumps(said), headers=JSON)


def names(answer: httpx.Response) -> list[str]:
    assert answer.status_code == 200, answer.text
    return [job["Name"] for job in answer.json()["Items"]]


# --- queries ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "query",
    ["limit=x", "limit=-1", "limit=1.0", "limit=%201", "limit=0x1", "limit=1_0", "limit=4294967296", "LIMIT=x",
     "limit=x&limit=1", "reverse=x", "reverse=2", "reverse=tRUE", "Reverse=yes"],
)  # fmt: skip
@pytest.mark.parametrize("path", LISTS)
async def test_every_list_understands_limit_and_reverse_or_refuses(path: str, query: str) -> None:
    answer = await (await a_world()).http.get(f"{path}?{query}")
    assert (answer.status_code, answer.json()["Code"]) == (400, "InternalError")
    assert answer.json()["Message"].startswith("code=400, message=strconv.Parse")


@pytest.mark.parametrize(
    "query",
    ["limit=", "reverse=", "Reverse=T&LIMIT=2", "limit=1&limit=x", "limit=%zz", "%zz=x&limit=%", "limit=1;reverse=x",
     "limit;x=1", "&&&", "=", "foo=bar", "filter-approval=", "next_token=", "order_by="],
)  # fmt: skip
@pytest.mark.parametrize("path", LISTS)
async def test_empty_repeated_and_unreadable_parts_of_a_query_say_nothing(path: str, query: str) -> None:
    assert (await (await a_world()).http.get(f"{path}?{query}")).status_code == 200


@pytest.mark.parametrize(
    "query", ["job_version=x", "job_version=-1", f"job_version={2**64}", "all_job_versions=x"]
)
@pytest.mark.parametrize("path", VERSIONED)
async def test_versions_are_numbers_and_truths(path: str, query: str) -> None:
    assert (await (await a_world()).http.get(f"{path}?{query}")).status_code == 400


async def test_a_node_is_described_whatever_else_is_said() -> None:
    world = await a_world()
    for query in ("limit=x", "reverse=x", "namespace=zz"):
        assert (await world.http.get(f"{NODES}/{ME}?{query}")).status_code == 200
    broken = await world.http.request("GET", f"{NODES}/{ME}", content="{bad", headers=JSON)
    assert broken.status_code == 200


async def test_namespaces_of_a_query_count_for_delete_and_not_for_put() -> None:
    world = GatewayWorld()
    endless = a_draft(Name="s", Type="service", Count=0)
    assert (await world.http.put(f"{JOBS}?namespace=zz", json={"Job": endless})).status_code == 200
    assert (await world.http.get(f"{JOBS}/s")).json()["Job"]["Namespace"] == "default"
    assert (await world.http.delete(f"{JOBS}/s?namespace=zz")).status_code == 404
    assert (await world.http.put(f"{JOBS}/s/rerun?namespace=zz", json={})).json()["Code"] == ""
    assert (await world.http.delete(f"{JOBS}/s?namespace=default&reason=x")).status_code == 200


# --- a body that comes with a GET -------------------------------------------------------------------------


async def test_a_body_says_it_again_and_goes_before_the_query() -> None:
    world = await a_world()
    assert names(await ask(world, f"{JOBS}?limit=1", {"Limit": 2})) == ["a", "b"]
    assert names(await ask(world, f"{JOBS}?limit=1", {"LIMIT": 2, "reverse": True})) == ["c", "b"]
    assert names(await ask(world, JOBS, {"Namespace": "zz"})) == []
    assert names(await ask(world, f"{JOBS}?limit=1", {"Limit": None, "Unknown": {}})) == ["a"]
    token = (await world.http.get(f"{JOBS}?limit=1")).json()["NextToken"]
    assert names(await ask(world, JOBS, {"NextToken": token})) == ["b"]
    described = (await ask(world, f"{JOBS}/a", {"Include": "history"})).json()
    assert described["History"]["Items"]
    assert (await ask(world, f"{JOBS}/a", {"Namespace": "zz"})).status_code == 404
    assert (await ask(world, JOBS, {"OrderBy": "zz"})).status_code == 500
    history = await ask(world, f"{JOBS}/a/history", {"Since": -1, "EventType": "zz"})
    assert history.status_code == 400
    assert [line[:33] for line in history.json()["Message"].splitlines()] == [
        "Key: 'ListJobHistoryRequest.Since",
        "Key: 'ListJobHistoryRequest.Event",
    ]


@pytest.mark.parametrize(
    ("path", "said"),
    [
        (JOBS, []),
        (JOBS, {"Limit": "1"}),
        (JOBS, {"Limit": 2**32}),
        (JOBS, {"Reverse": "true"}),
        (NODES, {"OrderBy": 1}),
        (f"{JOBS}/a", {"Namespace": 5}),
        (f"{JOBS}/a", {"Include": ["history"]}),
        (f"{JOBS}/a/executions", {"JobVersion": -1}),
        (f"{JOBS}/a/history", {"Since": "x"}),
        (f"{JOBS}/a/results", {"Limit": 1.0}),
    ],
)
async def test_a_body_of_the_wrong_type_is_refused_even_with_a_get(path: str, said: Any) -> None:
    answer = await ask(await a_world(), path, said)
    assert answer.status_code == 400
    assert "Unmarshal type error" in answer.json()["Message"]


# --- bodies of writes -------------------------------------------------------------------------------------


@pytest.mark.parametrize("wrong", ["text", [], {"Scheme": 1}, {"Value": []}, {"Params": {"a": 1}}])
async def test_a_credential_in_a_body_is_not_looked_at_but_must_be_one(wrong: Any) -> None:
    world = await a_world()
    for method, path in (
        ("PUT", JOBS),
        ("PUT", f"{JOBS}/diff"),
        ("DELETE", f"{JOBS}/a"),
        ("PUT", f"{NODES}/{ME}"),
    ):
        answer = await world.http.request(method, path, json={"Credential": wrong})
        assert (answer.status_code, "Unmarshal" in answer.json()["Message"]) == (400, True)
    good = {"Scheme": "Bearer", "Value": "v", "Params": None}
    assert (await world.put(a_draft(Name="z"), Credential=good)).status_code == 200


@pytest.mark.parametrize(
    ("cut", "why"),
    [
        ('{"Job":', "unexpected EOF"),
        ('{"Job":{"Type":"ba', "unexpected EOF"),
        ('{"Job"', "unexpected EOF"),
        ("  ", "EOF"),
    ],
)
async def test_a_body_cut_short_is_refused(cut: str, why: str) -> None:
    answer = await GatewayWorld().http.put(JOBS, content=cut, headers=JSON)
    assert (answer.status_code, answer.json()["Message"].endswith(why)) == (400, True)


@pytest.mark.parametrize(
    "media", ["", "text/plain", "APPLICATION/JSON", "application/jsonp", "text/json", "*/*"]
)
async def test_a_body_of_another_media_type_is_refused(media: str) -> None:
    world = GatewayWorld()
    for method, path in (
        ("PUT", JOBS),
        ("DELETE", f"{JOBS}/a"),
        ("GET", f"{JOBS}/a"),
        ("PUT", f"{NODES}/{ME}"),
    ):
        answer = await world.http.request(method, path, content="{}", headers={"content-type": media})
        assert (answer.status_code, "code=415" in answer.json()["Message"]) == (400, True), path


# --- tokens -----------------------------------------------------------------------------------------------


def token(text: str) -> str:
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


async def test_only_a_capital_y_turns_a_list_round_and_a_padded_token_is_none() -> None:
    world = await a_world()
    assert names(await world.http.get(f"{JOBS}?next_token={token(':Y:1:0')}")) == ["c"]
    for flag in ("N", "y", "X", ""):
        assert names(await world.http.get(f"{JOBS}?next_token={token(f':{flag}:1:0')}")) == ["a"]
    padded = await world.http.get(f"{JOBS}?next_token={token(':N:1:20')}%3D%3D")
    assert padded.status_code == 400


async def test_a_token_of_another_query_goes_before_order_and_limit_but_not_before_filters() -> None:
    world = await a_world()
    first = (await world.http.get(f"{JOBS}?limit=1&reverse=true&order_by=modified_at")).json()["NextToken"]
    assert names(await world.http.get(f"{JOBS}?next_token={first}&order_by=zz&limit=9")) == ["b"]
    assert names(await world.http.get(f"{JOBS}?next_token={first}&namespace=zz")) == []
    history = await world.http.get(f"{JOBS}/a/history?next_token={first}")
    assert [item["SeqNum"] for item in history.json()["Items"]] == [1]
    beyond = await world.http.get(f"{JOBS}?next_token={token(':N:1:99')}")
    assert (beyond.json()["Items"], beyond.json()["NextToken"]) == ([], "")


async def test_a_token_of_a_history_carries_the_limit_that_was_asked_for_and_no_other() -> None:
    world = GatewayWorld()
    world.idle = True
    assert (await world.put(a_draft(Name="a"))).status_code == 200

    async def following(query: str) -> str:
        found = (await world.http.get(f"{JOBS}/a/history?{query}")).json()["NextToken"]
        return base64.urlsafe_b64decode(found + "=" * (-len(found) % 4)).decode()

    assert await following("") == ":N:0:2"
    assert await following("limit=1") == ":N:1:2"
    assert await following(f"next_token={token(':N:5:9')}") == ":N:0:9"
    assert await following(f"next_token={token(':N:5:9')}&limit=3") == ":N:3:9"


# --- headers ----------------------------------------------------------------------------------------------


async def test_an_empty_origin_is_none_and_a_request_id_is_read_as_text() -> None:
    world = GatewayWorld()
    for method in ("GET", "OPTIONS"):
        answer = await world.http.request(method, "/api/v1/agent/alive", headers={"Origin": ""})
        assert not [name for name in answer.headers if name.startswith("access-control")]
    answer = await world.http.get(f"{JOBS}/nobody", headers={"X-Request-Id": "é".encode()})
    assert answer.json()["RequestID"] == "é"
    assert answer.headers.raw[-2:] == [(b"x-request-id", "é".encode()), (b"vary", b"Origin")]
