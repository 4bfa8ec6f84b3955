"""A server with users asks before anything else is done, websockets and the agent's part included."""

import time

import httpx

from bacalhau_nats.domain.node import BuildInfo
from bacalhau_nats.domain.spec import SpecConfig
from bacalhau_nats.errors import Unavailable
from bacalhau_nats.gateway.access import Principal
from bacalhau_nats.gateway.accounts import Accounts, User
from bacalhau_nats.gateway.http.agent import About
from bacalhau_nats.gateway.http.app import HTTPLimits, create_agent_app
from bacalhau_nats.gateway.http.authorizing import Gatekeeper
from bacalhau_nats.gateway.tokens import Keys, Provider, Tokens
from tests.support.gateway_world import JOBS, GatewayWorld
from tests.support.waiting import eventually
from tests.unit.domain.drafts import a_draft
from tests.unit.gateway.test_logs import Websocket

KEY = {"Authorization": "Bearer a-key-of-twenty-letters"}


def keeper(*actions):
    bot = Principal("bot", frozenset(actions))
    return Gatekeeper(Accounts([User(bot, api_key="a-key-of-twenty-letters")]))


async def test_a_log_stream_is_refused_before_its_upgrade():
    world = GatewayWorld(gatekeeper=keeper("read:node"))
    for headers, status in (((), 401), ([(b"authorization", KEY["Authorization"].encode())], 403)):
        socket = await Websocket(world.app, f"{JOBS}/j-1/logs", headers).run()
        start, body = socket.sent
        assert (start["type"], start["status"]) == ("websocket.http.response.start", status)
        assert b'"Component":"Authorizer"' in body["body"]


async def test_a_log_stream_is_served_to_whoever_may_read_jobs():
    world = GatewayWorld(gatekeeper=keeper("read:job"))
    headers = [(b"authorization", KEY["Authorization"].encode())]
    socket = await Websocket(world.app, f"{JOBS}/j-1/logs", headers).run()
    assert "job not found" in socket.error


async def test_a_body_is_not_read_and_no_job_is_made_for_somebody_unknown():
    world = GatewayWorld(gatekeeper=keeper("*"))

    async def never():
        yield b"{"
        raise AssertionError("the body was read")

    answer = await world.http.put(JOBS, content=never(), headers={"content-type": "application/json"})
    assert answer.status_code == 401
    assert world.nudges == []


async def test_a_node_that_only_computes_shows_itself_only_to_those_who_may_see_it():
    async def debug():
        return {}

    app = create_agent_app(
        About(BuildInfo(), dict, debug, dict), limits=HTTPLimits(), gatekeeper=keeper("read:agent")
    )
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://node") as http:
        assert (await http.get("/api/v1/agent/alive")).status_code == 200
        for path in ("config", "node", "debug"):
            assert (await http.get(f"/api/v1/agent/{path}")).status_code == 401
            assert (await http.get(f"/api/v1/agent/{path}", headers=KEY)).status_code == 200


async def test_a_refusal_is_one_line_in_the_log_without_what_was_sent(caplog):
    caplog.set_level("INFO")
    world = GatewayWorld(gatekeeper=keeper())
    for headers in ({"Authorization": "Bearer sesame"}, {"Authorization": "Basic OnNlc2FtZQ=="}, KEY):
        await world.http.get(f"{JOBS}/a%0Ab", headers=headers)
    lines = [r.getMessage() for r in caplog.records if getattr(r, "action", "") == "request_refused"]
    assert [line.rpartition(": ")[2] for line in lines] == [
        "invalid API key",
        "invalid basic auth credentials",
        "user 'bot' does not have the required capability 'read:job'",
    ]
    assert not any("\n" in line or "sesame" in line or "twenty" in line for line in lines)


async def test_the_slots_of_a_client_count_before_its_password_does():
    world = GatewayWorld(gatekeeper=keeper(), limits=HTTPLimits(per_second=2))
    answers = [(await world.http.get(JOBS)).status_code for _ in range(4)]
    assert answers == [401, 401, 429, 429]


async def test_whoever_may_list_results_is_given_addresses_that_need_no_credential():
    world = GatewayWorld(gatekeeper=keeper("*"))
    world.idle = True
    submitted = await world.http.put(JOBS, json={"Job": a_draft()}, headers=KEY)
    job_id = submitted.json()["JobID"]
    one = world.start(job_id)
    name = f"{one.id}.tar.gz"
    await world.gateway.results.put(name, b"an archive")
    world.finish(job_id, SpecConfig(type="nats", params={"Key": name}))
    (result,) = (await world.http.get(f"{JOBS}/{job_id}/results", headers=KEY)).json()["Items"]
    url = result["Params"]["URL"]
    assert (await world.http.get(url)).content == b"an archive"
    assert (await world.http.get(url.partition("?")[0])).status_code == 401
    assert (await world.http.get(url.replace(name, f"x{name}"))).status_code == 401
    assert (await world.http.put(url)).status_code == 401
    assert (await world.http.get(f"{JOBS}{url[url.index('?') :]}")).status_code == 401


async def test_a_provider_is_asked_for_its_keys_at_the_start(caplog):
    async def fetch(uri):
        raise Unavailable("nobody answers")

    keys = Keys("http://idp/jwks", fetch, time.monotonic)
    Gatekeeper(Accounts([]), Tokens(Provider("", "", ""), keys)).begin()
    await eventually(lambda: "http://idp/jwks" in caplog.text)
    assert "API.Auth.Oauth2.JWKSUri" in caplog.text
