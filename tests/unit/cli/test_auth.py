"""``bacalhau auth``, and what a refusal says: which credential was sent, and what to do."""

from __future__ import annotations

import base64
import getpass
import io
import json
import stat
import sys
from pathlib import Path

import bcrypt
import click
import pytest
from bacalhau_cli.profiles import Profile, Profiles

from bacalhau_nats.gateway.http.auth import read_key, verifies
from tests.support.replay import make_jwt
from tests.unit.cli.conftest import Run
from tests.unit.client.fake_api import Answer, Asked, FakeApi

JOBS = "/api/v1/orchestrator/jobs"
AUTHCONFIG = "GET /api/v1/agent/authconfig"
REFUSED = Answer(
    {"Status": 401, "Message": "Request Unauthorized", "Code": "Unauthorized", "Details": {"reason": "bad"}},
    401,
)
FORBIDDEN = Answer(
    {
        "Status": 403,
        "Message": "Request Forbidden",
        "Code": "Forbidden",
        "Details": {"reason": "no write:job"},
    },
    403,
)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """The user's data folder."""
    return tmp_path / ".bacalhau"


def stdin(monkeypatch: pytest.MonkeyPatch, raw: bytes) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(raw)))


# --- passwords -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("raw", [b"swordfish-1\n", b"swordfish-1", b"swordfish-1\r\nsecond line\n"])
def test_a_password_on_stdin_is_hashed(run: Run, monkeypatch: pytest.MonkeyPatch, raw: bytes) -> None:
    stdin(monkeypatch, raw)
    done = run("auth", "hash-password")
    assert done.code == 0
    assert bcrypt.checkpw(b"swordfish-1", done.out.rstrip("\n").encode())
    assert done.err == ""


def test_a_password_is_asked_for_twice_and_never_shown(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", Terminal())
    answers = ["swordfish-1", "swordfish-1", "swordfish-1", "swordfish-2"]
    monkeypatch.setattr(getpass, "getpass", lambda *_: answers.pop(0))
    done = run("auth", "hash-password")
    assert bcrypt.checkpw(b"swordfish-1", done.out.rstrip("\n").encode())
    other = run("auth", "hash-password")
    assert (other.code, other.out) == (1, "")
    assert "differ" in other.err


@pytest.mark.parametrize(
    ("raw", "told"),
    [
        (b"", "empty"),
        (b"\n", "empty"),
        (b"x" * 101, "too long"),
        ("ä".encode() * 37, "72 bytes, this has 74"),
        (b"\xff", "UTF-8"),
        (b"a\0b", "NUL"),
    ],
)
def test_a_password_that_cannot_be_hashed_is_refused(
    run: Run, monkeypatch: pytest.MonkeyPatch, raw: bytes, told: str
) -> None:
    stdin(monkeypatch, raw)
    done = run("auth", "hash-password")
    assert (done.code, done.out) == (1, "")
    assert told in done.err


# --- what is used, and what a refusal says -------------------------------------------------------------------


def test_info_shows_the_server_the_credential_and_the_provider(run: Run, api: FakeApi, data: Path) -> None:
    api.on(AUTHCONFIG, {"Version": "1.0.0", "Config": {"ProviderID": "idp", "ProviderName": "The IdP"}})
    Profiles(data).save("here", Profile(api.url, token="t"))
    done = run("auth", "info", "--profile", "here", BACALHAU_API_HOST="")
    assert done.out.splitlines() == [
        f"Server:                {api.url}",
        "Profile:               here",
        "BACALHAU_API_KEY:      Not Set",
        "BACALHAU_API_USERNAME: Not Set",
        "BACALHAU_API_PASSWORD: Not Set",
        'Credential:            the token of profile "here"',
        "SSO:                   The IdP (id idp, version 1.0.0); log in with 'bacalhau auth sso login'",
        "Credentials in the environment go before any other.",
    ]
    assert "authorization" not in api.asked[0].headers
    told = json.loads(run("auth", "info", "--output", "json", BACALHAU_API_KEY="secret-key").out)
    assert told["environment"]["BACALHAU_API_KEY"] is True
    assert "secret-key" not in json.dumps(told)


def test_info_works_with_a_server_that_knows_no_providers_or_is_away(run: Run, api: FakeApi) -> None:
    done = run("auth", "info")
    assert (done.code, "not supported" in done.out) == (0, True)
    away = run("auth", "info", BACALHAU_API_HOST="http://127.0.0.1:1")
    assert (away.code, "not known" in away.out) == (0, True)
    assert "no server can be reached" in away.err


@pytest.mark.parametrize(
    ("environ", "told"),
    [
        ({}, "no credential was sent"),
        ({"BACALHAU_API_KEY": "k"}, "the API key in BACALHAU_API_KEY was sent"),
        (
            {"BACALHAU_API_USERNAME": "ada", "BACALHAU_API_PASSWORD": "p"},
            "the user 'ada' of BACALHAU_API_USERNAME was",
        ),
    ],
)
def test_a_refusal_says_who_asked_and_what_to_do(
    run: Run, api: FakeApi, environ: dict[str, str], told: str
) -> None:
    api.on(f"GET {JOBS}", REFUSED)
    done = run("job", "list", **environ)
    assert (done.code, done.out) == (1, "")
    assert "Error: Request Unauthorized: bad\n" in done.err
    assert told in done.err
    api.on(f"GET {JOBS}", FORBIDDEN)
    done = run("job", "list", **environ)
    assert "Error: Request Forbidden: no write:job\n" in done.err
    assert told in done.err


def test_an_expired_token_of_a_profile_says_how_to_get_another(run: Run, api: FakeApi, data: Path) -> None:
    api.on(f"GET {JOBS}", REFUSED)
    Profiles(data).save("here", Profile(api.url, token="t"))
    done = run("job", "list", "--profile", "here", BACALHAU_API_HOST="")
    assert 'the token of profile "here" was sent' in done.err
    assert "bacalhau auth sso login" in done.err


# --- a server's own login --------------------------------------------------------------------------------------


class OldServer:
    """A server that lets in who has the token t, which its methods give."""

    def __init__(self, api: FakeApi, **methods: object) -> None:
        self.api, self.proofs = api, []
        api.on("GET /api/v1/auth", {"Methods": methods, "NextToken": ""})
        api.on(
            f"GET {JOBS}",
            lambda a: {"Items": []} if a.headers.get("authorization") == "Bearer t" else REFUSED,
        )
        for name in methods:
            api.on(f"POST /api/v1/auth/{name}", self.prove)

    def prove(self, asked: Asked) -> Answer:
        self.proofs.append(json.loads(base64.b64decode(asked.body["MethodData"])))
        return Answer({"Authentication": {"success": True, "token": "t"}})


CHALLENGE = {"type": "challenge", "params": {"InputPhrase": base64.b64encode(b"n-1").decode()}}


def test_a_challenge_is_answered_when_the_server_wants_it_and_its_token_is_kept(
    run: Run, api: FakeApi, data: Path
) -> None:
    server = OldServer(api, clientkey=CHALLENGE)
    assert run("job", "list").code == 0
    assert run("job", "list").code == 0
    (proof,) = server.proofs
    key = read_key(base64.b64decode(proof["PublicKey"]))
    assert verifies(key, b"n-1", base64.b64decode(proof["PhraseSignature"]))
    assert json.loads((data / "tokens.json").read_text()) == {api.url: "t"}
    assert stat.S_IMODE((data / "user_id.pem").stat().st_mode) == 0o600
    assert (data / "user_id.pem").read_text().startswith("-----BEGIN RSA PRIVATE KEY-----")
    assert sorted(path.name for path in data.iterdir()) == ["tokens.json", "user_id.pem"]


def test_an_open_server_is_never_asked_how_to_log_in(run: Run, api: FakeApi, data: Path) -> None:
    api.on(f"GET {JOBS}", {"Items": []})
    assert run("job", "list").code == 0
    assert api.of("GET /api/v1/auth") == []
    assert not data.exists()


def test_a_kept_token_that_is_refused_is_replaced_with_the_same_key(
    run: Run, api: FakeApi, data: Path
) -> None:
    server = OldServer(api, clientkey=CHALLENGE)
    run("job", "list")
    (data / "tokens.json").write_text(json.dumps({api.url: "old", "http://other": "o"}))
    assert run("job", "list").code == 0
    assert json.loads((data / "tokens.json").read_text()) == {api.url: "t", "http://other": "o"}
    assert server.proofs[0]["PublicKey"] == server.proofs[1]["PublicKey"]


def test_a_login_that_is_not_taken_says_why_and_keeps_nothing(run: Run, api: FakeApi, data: Path) -> None:
    OldServer(api, clientkey=CHALLENGE)
    for answer in (
        Answer({"Authentication": {"success": False, "reason": "not you"}}, 401),
        Answer({"Authentication": {"success": False, "reason": "not you"}}),
    ):
        api.on("POST /api/v1/auth/clientkey", answer)
        done = run("job", "list")
        assert (done.code, "does not take the login 'clientkey'" in done.err) == (1, True)
        assert not (data / "tokens.json").exists()


def test_a_server_with_users_offers_no_login(run: Run, api: FakeApi) -> None:
    OldServer(api)
    done = run("job", "list")
    assert done.code == 1
    assert "no credential was sent" in done.err


def test_a_damaged_key_is_named(run: Run, api: FakeApi, data: Path) -> None:
    OldServer(api, clientkey=CHALLENGE)
    data.mkdir()
    (data / "user_id.pem").write_text("nonsense")
    done = run("job", "list")
    assert "user_id.pem holds no RSA key" in done.err


ASK = {
    "type": "ask",
    "params": {
        "required": ["user", "secret"],
        "properties": {"user": {"title": "Your name"}, "secret": {"writeOnly": True}},
    },
}


def test_questions_are_asked_and_secrets_are_not_shown(
    run: Run, api: FakeApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = OldServer(api, ask=ASK)
    done = run("job", "list")
    assert (done.code, "stdin is no terminal" in done.err) == (1, True)
    asked = []

    def prompt(label: str, **how: object) -> str:
        asked.append((label, how["hide_input"], how["err"]))
        return f"<{label}>"

    monkeypatch.setattr(sys, "stdin", Terminal())
    monkeypatch.setattr(click, "prompt", prompt)
    assert run("job", "list").code == 0
    assert asked == [("Your name", False, True), ("secret", True, True)]
    assert server.proofs == [{"user": "<Your name>", "secret": "<secret>"}]


def test_of_several_logins_one_is_chosen(run: Run, api: FakeApi, monkeypatch: pytest.MonkeyPatch) -> None:
    server = OldServer(api, ask=ASK, clientkey=CHALLENGE, magic={"type": "magic"})
    monkeypatch.setattr(sys, "stdin", Terminal())
    monkeypatch.setattr(click, "prompt", lambda *_, **__: 2)
    done = run("job", "list")
    assert done.code == 0
    assert "  1. ask\n  2. clientkey\n" in done.err
    assert list(server.proofs[0]) == ["PhraseSignature", "PublicKey"]


def test_a_login_that_nobody_here_knows_is_named(run: Run, api: FakeApi) -> None:
    OldServer(api, magic={"type": "magic"})
    done = run("job", "list")
    assert (done.code, "does not know: magic" in done.err) == (1, True)


# --- an identity provider --------------------------------------------------------------------------------------


@pytest.fixture
def provider(api: FakeApi, monkeypatch: pytest.MonkeyPatch) -> str:
    """A server with a provider that gives a token at the second asking; the token."""
    token = make_jwt({"sub": "user-1", "permissions": ["*"]})
    config = {
        "ProviderID": "idp",
        "ProviderName": "The IdP",
        "DeviceClientID": "client-1",
        "DeviceAuthorizationEndpoint": f"{api.url}/device",
        "TokenEndpoint": f"{api.url}/token",
    }
    begun = {
        "device_code": "d",
        "user_code": "ABCD-EFGH",
        "verification_uri": "https://idp.example/device",
        "expires_in": 600,
        "interval": 0.01,
    }
    api.on(AUTHCONFIG, {"Version": "1.0.0", "Config": config})
    api.on("POST /device", begun)
    api.on("POST /token", [Answer({"error": "authorization_pending"}, 400), Answer({"access_token": token})])
    api.on(
        f"GET {JOBS}",
        lambda a: {"Items": []} if a.headers.get("authorization") == f"Bearer {token}" else REFUSED,
    )
    return token


def test_a_login_is_kept_for_the_server_and_used_from_then_on(
    run: Run, api: FakeApi, data: Path, provider: str
) -> None:
    assert run("job", "list").code == 1
    done = run("auth", "sso", "login")
    assert done.code == 0
    assert "https://idp.example/device" in done.out
    assert "ABCD-EFGH" in done.out
    assert "Logged in at The IdP" in done.err
    name = api.url.removeprefix("http://").replace(".", "_").replace(":", "_")
    profiles = Profiles(data)
    assert (profiles.current(), profiles.load(name)) == (name, Profile(api.url, token=provider))
    assert json.loads((data / "jwt-tokens.json").read_text()) == {api.url: provider}
    assert stat.S_IMODE((data / "jwt-tokens.json").stat().st_mode) == 0o600
    assert provider not in done.out + done.err
    for environ in ({}, {"BACALHAU_API_HOST": ""}):
        assert run("job", "list", **environ).code == 0
    assert run("auth", "sso", "token").out == f"{provider}\n"
    decoded = json.loads(run("auth", "sso", "token", "--decode").out)
    assert decoded["header"] == {"alg": "RS256", "kid": "k1", "typ": "JWT"}
    assert decoded["claims"] == {"sub": "user-1", "permissions": ["*"]}


def test_a_login_with_a_profile_is_kept_there(run: Run, api: FakeApi, data: Path, provider: str) -> None:
    profiles = Profiles(data)
    profiles.save("prod", Profile(api.url, "mine", "9s"))
    profiles.save("other", Profile("http://other"))
    profiles.select("other")
    assert run("auth", "sso", "login", "--profile", "prod", BACALHAU_API_HOST="").code == 0
    assert profiles.load("prod") == Profile(api.url, "mine", "9s", provider)
    assert profiles.current() == "other"
    assert sorted(profiles.names()) == ["other", "prod"]


def test_a_logout_forgets_the_token_of_that_server_only(
    run: Run, api: FakeApi, data: Path, provider: str
) -> None:
    profiles = Profiles(data)
    profiles.save("other", Profile("http://other", token="o"))
    run("auth", "sso", "login")
    asked = run("auth", "sso", "logout")
    assert (asked.code, "--force" in asked.err) == (1, True)
    assert run("job", "list").code == 0
    assert "Logged out" in run("auth", "sso", "logout", "-f").err
    assert "No authentication token found" in run("auth", "sso", "token").err
    assert "not logged in" in run("auth", "sso", "logout").err
    assert run("job", "list").code == 1
    assert profiles.load("other").token == "o"
    assert provider not in "".join(path.read_text() for path in data.rglob("*") if path.is_file())


def test_a_login_that_the_environment_hides_is_warned_of(run: Run, provider: str) -> None:
    done = run("auth", "sso", "login", BACALHAU_API_KEY="k")
    assert "Warning: the credential in the environment" in done.err


@pytest.mark.parametrize("config", [{}, {"ProviderID": "idp"}])
def test_a_server_without_a_provider_says_what_else_there_is(
    run: Run, api: FakeApi, data: Path, config: dict[str, str]
) -> None:
    api.on(AUTHCONFIG, {"Version": "1.0.0", "Config": config})
    done = run("auth", "sso", "login")
    assert done.code == 1
    assert "no identity provider" in done.err
    assert "BACALHAU_API_KEY" in done.err
    assert not data.exists()


def test_a_login_that_is_refused_keeps_nothing(run: Run, api: FakeApi, data: Path, provider: str) -> None:
    api.on("POST /token", Answer({"error": "access_denied"}, 400))
    done = run("auth", "sso", "login")
    assert (done.code, "refused on the provider's page" in done.err) == (1, True)
    assert not data.exists()


def test_a_code_cannot_move_the_cursor(run: Run, api: FakeApi, provider: str) -> None:
    api.on(
        "POST /device",
        {"device_code": "d", "user_code": "\x1b[2J", "verification_uri": "x\x07", "interval": 0.01},
    )
    assert "\x1b" not in run("auth", "sso", "login").out


def test_a_token_that_is_no_jwt_is_not_decoded(run: Run, api: FakeApi, data: Path) -> None:
    Profiles(data).save("here", Profile(api.url, token="a.b.c"))
    done = run("auth", "sso", "token", "-d", "--profile", "here", BACALHAU_API_HOST="")
    assert (done.code, "no JSON web token" in done.err) == (1, True)
