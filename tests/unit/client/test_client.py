"""The client against a server that answers as told."""

from __future__ import annotations

import json
import socket

import pytest

from bacalhau_nats.client import Client, LogLine
from bacalhau_nats.errors import (
    BacalhauError,
    BusTimeout,
    Conflict,
    Forbidden,
    NotFound,
    Unavailable,
    UserError,
)
from tests.unit.client.fake_api import Answer, Asked, FakeApi

JOBS = "/api/v1/orchestrator/jobs"


async def test_each_submission_carries_a_token_of_its_own(api: FakeApi) -> None:
    api.on(f"PUT {JOBS}", {"JobID": "j-1", "EvaluationID": "v", "Warnings": ["w"]})
    async with Client(api.url) as client:
        sent = await client.submit({"Type": "batch"}, force=True)
        await client.submit({"Type": "batch"})
    assert (sent.job_id, sent.warnings) == ("j-1", ("w",))
    first, second = (asked.body for asked in api.of(f"PUT {JOBS}"))
    assert first["Job"] == {"Type": "batch"}
    assert first["Force"] is True
    assert first["IdempotencyToken"]
    assert first["IdempotencyToken"] != second["IdempotencyToken"]


async def test_an_unnamed_job_is_sent_again_under_its_token_when_the_answer_is_lost(api: FakeApi) -> None:
    api.on(f"PUT {JOBS}", [Answer({"JobID": "j-1"}, cut=3), Answer({"JobID": "j-1"})])
    async with Client(api.url) as client:
        assert (await client.submit({"Type": "batch"})).job_id == "j-1"
    assert len({asked.body["IdempotencyToken"] for asked in api.of(f"PUT {JOBS}")}) == 1


async def test_a_named_job_is_not_sent_again_since_that_would_read_as_an_update(api: FakeApi) -> None:
    api.on(f"PUT {JOBS}", [Answer({"JobID": "j-1"}, cut=3), Answer({"JobID": "j-1"})])
    async with Client(api.url) as client:
        with pytest.raises(Unavailable, match="broke off"):
            await client.submit({"Type": "batch", "Name": "n"})


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (400, "BadRequest", UserError),
        (401, "Unauthorized", Forbidden),
        (403, "Forbidden", Forbidden),
        (404, "NotFound", NotFound),
        (409, "ResourceInUse", Conflict),
        (503, "ServiceUnavailable", Unavailable),
        (500, "", BacalhauError),
    ],
)
async def test_an_error_body_becomes_our_error_with_the_servers_words(
    api: FakeApi, status: int, code: str, kind: type[BacalhauError]
) -> None:
    body = {"Status": status, "Message": "no luck", "Code": code, "Hint": "try", "Details": {"k": "v"}}
    api.on(f"GET {JOBS}/x", Answer(body, status))
    async with Client(api.url) as client:
        with pytest.raises(kind) as caught:
            await client.get("x")
    assert (caught.value.message, caught.value.hint, caught.value.details["k"]) == ("no luck", "try", "v")
    assert caught.value.details["Status"] == str(status)


async def test_an_answer_that_is_no_error_body_is_quoted(api: FakeApi) -> None:
    api.on(f"GET {JOBS}/x", Answer(b"Server Timeout!", 503))
    api.on(f"GET {JOBS}/y", Answer(b"<html>", 200))
    api.on(f"GET {JOBS}/z", Answer({"Error": "Client version is outdated"}, 403))
    async with Client(api.url) as client:
        with pytest.raises(Unavailable, match="Server Timeout!"):
            await client.get("x")
        with pytest.raises(BacalhauError, match="not a JSON object: '<html>'"):
            await client.get("y")
        with pytest.raises(Forbidden, match="Client version is outdated"):
            await client.get("z")


async def test_a_server_that_is_not_there_is_named_with_what_to_do() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
    async with Client(url) as client:
        with pytest.raises(Unavailable) as caught:
            await client.alive()
        with pytest.raises(Unavailable, match="no server can be reached"):
            async for _ in client.logs("x"):
                pass
    assert url in caught.value.message
    assert "--api-host" in caught.value.hint


async def test_credentials_are_sent_as_bearer_or_basic(api: FakeApi) -> None:
    api.on("GET /api/v1/agent/alive", {"Status": "OK"})
    async with Client(api.url, token="t") as one, Client(api.url, basic=("u", "p")) as two:
        await one.alive()
        await two.alive()
    sent = [asked.headers["authorization"] for asked in api.asked]
    assert sent == ["Bearer t", "Basic dTpw"]


async def test_a_job_name_is_escaped_and_an_empty_one_refused(api: FakeApi) -> None:
    api.on(f"GET {JOBS}/a b/c", {"Job": {"ID": "j"}})
    async with Client(api.url) as client:
        assert (await client.get("a b/c"))["Job"]["ID"] == "j"
        with pytest.raises(UserError, match="empty"):
            await client.get(" ")


async def test_history_is_followed_from_page_to_page_until_the_token_is_gone(api: FakeApi) -> None:
    def page(asked: Asked) -> object:
        token = asked.query.get("next_token", "")
        following = {"": "a", "a": "b", "b": ""}
        return {"NextToken": following[token], "Items": [] if token == "a" else [{"SeqNum": len(api.asked)}]}

    api.on(f"GET {JOBS}/x/history", page)
    async with Client(api.url) as client:
        seen = [item["SeqNum"] async for item in client.follow("x")]
    assert seen == [1, 3]


async def test_a_server_that_is_away_for_a_moment_does_not_end_the_watching(api: FakeApi) -> None:
    away = Answer({"Message": "starting", "Code": "ServiceUnavailable"}, 503)
    api.on(
        f"GET {JOBS}/x/history",
        [{"NextToken": "t", "Items": [{"SeqNum": 1}]}, away, {"NextToken": "", "Items": [{"SeqNum": 2}]}],
    )
    api.on(f"GET {JOBS}/y/history", away)
    async with Client(api.url) as client:
        assert [item["SeqNum"] async for item in client.follow("x")] == [1, 2]
        with pytest.raises(Unavailable, match="starting"):
            _ = [item async for item in client.follow("y")]


async def test_wait_ends_with_the_job_or_with_its_time(api: FakeApi) -> None:
    states = ["Pending", "Running", "Failed"]
    api.on(f"GET {JOBS}/x", [{"Job": {"State": {"StateType": state}}} for state in states])
    api.on(f"GET {JOBS}/y", {"Job": {"State": {"StateType": "Running"}}})
    async with Client(api.url) as client:
        assert (await client.wait("x", timeout=5))["State"]["StateType"] == "Failed"
        with pytest.raises(BusTimeout, match=r"not over after 0\.1 s"):
            await client.wait("y", timeout=0.1)


async def test_logs_are_read_to_the_close(api: FakeApi) -> None:
    frames = ['{"value":{"Type":1,"Line":"out\\n"}}', '{"value":{"Type":2,"Line":"err\\n"}}']
    api.on(f"GET {JOBS}/x/logs", Answer(frames=frames))
    async with Client(api.url, token="t") as client:
        lines = [line async for line in client.logs("x", follow=True)]
    assert lines == [LogLine("stdout", "out\n"), LogLine("stderr", "err\n")]
    (asked,) = api.asked
    assert asked.query == {"follow": "true", "details": "true"}
    assert asked.headers["authorization"] == "Bearer t"


async def test_a_followed_log_that_breaks_off_is_taken_up_where_it_was(api: FakeApi) -> None:
    def frame(kind: int, line: str, **more: object) -> str:
        return json.dumps({"value": {"Type": kind, "Line": line}, **more})

    begin = frame(0, "", Since=17, ExecutionID="e-1")
    api.on(
        f"GET {JOBS}/x/logs",
        [
            Answer(frames=[begin, frame(1, "a\n", ExecutionID="e-1", Next=2, Time=5, Seq=9)], close=0),
            Answer({"Message": "starting"}, 503),
            Answer(frames=[begin, frame(2, "b\n", ExecutionID="e-1", Next=2)]),
        ],
    )
    async with Client(api.url) as client:
        lines = [line async for line in client.logs("x", follow=True, tail=True)]
    assert lines == [LogLine("stdout", "a\n", "e-1", 5, 9), LogLine("stderr", "b\n", "e-1")]
    first, second, third = (asked.query for asked in api.asked)
    assert first == {"follow": "true", "tail": "true", "details": "true"}
    again = {"follow": "true", "details": "true", "resume": "true", "from_time": "17", "execution_id": "e-1"}
    assert second == third == again
    assert api.asked[-1].body == {"e-1": {"stdout": 2}}


async def test_a_log_that_breaks_off_on_a_server_that_tells_no_positions_is_an_error(api: FakeApi) -> None:
    api.on(f"GET {JOBS}/x/logs", Answer(frames=['{"value":{"Type":1,"Line":"a"}}'], close=0))
    async with Client(api.url) as client:
        with pytest.raises(Unavailable, match="broke off"):
            _ = [line async for line in client.logs("x", follow=True)]
    assert len(api.asked) == 1


@pytest.mark.parametrize("asked", [{"every": True}, {"since": "5m"}, {"from_seq": 3}])
async def test_a_public_server_is_not_believed_to_have_read_what_it_cannot(api: FakeApi, asked) -> None:
    api.on(f"GET {JOBS}/x/logs", Answer(frames=['{"value":{"Type":1,"Line":"a"}}']))
    async with Client(api.url) as client:
        with pytest.raises(UserError, match="cannot read all executions together"):
            _ = [line async for line in client.logs("x", **asked)]


@pytest.mark.parametrize(
    ("answer", "kind", "words"),
    [
        (
            Answer(frames=['{"error":"job not found: x","value":{"Type":0}}']),
            BacalhauError,
            "job not found: x",
        ),
        (Answer(frames=["nonsense"]), BacalhauError, "cannot be read"),
        (Answer(frames=[], close=0), Unavailable, "broke off"),
        (Answer(frames=[], close=1011), Unavailable, "broke off"),
        (Answer({"Message": "unauthorized"}, 401, frames=[]), Forbidden, "unauthorized"),
    ],
)
async def test_a_log_stream_that_goes_wrong_says_how(
    api: FakeApi, answer: Answer, kind: type[BacalhauError], words: str
) -> None:
    api.on(f"GET {JOBS}/x/logs", answer)
    async with Client(api.url) as client:
        with pytest.raises(kind, match=words):
            async for _ in client.logs("x"):
                pass


async def test_a_slow_server_is_given_up_after_the_timeout(api: FakeApi) -> None:
    server = socket.create_server(("127.0.0.1", 0))
    try:
        async with Client(f"http://127.0.0.1:{server.getsockname()[1]}", timeout=0.1) as client:
            with pytest.raises(BusTimeout, match=r"did not answer within 0\.1 s"):
                await client.alive()
    finally:
        server.close()


def test_an_address_without_a_scheme_is_refused() -> None:
    with pytest.raises(UserError) as caught:
        Client("localhost:1234")
    assert caught.value.hint == "write it as http://host:port"
