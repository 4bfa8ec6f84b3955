"""The recorded answers of the public server, replayed against this gateway field by field.

Here are the files whose scenarios need no real engine; what the worker of the test world does instead of a
requester and a node is fixed by the recordings, so what is tested is intake, queries and rendering.
"""

import json
from collections.abc import Iterator
from functools import cache

import pytest

from bacalhau_nats.node.gate import gatekeeper
from bacalhau_nats.settings import Settings
from tests.support.gateway_world import ME, GatewayWorld
from tests.support.http_server import http_server, says
from tests.support.replay import FOLDER, Replayer, Step, key_set, provider_settings, scenarios

FILES = (
    "jobs-validation",
    "errors-and-routing",
    "headers",
    "jobs-describe",
    "jobs-list",
    "history",
    "executions",
    "stop",
    "update-diff-rerun",
    "auth-open",
)
WANTED = {
    "errors-and-routing/body-size/03": "a chunked body is accepted, as its recorded note allows",
    "jobs-validation/inputs-and-results/13": "results without a publisher are kept on the bus",
    "jobs-validation/inputs-and-results/14": "the same",
}


def recorded() -> Iterator[object]:
    for name in FILES:
        for scenario, steps in scenarios(name, "solo", "spoiled").items():
            yield pytest.param(steps, id=f"{name}/{scenario}")


@pytest.mark.parametrize("steps", list(recorded()))
async def test_answers_are_those_of_the_public_server(steps: list[Step]) -> None:
    world = GatewayWorld()
    replayer = Replayer(world.http, ME)
    for step in steps:
        differences = await replayer.step(step)
        if not any(step["id"].startswith(known) for known in WANTED):
            assert differences == [], step["id"]


# --- servers that are not open -----------------------------------------------------------------------------


def of_auth(name: str, profile: str, *but: str) -> Iterator[object]:
    for scenario, steps in scenarios(name, profile).items():
        if scenario not in but:
            yield pytest.param(steps, id=f"{name}/{scenario}")


@cache
def users() -> str:
    return json.dumps(json.loads((FOLDER / "users.json").read_text())["API"]["Auth"]["Users"])


# The other two are about a real node: its settings, and log streams.
@pytest.mark.parametrize("steps", list(of_auth("auth-users", "users", "config-of-users", "logs-and-jobs")))
async def test_users_may_do_what_the_public_server_lets_them_do(steps: list[Step]) -> None:
    settings = Settings.load((), {"HOME": "/home/ada"}, [f"API.Auth.Users={users()}"])
    world = GatewayWorld(gatekeeper=gatekeeper(settings))
    replayer = Replayer(world.http, ME)
    for step in steps:
        assert await replayer.step(step) == [], step["id"]


@pytest.mark.parametrize("steps", list(of_auth("auth-sso", "sso")))
async def test_tokens_of_a_provider_are_judged_as_by_the_public_server(steps: list[Step]) -> None:
    async with http_server() as files:
        files.on("/jwks.json", says(key_set()))
        settings = Settings.load((), {"HOME": "/home/ada"}, provider_settings(files.url("")))
        world = GatewayWorld(gatekeeper=gatekeeper(settings))
        world.gateway.config = settings.to_wire
        replayer = Replayer(world.http, ME, names={"files.url": files.url("")})
        for step in steps:
            assert await replayer.step(step) == [], step["id"]
        assert len(files.requests) <= 1, "the keys are fetched once for all these tokens"
