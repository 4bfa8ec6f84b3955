"""Addresses that open one thing for some minutes, to whoever has them.

Bacalhau's own clients send no credential when they download what ``results`` named; with users, they could not have
what they may. So an address that is shown to somebody who may read it carries its own proof: until when it is good,
and an HMAC of that and its path under a key of this process.
"""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Callable
from urllib.parse import parse_qs

SECONDS = 1800
_UNTIL, _PROOF = "expires", "signature"
_LONGEST = 20  # digits of a time


class Links:
    """Signs paths and checks the signatures; ``clock`` gives unix seconds."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._key = secrets.token_bytes(32)
        self._clock = clock

    def sign(self, path: str) -> str:
        """Give the query that makes ``path`` good for `SECONDS`."""
        until = str(int(self._clock()) + SECONDS)
        return f"?{_UNTIL}={until}&{_PROOF}={self._proof(path, until)}"

    def good(self, path: str, query: bytes) -> bool:
        """Say whether a request for ``path`` has a signature of ours that is still good."""
        if _PROOF.encode() not in query:
            return False
        given = parse_qs(query.decode("latin-1"))
        until, proof = (given.get(name, [""])[0] for name in (_UNTIL, _PROOF))
        if not (until.isascii() and until.isdigit() and len(until) <= _LONGEST):
            return False
        right = hmac.compare_digest(proof.encode(), self._proof(path, until).encode())
        return right and self._clock() < int(until)

    def _proof(self, path: str, until: str) -> str:
        return hmac.digest(self._key, f"{until} {path}".encode("utf-8", "surrogateescape"), "sha256").hex()
