"""A list of users, or a provider, that is wrong is refused with what is wrong in it, and without its secrets."""

import json

import pytest

from bacalhau_nats.errors import InvalidSettings
from bacalhau_nats.settings import Settings

ALL = [{"Actions": ["*"]}]
ADA = {"Username": "ada", "Password": "swordfish-1", "Capabilities": ALL}
BOT = {"Alias": "bot", "APIKey": "swordfish-key-0123456789", "Capabilities": ALL}
HASH = "$2a$10$0m1NU2E5Kj9nxR2NUAC9TOxD2iPGkD9s5W./gYDjq15LIURNBaFzm"
PROVIDER = {
    "ProviderID": "idp",
    "JWKSUri": "https://issuer.example/jwks.json",
    "Issuer": "https://issuer.example/",
    "Audience": "me",
    "DeviceClientID": "cli",
}


def load(*users):
    return Settings.load((), {"HOME": "/home/ada"}, [f"API.Auth.Users={json.dumps(users)}"])


def provider(**changes):
    given = PROVIDER | changes
    return Settings.load(
        (), {"HOME": "/home/ada"}, [f"API.Auth.Oauth2.{key}={value}" for key, value in given.items()]
    )


def test_users_with_passwords_hashes_and_keys_are_taken():
    settings = load(ADA, BOT, {**ADA, "Username": "Grace1", "Password": HASH})
    assert [user.name for user in settings.api.auth.users] == ["ada", "bot", "Grace1"]


@pytest.mark.parametrize(
    ("users", "which", "what"),
    [
        ([{"Capabilities": ALL}], "user 0", "needs a Username and a Password, or an APIKey"),
        ([BOT, {**ADA, "Password": ""}], "user 1 (ada)", "has no Password"),
        ([{**ADA, "Username": ""}], "user 0", "has no Username"),
        ([{**ADA, **BOT}], "user 0 (bot)", "both an APIKey and a Username or Password"),
        ([{**BOT, "Password": "x"}], "user 0 (bot)", "both an APIKey and a Username or Password"),
        ([{**ADA, "Username": "ada lovelace"}], "user 0 (ada lovelace)", "letters and digits"),
        ([{**ADA, "Username": "a" * 101}], f"user 0 ({'a' * 101})", "1 to 100"),
        ([{**ADA, "Password": "swordfish"}], "user 0 (ada)", "Password must have 10 to 255"),
        ([{**ADA, "Password": "x" * 256}], "user 0 (ada)", "Password must have 10 to 255"),
        ([{**ADA, "Password": HASH[:-1]}], "user 0 (ada)", "bcrypt"),
        ([{**ADA, "Password": "$2b$99" + HASH[6:]}], "user 0 (ada)", "bcrypt"),
        ([{**BOT, "APIKey": "swordfish-key"}], "user 0 (bot)", "APIKey must have 20 to 255"),
        ([{**ADA, "Capabilities": []}], "user 0 (ada)", "no Capabilities"),
        ([{**ADA, "Capabilities": [{"Actions": ["read:jobs"]}]}], "user 0 (ada)", "'read:jobs' is no action"),
        ([ADA, {**ADA, "Username": "ADA"}], "user 1 (ADA)", "user 0 (ada) has the same Username"),
        ([BOT, {**BOT, "Alias": ""}], "user 1", "user 0 (bot) has the same APIKey"),
        ([BOT, {**ADA, "Alias": "BOT"}], "user 1 (BOT)", "user 0 (bot) has the same Alias"),
    ],
)
def test_a_wrong_user_is_named_with_what_is_wrong(users, which, what):
    with pytest.raises(InvalidSettings) as caught:
        load(*users)
    message = caught.value.message
    assert "API.Auth.Users" in message
    assert "-c" in message
    assert f"{which}: " in message
    assert what in message
    assert "swordfish" not in message
    assert HASH[7:20] not in message


@pytest.mark.parametrize("missing", list(PROVIDER))
def test_half_a_provider_is_refused_since_it_would_leave_the_server_open(missing):
    assert provider().api.auth.oauth2.provider_id == "idp"
    with pytest.raises(InvalidSettings, match=f"not set: {missing}"):
        provider(**{missing: ""})


@pytest.mark.parametrize("url", ["issuer.example/jwks", "ftp://issuer.example/", "http://", "http://[::1"])
def test_an_address_of_a_provider_must_be_a_url(url):
    with pytest.raises(InvalidSettings, match="JWKSUri must be a whole URL"):
        provider(JWKSUri=url)
