"""``/api/v1/auth``. On an open server: prove that you hold some key, get a token.

Nothing depends on it: an open server accepts every request whatever its ``Authorization`` says. But the
public clients take a server without a method for one that wants a login, so there is one: a challenge
whose phrase is the node's id, answered with an RSA signature (PKCS#1 v1.5 over SHA-256) and its key. A server
with users lists no method, since that is what makes those clients ask for a login.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import secrets
import time
from typing import TYPE_CHECKING, Any

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from bacalhau_nats.domain.draft import mismatch, text
from bacalhau_nats.errors import InvalidSpec
from bacalhau_nats.gateway import refusals
from bacalhau_nats.gateway.core import Identity
from bacalhau_nats.gateway.http.routing import routes_under
from bacalhau_nats.gateway.http.wire import Json, answer, body_of

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

PREFIX = "/api/v1/auth"
METHOD = "clientkey"
_MONTH = 30 * 24 * 3600
_MICROSECONDS = 1_000_000
_LARGEST_KEY = 16_384  # bits
_LARGEST_EXPONENT = 2**31 - 1  # as Go has it: checking a signature takes a time in proportion to its length


def _bytes(value: Any, where: str) -> bytes:
    if not isinstance(value, str):
        raise mismatch("[]uint8", value, where)
    try:
        return base64.b64decode(value, validate=True)
    except ValueError:  # binascii.Error is one, and so is what is said of text beyond ASCII
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

    def _token(self, key: RSAPublicKey) -> str:
        import jwt  # noqa: PLC0415 - few ask for a token

        n = key.public_numbers().n
        modulus = n.to_bytes((n.bit_length() + 7) // 8, "big")
        client, me = hashlib.sha256(modulus).hexdigest(), self._identity.node_id
        now = int(time.time() * _MICROSECONDS)
        claims: Json = {
            "iss": me,
            "aud": [me],
            "sub": client,
            "iat": now,
            "exp": now + _MONTH * _MICROSECONDS,
            "ns": {"*": 5, client: 15},
        }
        return jwt.encode(claims, self._secret, algorithm="HS256")


class ClosedAuthRoutes:
    """The one route of a server that has users: none of the old ways leads in."""

    def router(self) -> APIRouter:
        """Give the route with its documentation."""
        routes = routes_under(PREFIX, "auth")
        routes.add_api_route("", self.methods, methods=["GET"], summary="List the ways to authenticate")
        return routes

    async def methods(self, request: Request) -> Response:
        """Give no method: clients then say that a password, a key or a provider's token is needed."""
        return answer(request, {"NextToken": "", "Methods": {}})


def _rejected(request: Request, reason: str) -> Response:
    return answer(request, {"Authentication": {"success": False, "reason": reason}}, status=401)


def _unreadable(why: str) -> refusals.Refusal:
    return refusals.Refusal(
        f"invalid authentication data: {why}",
        status=500,
        code="InternalError",
        component=refusals.API_SERVER,
    )


def read_key(der: bytes) -> RSAPublicKey:
    """Read a PKCS#1 RSAPublicKey in DER. Raises ValueError when it is none, or one that is slow to check with."""
    from cryptography.exceptions import UnsupportedAlgorithm  # noqa: PLC0415 - few ask for a token
    from cryptography.hazmat.primitives.asymmetric import rsa  # noqa: PLC0415
    from cryptography.hazmat.primitives.serialization import load_der_public_key  # noqa: PLC0415

    if len(der) > _LARGEST_KEY:  # bytes: nobody's key is as long as that
        raise ValueError("it is no RSA public key")
    try:
        key = load_der_public_key(der)
    except UnsupportedAlgorithm as error:
        raise ValueError(str(error)) from None
    if not isinstance(key, rsa.RSAPublicKey) or key.key_size > _LARGEST_KEY:
        raise ValueError(f"it is no RSA public key of at most {_LARGEST_KEY} bits")
    if key.public_numbers().e > _LARGEST_EXPONENT:
        raise ValueError("x509: public key contains large public exponent")
    return key


def verifies(key: RSAPublicKey, message: bytes, signature: bytes) -> bool:
    """Say whether ``signature`` is one over ``message``, by PKCS#1 v1.5 with SHA-256."""
    from cryptography.exceptions import InvalidSignature  # noqa: PLC0415 - few ask for a token
    from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15  # noqa: PLC0415
    from cryptography.hazmat.primitives.hashes import SHA256  # noqa: PLC0415

    try:
        key.verify(signature, message, PKCS1v15(), SHA256())
    except InvalidSignature:
        return False
    return True
