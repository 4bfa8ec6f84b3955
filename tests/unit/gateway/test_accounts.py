"""Users are recognised by what they send; a hash is computed once, and nobody learns who has an account."""

import asyncio
import threading

import bcrypt
import pytest

from bacalhau_nats.gateway import accounts
from bacalhau_nats.gateway.access import Key, Password, Principal
from bacalhau_nats.gateway.accounts import Accounts, User
from bacalhau_nats.gateway.refusals import Refusal

ADA, GRACE, BOT = Principal("ada"), Principal("grace"), Principal("bot")
LONG = "x" * 72


def hashed(password):
    return bcrypt.hashpw(password.encode(), bcrypt.gensalt(4)).decode()


def some(*more):
    return Accounts(
        [
            User(ADA, username="ada", password="plain-password"),
            User(GRACE, username="Grace", password=hashed("hashed-password")),
            User(BOT, api_key="a-key-of-twenty-letters"),
            *more,
        ]
    )


@pytest.fixture
def checks(monkeypatch):
    """The passwords that were checked against a hash, and the threads that did it."""
    found = []
    real = accounts._matches

    def counted(password, against):
        found.append((password, threading.current_thread()))
        return real(password, against)

    monkeypatch.setattr(accounts, "_matches", counted)
    return found


async def test_each_user_is_recognised_by_their_own_secret():
    users = some()
    assert await users.of_password(Password("ada", "plain-password")) == ADA
    assert await users.of_password(Password("ADA", "plain-password")) == ADA
    assert await users.of_password(Password("grace", "hashed-password")) == GRACE
    assert users.of_key(Key("a-key-of-twenty-letters")) == BOT


@pytest.mark.parametrize(
    ("user", "password"),
    [
        ("ada", "hashed-password"),
        ("ada", ""),
        ("grace", "plain-password"),
        ("nobody", "plain-password"),
        ("nobody", "hashed-password"),
        ("", ""),
        ("bot", "a-key-of-twenty-letters"),
        ("key", "a-key-of-twenty-letters"),
        ("grace", "a\0b"),
        ("grace", "\udcff"),
    ],
)
async def test_nothing_else_is_a_proof(user, password):
    with pytest.raises(Refusal) as caught:
        await some().of_password(Password(user, password))
    assert (caught.value.status, caught.value.details["reason"]) == (401, "invalid basic auth credentials")


@pytest.mark.parametrize("key", ["", "a-key-of-twenty-letter", "plain-password", "ada:plain-password"])
async def test_no_other_key_is_one(key):
    with pytest.raises(Refusal) as caught:
        some().of_key(Key(key))
    assert (caught.value.status, caught.value.details["reason"]) == (401, "invalid API key")


async def test_a_right_password_is_hashed_off_the_event_loop_and_not_by_everybody_who_waits(checks):
    users = some()
    proof = Password("grace", "hashed-password")
    assert await asyncio.gather(*(users.of_password(proof) for _ in range(50))) == [GRACE] * 50
    assert 1 <= len(checks) <= accounts._CHECKS_AT_ONCE
    assert threading.main_thread() not in [thread for _, thread in checks]
    del checks[:]
    assert await users.of_password(proof) == GRACE
    assert checks == []


async def test_a_wrong_password_is_hashed_once_and_what_is_kept_of_them_is_bounded(checks, monkeypatch):
    monkeypatch.setattr(accounts, "_WRONG_KEPT", 3)
    users = some()
    for password in ("a", "a", "b", "c", "d", "d", "a"):
        with pytest.raises(Refusal):
            await users.of_password(Password("grace", password))
    assert [password for password, _ in checks] == ["a", "b", "c", "d", "a"]
    assert len(users._wrong) == 3


async def test_wrong_passwords_do_not_push_out_a_right_one(checks, monkeypatch):
    monkeypatch.setattr(accounts, "_WRONG_KEPT", 1)
    users = some()
    await users.of_password(Password("grace", "hashed-password"))
    for number in range(5):
        with pytest.raises(Refusal):
            await users.of_password(Password("grace", str(number)))
    del checks[:]
    assert await users.of_password(Password("grace", "hashed-password")) == GRACE
    assert checks == []


async def test_who_has_no_account_costs_as_much_as_who_has_one(checks):
    with pytest.raises(Refusal):
        await some().of_password(Password("nobody", "hashed-password"))
    assert [password for password, _ in checks] == ["hashed-password"]


async def test_one_password_is_remembered_for_each_user():
    users = some(User(Principal("long"), username="long", password=hashed(LONG)))
    for tail in ("", "y", "z"):  # bcrypt reads 72 bytes
        assert (await users.of_password(Password("long", LONG + tail))).name == "long"
    assert len(users._known) == 3  # ada, the bot, and one of the three


def test_nothing_of_a_secret_shows():
    assert "plain-password" not in repr(User(ADA, username="ada", password="plain-password"))
