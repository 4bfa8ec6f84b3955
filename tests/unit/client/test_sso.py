"""The device flow, against a real HTTP server that is an identity provider."""

from __future__ import annotations

import socket

import pytest

from bacalhau_nats.client.sso import Prompt, device_login
from bacalhau_nats.errors import BacalhauError, Forbidden, Unavailable, UserError
from tests.unit.client.fake_api import Answer, FakeApi

BEGUN = {
    "device_code": "device-1",
    "user_code": "ABCD-EFGH",
    "verification_uri": "https://idp.example/device",
    "expires_in": 60,
    "interval": 5,
}
PENDING = Answer({"error": "authorization_pending"}, 400)
TOKEN = {"access_token": "the-token", "token_type": "Bearer"}


class Login:
    """One login: what was shown and how long was waited, without waiting."""

    def __init__(self, api: FakeApi, *answers: object, **begun: object) -> None:
        api.on("POST /device", BEGUN | begun)
        api.on("POST /token", list(answers))
        self.api, self.shown, self.waited = api, [], []
        self.provider = {
            "DeviceAuthorizationEndpoint": f"{api.url}/device",
            "TokenEndpoint": f"{api.url}/token",
            "DeviceClientID": "client-1",
            "Audience": "the-audience",
            "Scopes": ["openid", "profile"],
            "PollingInterval": 7,
        }

    async def run(self) -> str:
        async def sleep(seconds: float) -> None:
            self.waited.append(seconds)

        return await device_login(self.provider, self.shown.append, sleep=sleep)


async def test_a_person_is_shown_a_page_and_a_code_and_the_token_is_asked_for_until_it_is_there(
    api: FakeApi,
) -> None:
    login = Login(api, PENDING, PENDING, TOKEN)
    assert await login.run() == "the-token"
    assert login.shown == [Prompt("https://idp.example/device", "ABCD-EFGH", "", 60)]
    assert login.waited == [5, 5, 5]
    (begun,) = api.of("POST /device")
    assert begun.body == {"client_id": "client-1", "scope": "openid profile", "audience": "the-audience"}
    assert [asked.body for asked in api.of("POST /token")] == [
        {
            "grant_type": "urn:ietf:params:oauth:grant-type:device_code",
            "device_code": "device-1",
            "client_id": "client-1",
        }
    ] * 3


async def test_a_provider_that_is_asked_too_often_is_asked_less_often(api: FakeApi) -> None:
    slow = Answer({"error": "slow_down"}, 400)
    login = Login(api, slow, PENDING, slow, TOKEN)
    assert await login.run() == "the-token"
    assert login.waited == [5, 10, 10, 15]


async def test_a_provider_that_is_ill_for_a_moment_is_given_time(api: FakeApi) -> None:
    login = Login(api, Answer({}, 503), Answer(b"<html>", 502), Answer(TOKEN, cut=3), TOKEN)
    assert await login.run() == "the-token"
    assert login.waited == [5, 10, 20, 40][: len(login.waited)]
    assert len(login.waited) == 4


@pytest.mark.parametrize(("interval", "waited"), [(None, 7), (0, 7), (2, 2)])
async def test_the_server_says_how_often_when_the_provider_does_not(
    api: FakeApi, interval: int | None, waited: float
) -> None:
    login = Login(api, TOKEN, interval=interval)
    await login.run()
    assert login.waited == [waited]


async def test_who_says_no_is_told_so_at_once(api: FakeApi) -> None:
    login = Login(api, PENDING, Answer({"error": "access_denied"}, 400))
    with pytest.raises(Forbidden, match="refused on the provider's page"):
        await login.run()
    assert len(login.waited) == 2


@pytest.mark.parametrize("answer", [PENDING, Answer({"error": "expired_token"}, 400)])
async def test_who_is_too_late_is_told_how_to_begin_again(api: FakeApi, answer: Answer) -> None:
    login = Login(api, answer, expires_in=12)
    with pytest.raises(Forbidden, match="expired") as caught:
        await login.run()
    assert "auth sso login" in caught.value.hint
    assert sum(login.waited) <= 15


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (Answer({"error": "invalid_client", "error_description": "no such client"}, 401), "no such client"),
        (Answer({"error": "unsupported_grant_type"}, 400), "unsupported_grant_type"),
        (Answer({}, 404), "the answer is 404"),
        (Answer({"token_type": "Bearer"}), "the answer is 200"),
    ],
)
async def test_a_provider_that_gives_no_token_is_quoted(api: FakeApi, answer: Answer, told: str) -> None:
    with pytest.raises(UserError, match=told):
        await Login(api, answer).run()
    login = Login(api, TOKEN)
    if answer.status != 200:
        api.on("POST /device", answer)
        with pytest.raises(UserError, match=told) as caught:
            await login.run()
        assert "DeviceClientID" in caught.value.hint


@pytest.mark.parametrize(
    "begun", [{"user_code": None, "device_code": ""}, {"expires_in": "soon"}, {"interval": "x"}]
)
async def test_an_answer_that_is_none_is_an_error(api: FakeApi, begun: dict[str, object]) -> None:
    login = Login(api, TOKEN)
    api.on("POST /device", {k: v for k, v in (BEGUN | begun).items() if v is not None})
    with pytest.raises(BacalhauError, match="device login"):
        await login.run()


async def test_a_provider_that_is_not_there_is_named(api: FakeApi) -> None:
    login = Login(api)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        login.provider["DeviceAuthorizationEndpoint"] = f"http://127.0.0.1:{free.getsockname()[1]}/device"
    with pytest.raises(Unavailable, match="identity provider does not answer"):
        await login.run()


@pytest.mark.parametrize("key", ["DeviceAuthorizationEndpoint", "TokenEndpoint", "DeviceClientID"])
async def test_a_server_that_does_not_say_how_to_log_in_is_told_what_it_lacks(api: FakeApi, key: str) -> None:
    login = Login(api)
    del login.provider[key]
    with pytest.raises(UserError, match=key):
        await login.run()
    assert api.asked == []
