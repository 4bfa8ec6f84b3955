"""Who may do what through the API, as plain functions: what a request needs, what it brings, what is granted.

The rules are those of the public server: a resource is found by the longest prefix of the path, reading is
GET and nothing else, and ``write:*`` does not include reading.
"""

from __future__ import annotations

import base64
import binascii
import json
from dataclasses import dataclass

from bacalhau_nats.gateway import refusals

OPEN = ""
"""The capability that everybody has."""

ANYTHING = "*"
_AGENT, _JOB, _NODE = "agent", "job", "node"
_BY_PREFIX = {
    "/api/v1/auth": OPEN,
    "/api/v1/version": OPEN,
    "/api/v1/agent": _AGENT,
    "/api/v1/agent/alive": OPEN,
    "/api/v1/agent/version": OPEN,
    "/api/v1/agent/authconfig": OPEN,
    "/api/v1/orchestrator/jobs": _JOB,
    "/api/v1/orchestrator/nodes": _NODE,
}
# The longest first. The prefix is one of characters, not of parts: /api/v1/authors is open, too.
_PREFIXES = sorted(_BY_PREFIX.items(), key=lambda item: -len(item[0]))
_ELSEWHERE = f"write:{_NODE}"
_BASIC, _BEARER = "Basic ", "Bearer "
_PARTS_OF_A_JWT = 3


@dataclass(frozen=True, slots=True)
class Principal:
    """Somebody who has proved who they are; ``name`` is the one that messages show."""

    name: str
    actions: frozenset[str] = frozenset()


def needed(method: str, path: str) -> str:
    """Give the capability that a request needs, such as ``read:job``; `OPEN` when it needs none."""
    for prefix, resource in _PREFIXES:
        if path.startswith(prefix):
            if resource == OPEN:
                return OPEN
            return f"{'read' if method == 'GET' else 'write'}:{resource}"
    return _ELSEWHERE


def may(principal: Principal, capability: str) -> bool:
    """Say whether somebody has a capability: it by name, all of its kind (``read:*``), or everything (``*``)."""
    kind = capability.partition(":")[0]
    return capability == OPEN or not principal.actions.isdisjoint((ANYTHING, capability, f"{kind}:*"))


def check(principal: Principal, capability: str) -> None:
    """Raise Refusal (403) when somebody lacks a capability."""
    if not may(principal, capability):
        raise refusals.forbidden(
            f"user '{principal.name}' does not have the required capability '{capability}'"
        )


@dataclass(frozen=True, slots=True)
class Password:
    """A name and a password, from ``Basic``."""

    user: str
    password: str


@dataclass(frozen=True, slots=True)
class Key:
    """An API key, from ``Bearer``."""

    key: str


@dataclass(frozen=True, slots=True)
class Token:
    """A JSON web token, from ``Bearer``."""

    token: str


Proof = Password | Key | Token


def proof_of(authorization: str | None) -> Proof:
    """Read an ``Authorization`` header; the scheme and the one blank after it are taken by the letter.

    Raises Refusal (401) when there is none, or none that can be read.
    """
    if authorization is None:
        raise refusals.unauthorized("Missing Authorization header")
    if authorization.startswith(_BASIC):
        return _password(authorization.removeprefix(_BASIC))
    if authorization.startswith(_BEARER):
        value = authorization.removeprefix(_BEARER)
        return Token(value) if is_jwt(value) else Key(value)
    raise refusals.unauthorized("unsupported authentication method")


def _password(encoded: str) -> Password:
    try:
        text = base64.b64decode(encoded, validate=True).decode("utf-8", "surrogateescape")
    except (binascii.Error, ValueError):
        raise refusals.unauthorized("failed to decode basic auth credentials") from None
    user, colon, password = text.partition(":")
    if not colon:
        raise refusals.unauthorized("invalid basic auth credentials format")
    return Password(user, password)


def is_jwt(value: str) -> bool:
    """Say whether a bearer's value has the form of a JWT: three parts, the first two of them JSON objects."""
    parts = value.split(".")
    return len(parts) == _PARTS_OF_A_JWT and all(_is_object(part) for part in parts[:2])


def _is_object(part: str) -> bool:
    try:
        padded = part.encode("ascii") + b"=" * (-len(part) % 4)
        return isinstance(json.loads(base64.b64decode(padded, altchars=b"-_", validate=True)), dict)
    except (ValueError, RecursionError):
        return False
