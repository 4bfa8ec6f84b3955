"""Who gets through to a node's API, and what its owner is told when that is everybody."""

import json

import pytest

from bacalhau_nats.gateway.refusals import Refusal
from bacalhau_nats.node import gate
from bacalhau_nats.settings import Settings
from tests.support.replay import provider_settings

USERS = [
    {
        "APIKey": "a-key-of-twenty-letters",
        "Capabilities": [{"Actions": ["read:job"]}, {"Actions": ["write:job"]}],
    }
]
GIVEN = f"API.Auth.Users={json.dumps(USERS)}"
JOBS = "/api/v1/orchestrator/jobs"


def load(*overrides):
    return Settings.load((), {"HOME": "/home/ada"}, overrides)


def test_a_node_without_users_and_provider_is_open():
    assert gate.gatekeeper(load()) is None


async def test_a_user_has_the_actions_of_all_their_capabilities():
    keeper = gate.gatekeeper(load(GIVEN))
    for method in ("GET", "PUT"):
        await keeper.admit(method, JOBS, "Bearer a-key-of-twenty-letters")
    with pytest.raises(Refusal, match="Forbidden"):
        await keeper.admit("GET", "/api/v1/agent/node", "Bearer a-key-of-twenty-letters")


async def test_a_provider_alone_closes_a_node():
    keeper = gate.gatekeeper(load(*provider_settings("http://127.0.0.1:9")))
    await keeper.admit("GET", "/api/v1/agent/authconfig", None)
    with pytest.raises(Refusal, match="Unauthorized"):
        await keeper.admit("GET", JOBS, None)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.7", "node.example.com", "128.0.0.1", ""])
def test_an_open_api_that_others_reach_is_warned_of_and_one_with_users_is_not(host):
    told = gate.warning(load(f"API.Host={host}"))
    assert (host or "every address") in told
    assert "without authentication" in told
    assert "API.Auth.Users" in told
    assert gate.warning(load(f"API.Host={host}", GIVEN)) == ""
    assert gate.warning(load(f"API.Host={host}", *provider_settings("http://127.0.0.1:9"))) == ""


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.7", "::1", "[::1]", "localhost"])
def test_an_open_api_of_this_machine_is_not_warned_of(host):
    assert gate.warning(load(f"API.Host={host}")) == ""
