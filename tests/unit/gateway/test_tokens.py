"""Tokens of a provider: whose they are, and when its keys are fetched."""

import asyncio
import base64
import hmac
import json

import pytest

from bacalhau_nats.errors import Unavailable
from bacalhau_nats.gateway.access import Token
from bacalhau_nats.gateway.refusals import Refusal
from bacalhau_nats.gateway.tokens import Keys, Provider, Tokens, fetch_keys, read_keys
from tests.support.http_server import breaks_off, http_server, never_ends, redirects, says
from tests.support.replay import key_set, make_jwt
from tests.support.waiting import eventually

PROVIDER = Provider("http://idp/jwks", "https://issuer.example/", "me")
CLAIMS = {"iss": PROVIDER.issuer, "aud": "me", "sub": "user-1", "exp": {"in_s": 600}, "permissions": ["*"]}


class Idp:
    """A provider whose keys change, and which may be away; ``now`` is its relying party's clock."""

    def __init__(self, *answers):
        self.answers, self.fetched, self.now = list(answers) or [key_set()], 0, 0.0
        self.gate = asyncio.Event()
        self.gate.set()
        self.keys = Keys(PROVIDER.jwks_uri, self.fetch, lambda: self.now)
        self.tokens = Tokens(PROVIDER, self.keys)

    async def fetch(self, uri):
        assert uri == PROVIDER.jwks_uri
        self.fetched += 1
        await self.gate.wait()
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def status(self, **header):
        try:
            return (await self.tokens.of_token(Token(make_jwt(CLAIMS, header)))).name
        except Refusal as error:
            return error.status


async def test_a_token_speaks_for_its_subject_with_its_permissions():
    found = await Idp().tokens.of_token(Token(make_jwt(CLAIMS | {"permissions": ["read:job", "write:node"]})))
    assert (found.name, found.actions) == ("user-1", {"read:job", "write:node"})


@pytest.mark.parametrize(
    "change",
    [
        {"aud": None},
        {"iss": None},
        {"exp": "soon"},
        {"nbf": {"in_s": 300}},
        {"permissions": ["*", 1]},
        {"permissions": {"*": True}},
        {"sub": 7},
    ],
)
async def test_claims_that_are_none_are_no_token(change):
    with pytest.raises(Refusal) as caught:
        await Idp().tokens.of_token(Token(make_jwt(CLAIMS | change)))
    assert (caught.value.status, caught.value.details["reason"]) == (401, "invalid JWT token")


async def test_clocks_may_differ_by_some_seconds():
    for change in ({"iat": {"in_s": 5}}, {"exp": {"in_s": -5}}):
        assert (await Idp().tokens.of_token(Token(make_jwt(CLAIMS | change)))).name == "user-1"


async def test_a_token_signed_with_the_public_key_as_a_secret_is_refused():
    idp = Idp()
    text = make_jwt(CLAIMS, {"alg": "HS256"}).rpartition(".")[0]
    signature = base64.urlsafe_b64encode(hmac.digest(key_set(), text.encode(), "sha256")).decode()
    forged = f"{text}.{signature.rstrip('=')}"
    with pytest.raises(Refusal, match="Unauthorized"):
        await idp.tokens.of_token(Token(forged))
    assert idp.fetched == 0


async def test_keys_are_fetched_once_for_many_tokens_at_once():
    idp = Idp()
    idp.gate.clear()
    asking = [asyncio.create_task(idp.status()) for _ in range(20)]
    await asyncio.sleep(0)
    idp.gate.set()
    assert await asyncio.gather(*asking) == ["user-1"] * 20
    assert idp.fetched == 1


async def test_a_new_key_is_found_but_unknown_ones_are_not_looked_for_at_each_request():
    idp = Idp(key_set("k1"), key_set("k2"))
    assert await idp.status(kid="k1") == "user-1"
    for _ in range(10):
        assert await idp.status(kid="k2") == 401
    assert idp.fetched == 1
    idp.now = 31
    assert await idp.status(kid="k2") == "user-1"
    assert await idp.status(kid="k1") == 401
    assert idp.fetched == 2


async def test_a_withdrawn_key_ends_and_who_has_a_known_one_waits_for_nothing():
    idp = Idp(key_set("k1"), key_set("k2"))
    assert await idp.status() == "user-1"
    idp.now = 901
    idp.gate.clear()
    assert await idp.status() == "user-1"
    idp.gate.set()

    async def ended():
        return await idp.status() == 401

    await eventually(ended)
    assert idp.fetched == 2


async def test_a_provider_that_is_away_is_no_fault_of_the_token_and_its_old_keys_go_on():
    away = Unavailable("nobody answers")
    idp = Idp(away, key_set(), away)
    assert await idp.status() == 503
    assert await idp.status() == 503
    assert idp.fetched == 1
    idp.now = 31
    assert await idp.status() == "user-1"
    idp.now = 10_000
    assert await idp.status() == "user-1"
    await eventually(lambda: idp.fetched == 3)
    assert await idp.status() == "user-1"


@pytest.mark.parametrize(
    "raw", [b"", b"[]", b"{}", b'{"keys": 1}', b'{"keys": ["k"]}', b"[" * 100_000, b"<html>"]
)
async def test_what_is_no_key_set_is_told_in_the_log(raw, caplog):
    with pytest.raises(ValueError, match=r"."):
        read_keys(raw)
    assert await Idp(raw).status() == 503
    assert PROVIDER.jwks_uri in caplog.text


def test_keys_for_something_else_are_left_out():
    key = json.loads(key_set())["keys"][0]
    others = [key | {"use": "enc"}, key | {"alg": "RS512"}, {**key, "kid": ""}, {"kty": "EC"}, {"kty": "oct"}]
    assert read_keys(json.dumps({"keys": others}).encode()) == {}
    bare = {name: key[name] for name in ("kty", "kid", "n", "e")}
    assert list(read_keys(json.dumps({"keys": [*others, bare]}).encode())) == ["k1"]


async def test_keys_come_over_http_and_a_bad_server_is_told():
    async with http_server() as server:
        server.on("/keys", says(key_set()))
        server.on("/moved", redirects("/keys"))
        assert await fetch_keys(server.url("/moved")) == key_set()
        for path, answer in (
            ("/gone", says(b"", "404 Not Found")),
            ("/huge", never_ends()),
            ("/cut", breaks_off(b"{", 10)),
            ("/lost", redirects("http://[")),
            ("/round", redirects("/round")),
        ):
            server.on(path, answer)
            with pytest.raises(Unavailable):
                await fetch_keys(server.url(path))
    with pytest.raises(Unavailable):
        await fetch_keys(server.url("/keys"))
