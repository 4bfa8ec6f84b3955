"""Tokens of an identity provider: JSON web tokens, checked against the keys that the provider publishes.

RS256 is the only algorithm. A token needs ``kid``, ``iss``, ``aud`` and ``exp``; ``iat`` and ``nbf`` count where
they are there; clocks may differ by some seconds. Its claim ``permissions`` lists what it may do.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bacalhau_nats.errors import Unavailable
from bacalhau_nats.gateway import refusals
from bacalhau_nats.gateway.access import Principal, Token

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

_log = logging.getLogger(__name__)

_ALGORITHM = "RS256"
_LEEWAY = 10  # seconds
_REFETCH_AFTER = 30.0  # seconds between two looks for a key that is not known
_REFRESH_AFTER = 900.0  # seconds after which the keys are looked at again: one may have been withdrawn
_FETCH_SECONDS = 10.0
_LARGEST_KEY_SET = 1_000_000
_MOST_KEYS = 100

Fetch = Callable[[str], Awaitable[bytes]]


@dataclass(frozen=True, slots=True)
class Provider:
    """An identity provider: where its keys are, and what its tokens must name."""

    jwks_uri: str
    issuer: str
    audience: str


class Keys:
    """The provider's keys by their ids, fetched when they are needed: never twice at once, and not too often.

    Who has a known key waits for nothing; keys that are old are looked at again meanwhile. When they cannot be
    fetched, those of last time stay. ``clock`` gives seconds that never go back.
    """

    def __init__(self, uri: str, fetch: Fetch, clock: Callable[[], float]) -> None:
        self._uri, self._fetch, self._clock = uri, fetch, clock
        self._keys: dict[str, RSAPublicKey] | None = None
        self._fetched = self._tried = float("-inf")
        self._why = ""
        self._fetching: asyncio.Task[None] | None = None

    async def find(self, key_id: str) -> RSAPublicKey | None:
        """Give the key of that id, None when the provider has none. Raises Refusal (503) when no key is known."""
        known = self._keys is not None and key_id in self._keys
        since = self._fetched if known else self._tried
        if self._clock() - since >= (_REFRESH_AFTER if known else _REFETCH_AFTER):
            self.begin()
        if not known and self._fetching is not None:
            await asyncio.shield(self._fetching)
        if self._keys is None:
            raise refusals.no_provider_keys(f"the keys of the identity provider cannot be had: {self._why}")
        return self._keys.get(key_id)

    def begin(self) -> None:
        """Fetch the keys soon, unless that is happening or was just tried."""
        now = self._clock()
        if self._fetching is None and now - self._tried >= _REFETCH_AFTER:
            self._tried = now
            self._fetching = asyncio.create_task(self._refresh(), name="keys of the identity provider")

    async def _refresh(self) -> None:
        try:
            self._keys = read_keys(await self._fetch(self._uri))
            self._fetched = self._clock()
        except (Unavailable, ValueError) as error:
            self._why = str(error)
            _log.warning(
                "the keys of the identity provider cannot be had from %s (API.Auth.Oauth2.JWKSUri): %s",
                self._uri,
                error,
                extra={"action": "provider_keys_missing"},
            )
        finally:
            self._fetching = None


def read_keys(raw: bytes) -> dict[str, RSAPublicKey]:
    """Read a JSON web key set; keys for other uses or of other kinds are left out. Raises ValueError."""
    from jwt import PyJWKSet  # noqa: PLC0415 - only nodes with a provider need it
    from jwt.exceptions import PyJWTError  # noqa: PLC0415

    try:
        found = json.loads(raw)
        usable = [one for one in found["keys"] if _may_sign(one)][:_MOST_KEYS]
        keys = PyJWKSet.from_dict({"keys": usable}).keys if usable else []
    except (KeyError, TypeError, AttributeError, RecursionError, PyJWTError) as error:
        raise ValueError(f"what is there is no set of JSON web keys: {error}") from None
    return {str(one.key_id): one.key for one in keys}


def _may_sign(key: dict[str, Any]) -> bool:
    return (
        key.get("kty") == "RSA"
        and bool(key.get("kid"))
        and key.get("use", "sig") == "sig"
        and key.get("alg", _ALGORITHM) == _ALGORITHM
    )


class Tokens:
    """Recognises whom a provider's token speaks for."""

    def __init__(self, provider: Provider, keys: Keys) -> None:
        self._provider, self.keys = provider, keys

    async def of_token(self, proof: Token) -> Principal:
        """Check a token. Raises Refusal: 401 when it is not valid, 503 when the provider's keys are not known."""
        import jwt  # noqa: PLC0415 - only nodes with a provider need it

        try:
            head = jwt.get_unverified_header(proof.token)
            key = await self.keys.find(str(head.get("kid", ""))) if head.get("alg") == _ALGORITHM else None
            if key is None:
                raise jwt.InvalidKeyError(f"alg {head.get('alg')}, kid {head.get('kid')}")
            claims = jwt.decode(
                proof.token,
                key,
                algorithms=[_ALGORITHM],
                audience=self._provider.audience,
                issuer=self._provider.issuer,
                leeway=_LEEWAY,
                options={"require": ["exp", "iss", "aud"]},
            )
            return principal_of(claims)
        except (jwt.PyJWTError, ValueError) as error:
            _log.info("a token is not valid: %s", error, extra={"action": "token_refused"})
            raise refusals.unauthorized("invalid JWT token") from None


def principal_of(claims: dict[str, Any]) -> Principal:
    """Read whom checked claims speak for, and their permissions. Raises ValueError when those are no list of texts."""
    permissions = claims.get("permissions")
    if permissions is None:
        permissions = []
    if not isinstance(permissions, list) or not all(isinstance(one, str) for one in permissions):
        raise ValueError("permissions is no list of texts")
    return Principal(str(claims.get("sub", "")), frozenset(permissions))


async def fetch_keys(uri: str) -> bytes:
    """Download a key set. Raises Unavailable."""
    import httpx  # noqa: PLC0415 - only nodes with a provider need it

    raw = bytearray()
    try:
        async with (
            asyncio.timeout(_FETCH_SECONDS),
            httpx.AsyncClient(follow_redirects=True) as client,
            client.stream("GET", uri, headers={"Accept": "application/json"}) as response,
        ):
            if response.status_code != 200:  # noqa: PLR2004 - HTTP's number
                raise Unavailable(f"the answer is {response.status_code}")
            async for piece in response.aiter_bytes():
                raw += piece
                if len(raw) > _LARGEST_KEY_SET:
                    raise Unavailable(f"it is larger than {_LARGEST_KEY_SET} bytes")
    except TimeoutError:
        raise Unavailable(f"no answer within {_FETCH_SECONDS:g} s") from None
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise Unavailable(str(error) or type(error).__name__) from error
    return bytes(raw)
