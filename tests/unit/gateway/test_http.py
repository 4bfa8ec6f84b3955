"""What happens around the routes: limits, time, headers, errors, and what compute nodes serve."""

import asyncio
import base64
import json

import httpx
import pytest

from bacalhau_nats.domain.node import BuildInfo
from bacalhau_nats.domain.times import go_time, header_time
from bacalhau_nats.errors import BusTimeout, Forbidden, InternalError
from bacalhau_nats.gateway.http.agent import About
from bacalhau_nats.gateway.http.app import HTTPLimits, create_agent_app
from bacalhau_nats.gateway.http.middleware import RateLimit
from bacalhau_nats.gateway.http.versions import before_1_5, gate
from bacalhau_nats.gateway.http.wire import encode
from tests.support.gateway_world import JOBS, GatewayWorld
from tests.support.replay import answer_challenge
from tests.unit.domain.drafts import a_draft


async def test_a_body_without_length_is_counted_while_it_is_read():
    world = GatewayWorld(limits=HTTPLimits(body=1000, per_second=0))

    async def pieces():
        for _ in range(50):
            yield b" " * 100

    answer = await world.http.put(JOBS, content=pieces(), headers={"content-type": "application/json"})
    assert (answer.status_code, answer.json()["Component"]) == (400, "APIServer")


async def test_a_chunked_body_is_accepted():
    world = GatewayWorld()

    async def pieces():
        yield json.dumps({"Job": a_draft()}).encode()

    answer = await world.http.put(JOBS, content=pieces(), headers={"content-type": "application/json"})
    assert answer.status_code == 200


async def test_a_client_that_asks_too_often_is_told_so_and_others_are_not():
    world = GatewayWorld(limits=HTTPLimits(per_second=3))
    alive = "/api/v1/agent/alive"
    answers = [await world.http.get(alive, headers={"X-Forwarded-For": "1.1.1.1, 2.2.2.2"}) for _ in range(5)]
    assert [answer.status_code for answer in answers][:3] == [200, 200, 200]
    assert answers[-1].status_code == 429
    assert answers[-1].json()["Message"] == "rate limit exceeded"
    assert "x-request-id" in answers[-1].headers
    assert "x-bacalhau-git-version" not in answers[-1].headers
    assert (await world.http.get(alive, headers={"X-Real-IP": "3.3.3.3"})).status_code == 200


def test_a_bucket_fills_again_and_many_clients_do_not_grow_it_for_ever():
    now = 0.0
    limit = RateLimit(2, lambda: now)
    assert [limit.takes("a") for _ in range(3)] == [True, True, False]
    now = 0.5
    assert [limit.takes("a") for _ in range(2)] == [True, False]
    for index in range(30_000):
        now += 0.001
        limit.takes(str(index))
    assert len(limit._buckets) <= 10_000


async def test_a_handler_that_hangs_is_cut_off_in_plain_text():
    world = GatewayWorld(limits=HTTPLimits(per_second=0, seconds=0.05))
    cancelled = asyncio.Event()

    async def hang():
        try:
            await asyncio.sleep(60)
        finally:
            cancelled.set()

    world.records.last_seq = hang
    answer = await world.http.get(f"{JOBS}/nobody")
    assert (answer.status_code, answer.text) == (503, "Server Timeout!")
    assert cancelled.is_set()


async def test_a_download_may_take_longer_than_a_handler():
    world = GatewayWorld(limits=HTTPLimits(per_second=0, seconds=0.05))
    world.idle = True
    job_id = (await world.put(a_draft())).json()["JobID"]
    one = world.start(job_id)

    async def slowly(name):
        for _ in range(4):
            await asyncio.sleep(0.03)
            yield b"abc"

    async def size(name):
        return 12

    world.gateway.results.get, world.gateway.results.size = slowly, size
    world.finish(job_id, type(one.observed.result)(type="nats", params={"Key": "k"}))
    answer = await world.http.get(f"{JOBS}/{job_id}/results/{one.id}.tar.gz")
    assert answer.content == b"abc" * 4


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (BusTimeout("no answer from the stream"), 503, "ServiceUnavailable"),
        (Forbidden("not you"), 403, "Forbidden"),
        (InternalError(id="bug-1"), 500, "InternalError"),
        (ZeroDivisionError("a bug"), 500, "InternalError"),
    ],
)
async def test_every_error_has_its_status_and_keeps_the_request_id(error, status, code, caplog):
    world = GatewayWorld()

    async def broken():
        raise error

    world.records.last_seq = broken
    answer = await world.http.get(f"{JOBS}/nobody", headers={"X-Request-Id": "abc"})
    body = answer.json()
    assert (answer.status_code, body["Status"], body["Code"]) == (status, status, code)
    assert (body["RequestID"], answer.headers["x-request-id"]) == ("abc", "abc")
    if status == 500:
        assert body["Message"] == "Internal server error"
        assert body["Details"]["id"] in [record.bug for record in caplog.records]


async def test_a_wrong_method_is_not_found_inside_the_groups_and_not_allowed_outside():
    world = GatewayWorld()
    inside = await world.http.post(f"{JOBS}/a/history")
    assert (inside.status_code, inside.json()["Code"]) == (404, "NotFound")
    outside = await world.http.post("/version")
    assert (outside.status_code, outside.json()["Message"]) == (405, "Method Not Allowed")
    head = await world.http.head("/api/v1/agent/alive")
    assert (head.status_code, head.content) == (404, b"")


async def test_a_compute_node_serves_its_agent_and_nothing_else():
    async def debug():
        return {"jobsCompleted": 3}

    app = create_agent_app(About(BuildInfo(), lambda: {"NodeID": "n-1"}, debug, dict))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://node") as http:
        for path in (JOBS, "/api/v1/orchestrator/nodes", "/api/v1/auth"):
            assert (await http.get(path)).status_code == 404
        assert (await http.get("/api/v1/agent/alive")).json() == {"Status": "OK"}
        assert (await http.get("/api/v1/agent/node")).json() == {"NodeID": "n-1"}
        assert (await http.get("/api/v1/agent/debug")).json() == {"jobsCompleted": 3}
        assert (await http.get("/api/v1/agent/config")).json() == {"config": {}}
        assert (await http.get("/")).headers["location"] == "/api/v1/agent/version"


async def test_the_agent_shows_settings_provider_and_nodes():
    world = GatewayWorld()
    world.gateway.config = lambda: {"API": {"Auth": {"Oauth2": {"ProviderID": "p"}}}}
    world.gateway.debug = lambda: {"ActiveJobs": []}
    config = (await world.http.get("/api/v1/agent/config")).json()
    assert config == {"config": {"API": {"Auth": {"Oauth2": {"ProviderID": "p"}}}}}
    assert (await world.http.get("/api/v1/agent/authconfig")).json()["Config"] == {"ProviderID": "p"}
    debug = (await world.http.get("/api/v1/agent/debug")).json()
    assert [node["Connection"] for node in debug["DiscoveredNodes"]] == ["CONNECTED"]


async def test_the_openapi_document_names_every_public_route():
    world = GatewayWorld()
    document = (await world.http.get("/openapi.json")).json()
    assert document["paths"].keys() >= {
        f"{JOBS}/{{job_id}}/explain",
        JOBS,
        f"{JOBS}/{{job_id}}/history",
        "/api/v1/orchestrator/nodes/{node_id}",
        "/api/v1/auth",
        "/api/v1/agent/alive",
    }
    assert set(document["paths"][JOBS]) == {"get", "put", "post"}
    assert document["paths"][JOBS]["get"]["tags"] == ["jobs"]
    assert (await world.http.get("/docs")).status_code == 200


async def test_every_operation_says_what_it_gives_and_every_schema_is_used():
    world = GatewayWorld()
    document = (await world.http.get("/openapi.json")).json()
    text = json.dumps(document)
    assert [name for name in document["components"]["schemas"] if f'schemas/{name}"' not in text] == []
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            answers = operation["responses"]
            assert "422" not in answers, path
            free = path.endswith(("/debug", "/logs", "/{file}"))
            assert free or "$ref" in answers["200"]["content"]["application/json"]["schema"], (method, path)
            if method in ("put", "post", "delete"):
                assert "$ref" in operation["requestBody"]["content"]["application/json"]["schema"], path


async def test_pretty_indents_and_markup_is_escaped():
    world = GatewayWorld()
    await world.put(a_draft(Labels={"k": "<a>&\u2028"}))
    answer = await world.http.get(f"{JOBS}/a?pretty")
    assert '\n  "Job": {\n    "ID"' in answer.text
    assert "\\u003ca\\u003e\\u0026\\u2028" in answer.text
    assert answer.text.endswith("}\n")
    assert (await world.http.get(f"{JOBS}/a?x=pretty")).text.count("\n") == 1


def test_a_lone_surrogate_does_not_break_an_answer():
    assert json.loads(encode({"a": json.loads('"\\ud800"')}))


async def test_deeply_nested_and_endless_numbers_are_refused():
    world = GatewayWorld()
    for raw in ("[" * 200_000, '{"Job": {"Count": ' + "9" * 5000 + "}}", '{"Job": {"Count": NaN}}'):
        answer = await world.http.put(JOBS, content=raw, headers={"content-type": "application/json"})
        assert answer.status_code == 400


@pytest.mark.parametrize(
    ("sent", "status"),
    [("", None), ("v0.0.0", None), ("v1.4.0", None), ("v1.9", None), ("v1.4.0-rc1", 403), ("v1", 403), ("v01.5.0", None),
     ("v1.5.00", None), (" v1.5.0 ", None), ("v1.3.9+x", 403), ("v1.5.0-a..b", 400), (f"v{2**63}.1.1", 400), ("banana", 400), ("v1.9.3\n", 400), ("v2.0.0+meta", None)],
)  # fmt: skip
def test_clients_are_let_in_by_their_version(sent, status):
    found = gate(sent, "v1.9.3")
    assert (found[0] if found else None) == status


def test_only_clients_of_1_4_get_its_history():
    assert before_1_5("v1.4.0")
    assert not before_1_5("v1.5.0")
    assert not before_1_5("")


def test_times_are_written_as_go_writes_them():
    assert go_time(0) == "0001-01-01T00:00:00Z"
    assert go_time(1_800_000_000_000_000_000) == "2027-01-15T08:00:00Z"
    assert go_time(1_800_000_000_120_000_000) == "2027-01-15T08:00:00.12Z"
    assert header_time("2025-01-31T11:20:30+01:00") == "2025-01-31 10:20:30 +0000 UTC"
    assert header_time("") == "0001-01-01 00:00:00 +0000 UTC"
    assert header_time("unknown") == "0001-01-01 00:00:00 +0000 UTC"


# --- authentication on an open server -------------------------------------------------------------------


async def test_a_signature_over_another_phrase_or_with_a_flipped_bit_is_rejected():
    world = GatewayWorld()
    phrase = (await world.http.get("/api/v1/auth")).json()["Methods"]["clientkey"]["params"]["InputPhrase"]

    async def prove(proof: str) -> httpx.Response:
        return await world.http.post("/api/v1/auth/clientkey", json={"MethodData": proof})

    good = answer_challenge(phrase)
    assert (await prove(good)).json()["Authentication"]["success"] is True
    other = await prove(answer_challenge(base64.b64encode(b"another").decode()))
    assert (other.status_code, other.json()["Authentication"]["success"]) == (401, False)
    parts = json.loads(base64.b64decode(good))
    signature = bytearray(base64.b64decode(parts["PhraseSignature"]))
    signature[7] ^= 1
    for key, value in (
        ("PhraseSignature", base64.b64encode(signature).decode()),
        ("PhraseSignature", "AAAA"),
        ("PublicKey", "MIIB"),
        ("PublicKey", "MAYCAQECAQE="),
        ("PublicKey", "***"),
    ):
        spoiled = base64.b64encode(json.dumps(parts | {key: value}).encode()).decode()
        assert (await prove(spoiled)).status_code == 401
