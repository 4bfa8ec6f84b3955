"""Who may use the API: users of the settings and an identity provider, and what is wrong with a list of them.

The rules are those of the public server, and one more: an action that grants nothing is refused, as it is a
slip of the pen.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from typing import Self
from urllib.parse import urlsplit

from pydantic import model_validator

from bacalhau_nats.settings.section import Section, key
from bacalhau_nats.settings.values import Text

RESOURCES = ("job", "node", "agent")
ACTIONS = (
    "*",
    *(f"{kind}:{what}" for kind in ("read", "write") for what in ("*", *RESOURCES)),
)
_USERNAME = re.compile(r"[A-Za-z0-9]{1,100}")
_BCRYPT_BEGINS = re.compile(r"\$2[aby]\$")
_BCRYPT = re.compile(r"\$2[aby]\$(0[4-9]|[12][0-9]|3[01])\$[./A-Za-z0-9]{53}")
_PASSWORD, _KEY = (10, 255), (20, 255)  # the least and the most characters


class Capability(Section):
    """What a user may do."""

    actions: tuple[str, ...] = key((), "Such as read:job, write:node, read:* or *.")


class User(Section):
    """Somebody who may use the API, by name and password or by key."""

    alias: Text = key("", "Name used in messages.")
    username: Text = key("", "Name for HTTP basic authentication.")
    password: str = key("", "Password, plain or as a bcrypt hash.", secret=True)
    api_key: str = key("", "Key sent as a bearer token.", secret=True)
    capabilities: tuple[Capability, ...] = key((), "What the user may do.")

    @property
    def name(self) -> str:
        """The name that messages show."""
        return self.alias or self.username


class Oauth2Settings(Section):
    """An identity provider whose tokens the gateway accepts."""

    provider_id: Text = key("", "Identity of the provider.")
    provider_name: Text = key("", "Name of the provider, shown to people.")
    token_endpoint: Text = key("", "URL where a client fetches a token.")
    jwks_uri: Text = key("", "URL of the keys that sign tokens.")
    issuer: Text = key("", "Issuer a token must name.")
    device_client_id: Text = key("", "Client id of the device-code flow.")
    audience: Text = key("", "Audience a token must name.")
    scopes: tuple[str, ...] = key((), "Scopes a client asks for.")
    device_authorization_endpoint: Text = key("", "URL where the device-code flow starts.")
    polling_interval: int = key(0, "Seconds between a client's polls for its token.", ge=0)

    @model_validator(mode="after")
    def _whole(self) -> Self:
        # Half a provider must not leave a server open that its owner takes for closed.
        given = self.model_dump(by_alias=True)
        if any(given.values()):
            needed = ("ProviderID", "JWKSUri", "Issuer", "Audience", "DeviceClientID")
            if missing := [name for name in needed if not given[name]]:
                raise ValueError(f"a provider needs {', '.join(needed)}; not set: {', '.join(missing)}")
            for name in ("JWKSUri", "TokenEndpoint", "DeviceAuthorizationEndpoint"):
                _check_url(name, given[name])
        return self


def _check_url(name: str, url: str) -> None:
    try:
        parts = urlsplit(url)
        fine = not url or (parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0)
    except ValueError:
        fine = False
    if not fine:
        raise ValueError(f"{name} must be a whole URL that begins with http:// or https://")


def check_users(users: Sequence[User]) -> None:
    """Raise ValueError that says which user (the first is 0) is wrong in what; no secret is repeated."""
    for number, user in enumerate(users):
        if problem := _problem(user):
            raise ValueError(f"{_which(number, user)}: {problem}")
    for what, value in _UNIQUE:
        seen: dict[str, int] = {}
        for number, user in enumerate(users):
            found = value(user)
            if found and found in seen:
                first = _which(seen[found], users[seen[found]])
                raise ValueError(f"{_which(number, user)}: {first} has the same {what}")
            seen[found] = number


_UNIQUE: tuple[tuple[str, Callable[[User], str]], ...] = (
    ("Username", lambda user: user.username.lower()),
    ("Alias", lambda user: user.alias.lower()),
    ("APIKey", lambda user: user.api_key),
)


def _which(number: int, user: User) -> str:
    return f"user {number} ({user.name})" if user.name else f"user {number}"


def _problem(user: User) -> str:
    """Say what is wrong with one user; empty when nothing is."""
    if user.api_key and (user.username or user.password):
        return "it has both an APIKey and a Username or Password; a user has one of them"
    if not user.api_key and not (user.username or user.password):
        return "it needs a Username and a Password, or an APIKey"
    if not user.api_key and not (user.username and user.password):
        return f"it has no {'Password' if user.username else 'Username'}"
    return _secret_problem(user) or _capability_problem(user)


def _secret_problem(user: User) -> str:
    if user.api_key:
        return _length("APIKey", user.api_key, *_KEY)
    if not _USERNAME.fullmatch(user.username):
        return "a Username is 1 to 100 letters and digits"
    if _BCRYPT_BEGINS.match(user.password) and not _BCRYPT.fullmatch(user.password):
        return (
            "the Password begins like a bcrypt hash but is none; was it cut off, or the $ taken by a shell?"
        )
    return _length("Password", user.password, *_PASSWORD)


def _length(what: str, value: str, least: int, most: int) -> str:
    return "" if least <= len(value) <= most else f"its {what} must have {least} to {most} characters"


def _capability_problem(user: User) -> str:
    if not user.capabilities:
        return "it has no Capabilities, so it could do nothing"
    unknown = [action for one in user.capabilities for action in one.actions if action not in ACTIONS]
    return f"{unknown[0]!r} is no action; there are {', '.join(ACTIONS)}" if unknown else ""


def actions_of(capabilities: Iterable[Capability]) -> frozenset[str]:
    """Give the actions of all capabilities together."""
    return frozenset(action for one in capabilities for action in one.actions)
