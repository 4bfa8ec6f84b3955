"""Lets a request through when whoever sends it has what it needs; a websocket is refused before its upgrade."""

from __future__ import annotations

import logging
import time

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from bacalhau_nats.gateway import refusals
from bacalhau_nats.gateway.access import OPEN, Key, Password, Principal, Proof, check, needed, proof_of
from bacalhau_nats.gateway.accounts import Accounts
from bacalhau_nats.gateway.http import problems
from bacalhau_nats.gateway.http.middleware import request_id_of, send_bytes
from bacalhau_nats.gateway.http.wire import JSON, encode
from bacalhau_nats.gateway.links import Links
from bacalhau_nats.gateway.tokens import Tokens

_log = logging.getLogger(__name__)


class Gatekeeper:
    """Knows the users and, if there is one, the identity provider; ``links`` are good without either."""

    def __init__(self, accounts: Accounts, tokens: Tokens | None = None) -> None:
        self._accounts, self._tokens = accounts, tokens
        self.links = Links(time.time)

    def begin(self) -> None:
        """Fetch the provider's keys soon, so that a wrong address shows at the start of a node."""
        if self._tokens is not None:
            self._tokens.keys.begin()

    async def admit(self, method: str, path: str, authorization: str | None, query: bytes = b"") -> None:
        """Return when a request may be served. Raises Refusal."""
        capability = needed(method, path)
        if capability != OPEN and not (method == "GET" and self.links.good(path, query)):
            check(await self._who(proof_of(authorization)), capability)

    async def _who(self, proof: Proof) -> Principal:
        if isinstance(proof, Password):
            return await self._accounts.of_password(proof)
        if isinstance(proof, Key):
            return self._accounts.of_key(proof)
        if self._tokens is None:
            raise refusals.unauthorized("OAuth2 authentication not configured on server")
        return await self._tokens.of_token(proof)


class Authorization:
    """Asks the gatekeeper about each request."""

    def __init__(self, app: ASGIApp, *, gatekeeper: Gatekeeper) -> None:
        self._app = app
        self._gatekeeper = gatekeeper

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        kind = scope["type"]
        if kind == "lifespan":
            await self._app(scope, receive, send)
            return
        method = "GET" if kind == "websocket" else scope["method"]
        given = Headers(scope=scope).get("authorization")
        try:
            # Blanks at the end of a header are no part of it (RFC 9110, 5.5).
            authorization = None if given is None else given.rstrip(" \t")
            await self._gatekeeper.admit(method, scope["path"], authorization, scope["query_string"])
        except refusals.Refusal as error:
            _log.info(
                "refused %s %r: %s",
                method,
                scope["path"],
                error.details.get("reason", error.message),
                extra={"action": "request_refused", "client": (scope.get("client") or ("",))[0]},
            )
            problem = problems.of_error(error, request_id_of(scope))
            content = b"" if method == "HEAD" else encode(problem)
            await send_bytes(send, content, media=JSON, status=error.status, websocket=kind == "websocket")
            return
        await self._app(scope, receive, send)
