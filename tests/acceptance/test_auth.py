"""A node with users and an identity provider, and the command line that logs in: real processes, a provider of ours."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from tests.acceptance.profiles import free_port
from tests.acceptance.program import WASM, Caller, Node, settings
from tests.acceptance.test_bad_starts import refused
from tests.support.replay import key_set, make_jwt, provider_settings
from tests.unit.client.fake_api import Answer, serving

PASSWORD, READER = "swordfish-of-ada", "READER-KEY-0123456789abcdef"
TOKEN = {"iss": "https://issuer.example/", "aud": "the-audience", "sub": "grace", "exp": {"in_s": 3600}}
ADA = {"BACALHAU_API_USERNAME": "Ada", "BACALHAU_API_PASSWORD": PASSWORD}


@dataclass(frozen=True)
class Closed:
    """A node that serves known users only."""

    node: Node
    command: Path

    def caller(self, home: Path, **environ: str) -> Caller:
        return Caller(self.command, home, self.node.api, **environ)


@pytest.fixture(scope="module")
def closed(command: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Closed]:
    folder = tmp_path_factory.mktemp("closed")
    hashed = Caller(command, folder)
    file = folder / "users.yaml"
    with serving() as idp:
        idp.on("GET /jwks.json", Answer(key_set()))
        begun = {
            "device_code": "d",
            "user_code": "ABCD-EFGH",
            "verification_uri": "https://idp.example/device",
            "expires_in": 600,
            "interval": 0.05,
        }
        idp.on("POST /device", begun)
        token = make_jwt(TOKEN | {"permissions": ["read:job"]})
        idp.on(
            "POST /token", [Answer({"error": "authorization_pending"}, 400), Answer({"access_token": token})]
        )
        users = [
            {"Username": "ada", "Password": _hash(hashed), "Capabilities": [{"Actions": ["*"]}]},
            {"Alias": "reader", "APIKey": READER, "Capabilities": [{"Actions": ["read:*"]}]},
        ]
        file.write_text(json.dumps({"API": {"Auth": {"Users": users}}}))
        provider = [part for one in provider_settings(idp.url) for part in ("-c", one)]
        flags = ("--orchestrator", "--compute", "-c", str(file), *provider, *settings(Orchestrator__Port=0))
        node = Node(command, folder / "node", *flags).start()
        try:
            yield Closed(node.ready(), command)
        finally:
            node.stop()


def _hash(caller: Caller) -> str:
    return asyncio.run(caller("auth", "hash-password", stdin=PASSWORD)).ok().out.strip()


async def test_a_user_with_a_hashed_password_runs_a_job_and_has_its_output_and_results(
    closed: Closed, tmp_path: Path
) -> None:
    bacalhau = closed.caller(tmp_path, **ADA)
    done = (await bacalhau("wasm", "run", "-o", "out:/out", WASM / "echo.wasm", "for ada only")).ok()
    assert (await bacalhau("job", "logs", "--follow", done.id)).ok().out == "for ada only\n"
    (tmp_path / "got").mkdir()
    (await bacalhau("job", "get", done.id, "--output-dir", "got")).ok()
    assert (tmp_path / "got" / "stdout").read_text() == "for ada only\n"
    # Bacalhau's own clients send no credential when they download what they were shown.
    path = f"{closed.node.api}/api/v1/orchestrator/jobs/{done.id}/results"
    async with httpx.AsyncClient(timeout=20) as http:
        (shown,) = (await http.get(path, auth=("ada", PASSWORD))).json()["Items"]
        assert (await http.get(shown["Params"]["URL"])).content.startswith(b"\x1f\x8b")
    nobody = closed.caller(tmp_path)
    for words in (("job", "describe", done.id), ("job", "logs", done.id), ("job", "get", done.id)):
        told = await nobody(*words)
        assert (told.code, told.out) == (1, ""), told
        assert "no credential was sent" in told.err
        assert "Missing Authorization header" in told.err


async def test_a_key_may_do_what_its_capabilities_say_and_is_told_what_it_lacks(
    closed: Closed, tmp_path: Path
) -> None:
    reader = closed.caller(tmp_path, BACALHAU_API_KEY=READER)
    assert (await reader("node", "list", "--output", "json")).json[0]["Info"]["NodeID"] == closed.node.node_id
    done = await reader("wasm", "run", WASM / "echo.wasm", "x")
    assert done.code == 1
    assert "user 'reader' does not have the required capability 'write:job'" in done.err
    assert "the API key in BACALHAU_API_KEY" in done.err
    shown = (await reader("agent", "config", "--output", "json")).ok().out
    assert [user["Capabilities"] for user in json.loads(shown)["API"]["Auth"]["Users"]]
    for secret in (READER, PASSWORD, "$2b$"):
        assert secret not in shown


async def test_a_person_logs_in_with_the_provider_and_out_again(closed: Closed, tmp_path: Path) -> None:
    bacalhau = closed.caller(tmp_path)
    shown = (await bacalhau("auth", "info")).ok().out
    assert "Test Provider (id test-idp, version 1.0.0)" in shown
    login = (await bacalhau("auth", "sso", "login")).ok()
    assert "ABCD-EFGH" in login.out
    assert (await bacalhau("job", "list")).code == 0
    told = await bacalhau("node", "list")
    assert told.code == 1
    assert "user 'grace' does not have the required capability 'read:node'" in told.err
    (await bacalhau("auth", "sso", "logout", "--force")).ok()
    assert (await bacalhau("job", "list")).code == 1


async def test_a_token_that_has_expired_says_how_to_get_another(closed: Closed, tmp_path: Path) -> None:
    folder = tmp_path / ".bacalhau"
    folder.mkdir()
    old = make_jwt(TOKEN | {"exp": {"in_s": -60}, "permissions": ["*"]})
    (folder / "jwt-tokens.json").write_text(json.dumps({closed.node.api: old}))
    done = await closed.caller(tmp_path)("job", "list")
    assert done.code == 1
    assert "invalid JWT token" in done.err
    assert "bacalhau auth sso login" in done.err
    assert old not in done.err


async def test_a_list_of_users_that_is_wrong_is_named_with_its_place(command: Path, tmp_path: Path) -> None:
    file = tmp_path / "node.yaml"
    file.write_text(
        "API:\n  Auth:\n    Users:\n"
        "    - {Username: ada, Password: swordfish-1, Capabilities: [{Actions: ['*']}]}\n"
        "    - {Username: Ada, Password: swordfish-2, Capabilities: [{Actions: ['*']}]}\n"
    )
    told, done = await refused(command, tmp_path, "--orchestrator", "-c", str(file), *settings())
    assert "API.Auth.Users" in told
    assert f"{file}:3" in told
    assert "user 1 (Ada): user 0 (ada) has the same Username" in told
    assert "swordfish" not in done.err


def test_a_node_that_only_computes_is_closed_too_and_tells_of_a_provider_that_is_away(
    closed: Closed, tmp_path: Path
) -> None:
    provider = [part for one in provider_settings("http://127.0.0.1:9") for part in ("-c", one)]
    port = free_port()
    flags = ("--compute", *provider, *settings(Compute__Orchestrators=closed.node.nats, API__Port=port))
    node = Node(closed.command, tmp_path / "node", *flags).start()
    try:
        api = node.ready().api
        assert httpx.get(f"{api}/api/v1/agent/alive").status_code == 200
        assert httpx.get(f"{api}/api/v1/agent/config").status_code == 401
    finally:
        node.stop()
    log = node.log.read_text()
    assert "http://127.0.0.1:9/jwks.json (API.Auth.Oauth2.JWKSUri)" in log


@pytest.mark.parametrize(("host", "warned"), [("0.0.0.0", 1), ("127.0.0.1", 0)])
def test_an_open_api_that_others_reach_is_warned_of_once(
    command: Path, tmp_path: Path, host: str, warned: int
) -> None:
    flags = settings(API__Host=host, Orchestrator__Port=0)
    node = Node(command, tmp_path / "node", "--orchestrator", *flags).start()
    try:
        node.ready()
    finally:
        node.stop()
    lines = [line for line in node.log.read_text().splitlines() if "without authentication" in line]
    assert len(lines) == warned, lines
    assert all("WARNING" in line and "API.Auth.Users" in line and host in line for line in lines)
