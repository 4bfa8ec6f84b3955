"""``/api/v1/auth`` of an open server: prove that you hold some key, get a token.

Nothing depends on it: an open server accepts every request whatever its ``Authorization`` says. But the
public clients take a server without a method for one that wants a login, so there is one: a challenge
whose phrase is the node's id, answered with an RSA signature (PKCS#1 v1.5 over SHA-256) and its key.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import secrets
import time
from typing import Any, NamedTuple

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from bacalhau_nats.domain.draft import mismatch, text
from bacalhau_nats.errors import InvalidSpec
from bacalhau_nats.gateway import refusals
from bacalhau_nats.gateway.core import Identity
from bacalhau_nats.gateway.http.routing import routes_under
from bacalhau_nats.gateway.http.wire import Json, answer, body_of

PREFIX = "/api/v1/auth"
METHOD = "clientkey"
_MONTH = 30 * 24 * 3600
_MICROSECONDS = 1_000_000
_SHA256_INFO = bytes.fromhex("3031300d060960864801650304020105000420")
_SEQUENCE, _INTEGER = 0x30, 0x02
_LONG_FORM = 0x80
_LARGEST_KEY = 16_384 // 8
_LARGEST_EXPONENT = 2**31 - 1  # as Go has it: checking a signature takes a time in proportion to its length


def _bytes(value: Any, where: str) -> bytes:
    if not isinstance(value, str):
        raise mismatch("[]uint8", value, where)
    try:
        return base64.b64decode(value, validate=True)
    except binascii.Error:
        raise InvalidSpec("illegal base64 data at input byte 0", field=where) from None


_authenticate = body_of("AuthnRequest", {"Name": text, "MethodData": _bytes, "Namespace": text})


class AuthRoutes:
    """The routes of the one method that an open server offers."""

    def __init__(self, identity: Identity) -> None:
        self._identity = identity
        self._phrase = str(identity.node_id).encode()
        self._secret = secrets.token_bytes(32)

    def router(self) -> APIRouter:
        """Give the routes with their documentation."""
        routes = routes_under(PREFIX, "auth")
        routes.add_api_route("", self.methods, methods=["GET"], summary="List the ways to authenticate")
        routes.add_api_route(f"/{METHOD}", self.method, methods=["GET"], summary="Describe the challenge")
        routes.add_api_route(f"/{METHOD}", self.prove, methods=["POST"], summary="Answer the challenge")
        return routes

    def _requirement(self) -> Json:
        phrase = base64.b64encode(self._phrase).decode()
        return {"type": "challenge", "params": {"InputPhrase": phrase}}

    async def methods(self, request: Request) -> Response:
        """Give the one method."""
        return answer(request, {"NextToken": "", "Methods": {METHOD: self._requirement()}})

    async def method(self, request: Request) -> Response:
        """Give the challenge."""
        return answer(request, self._requirement())

    async def prove(self, request: Request) -> Response:
        """Check an answer; 200 with a token, or 401 with the reason."""
        body: Json = await _authenticate(request)
        try:
            given = json.loads(body.get("MethodData", b"").decode("utf-8", "replace"))
        except (ValueError, RecursionError) as error:
            raise _unreadable(str(error)) from None
        if not isinstance(given, dict):
            raise _unreadable("it is no object")
        try:
            key = read_key(base64.b64decode(str(given.get("PublicKey", "")), validate=True))
            signature = base64.b64decode(str(given.get("PhraseSignature", "")), validate=True)
        except (binascii.Error, ValueError) as error:
            return _rejected(request, f"failed to decode public key: {error}")
        if not verifies(key, self._phrase, signature):
            return _rejected(request, "failed to verify signature: crypto/rsa: verification error")
        token = self._token(key)
        return answer(request, {"Authentication": {"success": True, "token": token}})

    def _token(self, key: PublicKey) -> str:
        modulus = key.n.to_bytes((key.n.bit_length() + 7) // 8, "big")
        client, me = hashlib.sha256(modulus).hexdigest(), self._identity.node_id
        now = int(time.time() * _MICROSECONDS)
        claims = {
            "iss": me,
            "aud": [me],
            "sub": client,
            "iat": now,
            "exp": now + _MONTH * _MICROSECONDS,
            "ns": {"*": 5, client: 15},
        }
        head = f"{_base64url({'alg': 'HS256', 'typ': 'JWT'})}.{_base64url(claims)}"
        signature = hmac.digest(self._secret, head.encode(), "sha256")
        return f"{head}.{base64.urlsafe_b64encode(signature).decode().rstrip('=')}"


def _base64url(value: Json) -> str:
    raw = json.dumps(value, separators=(",", ":")).encode()
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def _rejected(request: Request, reason: str) -> Response:
    return answer(request, {"Authentication": {"success": False, "reason": reason}}, status=401)


def _unreadable(why: str) -> refusals.Refusal:
    return refusals.Refusal(
        f"invalid authentication data: {why}",
        status=500,
        code="InternalError",
        component=refusals.API_SERVER,
    )


# --- RSA, as little as checking a signature needs -------------------------------------------------------


class PublicKey(NamedTuple):
    """An RSA public key: modulus and exponent."""

    n: int
    e: int


def read_key(der: bytes) -> PublicKey:
    """Read a PKCS#1 RSAPublicKey in DER. Raises ValueError when it is none."""
    body, rest = _element(der, _SEQUENCE)
    modulus, body = _element(body, _INTEGER)
    exponent, body = _element(body, _INTEGER)
    key = PublicKey(int.from_bytes(modulus, "big"), int.from_bytes(exponent, "big"))
    if rest or body or key.n < 3 or key.e < 3 or len(modulus) > _LARGEST_KEY:  # noqa: PLR2004 - the least of either
        raise ValueError("it is no RSA public key of at most 16384 bits")
    if key.e > _LARGEST_EXPONENT:
        raise ValueError("x509: public key contains large public exponent")
    return key


def _element(data: bytes, tag: int) -> tuple[bytes, bytes]:
    if len(data) < 2 or data[0] != tag:  # noqa: PLR2004 - a tag and a length
        raise ValueError("asn1: structure error")
    size, at = data[1], 2
    if size & _LONG_FORM:
        at += size & ~_LONG_FORM
        size = int.from_bytes(data[2:at], "big")
    if at + size > len(data):
        raise ValueError("asn1: syntax error: data truncated")
    return data[at : at + size], data[at + size :]


def verifies(key: PublicKey, message: bytes, signature: bytes) -> bool:
    """Say whether ``signature`` is one over ``message``, by PKCS#1 v1.5 with SHA-256."""
    size = (key.n.bit_length() + 7) // 8
    digest = _SHA256_INFO + hashlib.sha256(message).digest()
    padding = size - len(digest) - 3
    value = int.from_bytes(signature, "big")
    if len(signature) != size or padding < 8 or value >= key.n:  # noqa: PLR2004 - the standard's minimum
        return False
    expected = b"\x00\x01" + b"\xff" * padding + b"\x00" + digest
    return hmac.compare_digest(pow(value, key.e, key.n).to_bytes(size, "big"), expected)
