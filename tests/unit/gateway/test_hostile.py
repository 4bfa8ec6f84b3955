"""Bodies that would cost the server much more than they cost whoever sends them are refused, and quickly."""

from __future__ import annotations

import asyncio
import base64
import json
from typing import Any

import pytest

from bacalhau_nats.gateway.http.auth import read_key
from bacalhau_nats.gateway.http.wire import first_value
from bacalhau_nats.gateway.refusals import Refusal
from tests.support.gateway_world import GatewayWorld

JOBS = "/api/v1/orchestrator/jobs"


def nested(depth: int) -> Any:
    value: Any = "core"
    for _ in range(depth):
        value = [value]
    return value


def der(tag: int, body: bytes) -> bytes:
    size = bytes([len(body)]) if len(body) < 0x80 else b"\x82" + len(body).to_bytes(2, "big")
    return bytes([tag]) + size + body


def key_with(exponent: int) -> bytes:
    modulus = (1 << 16_383) | 1
    numbers = [one.to_bytes(one.bit_length() // 8 + 1, "big") for one in (modulus, exponent)]
    return der(0x30, b"".join(der(0x02, number) for number in numbers))


@pytest.mark.parametrize("opening", ["[", '{"a":'])
def test_a_hundred_thousand_open_brackets_are_refused(opening: str) -> None:
    with pytest.raises(Refusal, match="exceeded max depth"):
        first_value(opening.encode() * 100_000)


@pytest.mark.parametrize("depth", [100, 150, 250, 600, 900])
def test_what_nests_too_deep_to_be_stored_is_refused(depth: int) -> None:
    with pytest.raises(Refusal, match="exceeded max depth"):
        first_value(json.dumps(nested(depth)).encode())


def test_what_nests_as_jobs_do_is_read() -> None:
    assert first_value(json.dumps(nested(50)).encode()) == nested(50)


def test_too_many_values_are_refused_before_each_is_checked() -> None:
    with pytest.raises(Refusal, match="more than 20000 values"):
        first_value(b'{"Job":{"Tasks":[' + b"{}," * 100_000 + b"{}]}}")


async def test_a_job_that_nests_too_deep_is_a_bad_request_of_one_line() -> None:
    engine = {"Type": "noop", "Params": {"X": nested(250)}}
    job = {"Name": "deep", "Type": "batch", "Tasks": [{"Name": "main", "Engine": engine}]}
    world = GatewayWorld()
    answer = await world.http.put(JOBS, json={"Job": job})
    assert answer.status_code == 400
    assert "nests deeper than 100 levels" in answer.json()["Message"]


async def test_a_job_of_two_thousand_million_executions_is_refused() -> None:
    job = {"Type": "batch", "Count": 2**31, "Tasks": [{"Name": "main", "Engine": {"Type": "noop"}}]}
    world = GatewayWorld()
    answer = await world.http.put(JOBS, json={"Job": job})
    assert answer.status_code == 400
    assert "job count must be <= 10000" in answer.json()["Message"]


async def test_a_job_id_that_no_subject_can_hold_is_refused() -> None:
    tasks = [{"Name": "main", "Engine": {"Type": "noop"}}]
    world = GatewayWorld()
    for size, status in ((255, 200), (256, 400)):
        job = {"ID": "x" * size, "Name": f"of-{size}", "Type": "service", "Tasks": tasks}
        answer = await world.http.put(JOBS, json={"Job": job})
        assert answer.status_code == status, answer.text
    assert "job ID is longer than 255 bytes" in answer.json()["Message"]


def test_half_a_character_is_replaced_and_a_whole_one_is_kept() -> None:
    raw = rb'{"a": "\ud800 \uD83D\uDE00 ", "\udc00": [1.5, 12345678901234567890]}'
    assert first_value(raw) == {"a": "\ufffd \U0001f600 ", "\ufffd": [1.5, 12345678901234567890]}


async def test_a_job_with_half_a_character_in_its_name_is_stored() -> None:
    raw = (
        b'{"IdempotencyToken": "\\ud800", "Job": {"Name": "a\\ud800", "Type": "batch",'
        b' "Tasks": [{"Name": "main", "Engine": {"Type": "noop"}}]}}'
    )
    world = GatewayWorld()
    answer = await world.http.put(JOBS, content=raw, headers={"content-type": "application/json"})
    assert answer.status_code == 200, answer.text
    listed = (await world.http.get(JOBS)).json()["Items"]
    assert [job["Name"] for job in listed] == ["a\ufffd"]


def test_a_number_that_no_float_holds_is_refused() -> None:
    with pytest.raises(Refusal, match="length of a number"):
        first_value(b'{"a": 1e400}')


def test_a_key_whose_exponent_would_take_hours_is_refused() -> None:
    with pytest.raises(ValueError, match="large public exponent"):
        read_key(key_with((1 << 16_000) + 1))
    assert read_key(key_with(65_537)).public_numbers().e == 65_537


async def test_a_login_of_open_brackets_is_an_unreadable_login() -> None:
    data = base64.b64encode(b"[" * 100_000).decode()
    world = GatewayWorld()
    async with asyncio.timeout(5):
        answer = await world.http.post("/api/v1/auth/clientkey", json={"Name": "x", "MethodData": data})
    assert "invalid authentication data" in answer.json()["Message"]


@pytest.mark.parametrize("data", ["é", "\ud800", "%%%", "A", "\0"])
async def test_a_login_that_is_no_base64_is_a_bad_request(data: str) -> None:
    world = GatewayWorld()
    content = json.dumps({"MethodData": data})
    headers = {"content-type": "application/json"}
    answer = await world.http.post("/api/v1/auth/clientkey", content=content, headers=headers)
    assert (answer.status_code, "illegal base64" in answer.json()["Message"]) == (400, True)
