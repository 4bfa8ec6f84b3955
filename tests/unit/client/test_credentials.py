"""Where a credential comes from, how tokens are kept, and when a server's login is asked for one."""

from __future__ import annotations

import json
import multiprocessing
import stat
from pathlib import Path

import pytest

from bacalhau_nats.client import Client
from bacalhau_nats.client.credentials import Credential, TokenFile, bearer, of_environment, write_private
from bacalhau_nats.errors import Forbidden, UserError
from tests.unit.client.fake_api import Answer, Asked, FakeApi

JOBS = "/api/v1/orchestrator/jobs"
KEY, USER, PASSWORD = "BACALHAU_API_KEY", "BACALHAU_API_USERNAME", "BACALHAU_API_PASSWORD"


@pytest.mark.parametrize(
    ("environ", "sent"),
    [
        ({}, None),
        ({KEY: "", USER: "", PASSWORD: ""}, None),
        ({KEY: "k"}, "Bearer k"),
        ({USER: "u", PASSWORD: "pä:ss"}, "Basic dTpww6Q6c3M="),
    ],
)
def test_the_environment_gives_a_key_or_a_name_with_a_password(
    environ: dict[str, str], sent: str | None
) -> None:
    found = of_environment(environ)
    assert (found.authorization if found else None) == sent
    assert not found or sent not in repr(found)


@pytest.mark.parametrize(
    "environ",
    [{KEY: "k", USER: "u"}, {KEY: "k", PASSWORD: "p"}, {KEY: "k", USER: "u", PASSWORD: "p"}, {USER: "u"}, {PASSWORD: "p"}],
)  # fmt: skip
def test_two_kinds_of_credentials_or_half_a_pair_are_an_error(environ: dict[str, str]) -> None:
    with pytest.raises(UserError, match=r"both set|only one of") as caught:
        of_environment(environ)
    assert "unset" in caught.value.hint


def test_tokens_are_kept_by_server_and_for_nobody_else_to_read(tmp_path: Path) -> None:
    file = TokenFile(tmp_path / "new" / "tokens.json")
    assert file.get("http://a") == ""
    assert not file.drop("http://a")
    file.put("http://a", "1")
    file.put("http://b", "2")
    file.put("http://a", "3")
    assert json.loads(file.path.read_text()) == {"http://b": "2", "http://a": "3"}
    assert stat.S_IMODE(file.path.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.path.parent.stat().st_mode) == 0o700
    assert file.drop("http://a")
    assert (file.get("http://a"), file.get("http://b")) == ("", "2")


@pytest.mark.parametrize("text", ["", "{", "[]", '{"http://a": 1}', "\udcff"])
def test_a_damaged_file_of_tokens_is_named_and_left_alone(tmp_path: Path, text: str) -> None:
    path = tmp_path / "tokens.json"
    path.write_text(text, errors="surrogateescape")
    for use in (lambda: TokenFile(path).get("http://a"), lambda: TokenFile(path).put("http://a", "1")):
        with pytest.raises(UserError, match=r"tokens\.json is damaged"):
            use()
    assert path.read_text(errors="surrogateescape") == text


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a"
    write_private(path, "old")

    def no_space(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", no_space)
    with pytest.raises(UserError, match="No space left"):
        TokenFile(tmp_path / "tokens.json").put("http://a", "1")
    with pytest.raises(OSError, match="No space left"):
        write_private(path, "new")
    assert [(file.name, file.read_text()) for file in tmp_path.iterdir()] == [("a", "old")]


def _put(path: Path, url: str) -> None:
    for number in range(20):
        TokenFile(path).put(f"{url}/{number}", url)


def test_two_commands_at_once_lose_no_token(tmp_path: Path) -> None:
    path = tmp_path / "tokens.json"
    context = multiprocessing.get_context("spawn")
    both = [context.Process(target=_put, args=(path, f"http://{name}")) for name in "ab"]
    for process in both:
        process.start()
    for process in both:
        process.join()
    assert len(json.loads(path.read_text())) == 40


def refused(status: int, reason: str = "no") -> Answer:
    body = {
        "Status": status,
        "Message": "Request Unauthorized",
        "Code": "Unauthorized",
        "Component": "Authorizer",
        "Hint": "Unauthorized principal. Event has been recorded.",
        "Details": {"reason": reason},
    }
    return Answer(body, status)


async def test_a_refusal_says_its_reason_and_what_to_set(api: FakeApi) -> None:
    api.on(f"GET {JOBS}", refused(401, "invalid API key"))
    async with Client(api.url) as client:
        with pytest.raises(Forbidden) as caught:
            await client.list_jobs()
    assert caught.value.message == "Request Unauthorized: invalid API key"
    assert "BACALHAU_API_KEY" in caught.value.hint


class Door:
    """A server that lets in who has the token t, and a login that gives one or none."""

    def __init__(self, api: FakeApi, status: int, gives: str | None = "t") -> None:
        self.asked, self.gives = 0, gives
        api.on(
            f"GET {JOBS}",
            lambda asked: {"Items": [], "NextToken": ""} if self.known(asked) else refused(status),
        )

    def known(self, asked: Asked) -> bool:
        return asked.headers.get("authorization") == "Bearer t"

    async def login(self) -> Credential | None:
        self.asked += 1
        return bearer(self.gives, "a login", "") if self.gives else None


@pytest.mark.parametrize(("status", "sent"), [(401, None), (401, bearer("old", "", "")), (403, None)])
async def test_a_server_that_wants_a_credential_gets_one_and_the_request_again(
    api: FakeApi, status: int, sent: Credential | None
) -> None:
    door = Door(api, status)
    async with Client(api.url) as client:
        client._http.sign(sent, door.login)
        for _ in range(3):
            assert (await client.list_jobs())["Items"] == []
    assert door.asked == 1
    assert len(api.asked) == 4


async def test_who_is_known_and_may_not_is_not_asked_to_log_in(api: FakeApi) -> None:
    door = Door(api, 403)
    async with Client(api.url) as client:
        client._http.sign(bearer("other", "", ""), door.login)
        with pytest.raises(Forbidden):
            await client.list_jobs()
    assert door.asked == 0


@pytest.mark.parametrize("gives", [None, "wrong"])
async def test_a_login_is_tried_once(api: FakeApi, gives: str | None) -> None:
    door = Door(api, 401, gives)
    async with Client(api.url) as client:
        client._http.sign(None, door.login)
        for _ in range(2):
            with pytest.raises(Forbidden):
                await client.list_jobs()
    assert door.asked == 1
