"""The users of the settings, and how they are recognised at the price of one keyed hash per request.

What somebody sends is looked up by its HMAC under a key of this process: the look-up tells nothing by the time
it takes, and no password is kept. API keys and plain passwords are there from the start. A password whose
bcrypt hash is set is checked once, off the event loop, and then remembered, one per user.
"""

from __future__ import annotations

import asyncio
import hmac
import os
import secrets
from collections import OrderedDict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from bacalhau_nats.gateway import refusals
from bacalhau_nats.gateway.access import Key, Password, Principal

_BCRYPT = ("$2a$", "$2b$", "$2y$")
_BCRYPT_READS = 72  # bytes of a password; the rest never counted
_CHECKS_AT_ONCE = max(1, (os.cpu_count() or 1) // 2)  # wrong passwords must leave processors to others
_WRONG_KEPT = 1024


@dataclass(frozen=True, slots=True, repr=False)
class User:
    """Somebody with a name and a password, or with a key, and what they may do."""

    principal: Principal
    username: str = ""
    password: str = ""
    api_key: str = ""

    @property
    def hashed(self) -> bool:
        """Whether the password is a bcrypt hash."""
        return self.password.startswith(_BCRYPT)


class Accounts:
    """Recognises users by what they send."""

    def __init__(self, users: Sequence[User]) -> None:
        self._salt = secrets.token_bytes(32)
        self._known = {self._of_key(u.api_key): u.principal for u in users if u.api_key}
        self._hashed = {u.username.lower(): u for u in users if u.hashed}
        for user in users:
            if user.username and not user.hashed:
                self._known[self._of_password(user.username, user.password)] = user.principal
        self._proved: dict[str, bytes] = {}
        self._wrong: OrderedDict[bytes, None] = OrderedDict()
        # Who has no account is checked against some hash, too: otherwise time would tell who has one.
        self._decoy = next(iter(self._hashed.values()), None)
        self._threads = ThreadPoolExecutor(_CHECKS_AT_ONCE, "bcrypt") if self._hashed else None
        self._turn = asyncio.Semaphore(_CHECKS_AT_ONCE)

    def _of_key(self, key: str) -> bytes:
        return self._digest(f"key:{key}")

    def _of_password(self, user: str, password: str) -> bytes:
        return self._digest(f"password:{len(user)}:{user.lower()}:{password}")

    def _digest(self, text: str) -> bytes:
        return hmac.digest(self._salt, text.encode("utf-8", "surrogateescape"), "sha256")

    def of_key(self, proof: Key) -> Principal:
        """Give the owner of an API key. Raises Refusal (401)."""
        found = self._known.get(self._of_key(proof.key))
        if found is None:
            raise refusals.unauthorized("invalid API key")
        return found

    async def of_password(self, proof: Password) -> Principal:
        """Give the user of a name, in any case, and a password. Raises Refusal (401)."""
        digest = self._of_password(proof.user, proof.password)
        found = self._known.get(digest)
        if found is None and digest not in self._wrong:
            found = await self._checked(proof, digest)
        if found is None:
            raise refusals.unauthorized("invalid basic auth credentials")
        return found

    async def _checked(self, proof: Password, digest: bytes) -> Principal | None:
        """Check a password against its hash, and remember what came out."""
        name = proof.user.lower()
        user = self._hashed.get(name)
        against = user or self._decoy
        if against is None:
            return None
        async with self._turn:
            found = self._known.get(digest)  # somebody else may have waited for the same
            if found is not None or digest in self._wrong:
                return found
            loop = asyncio.get_running_loop()
            right = await loop.run_in_executor(self._threads, _matches, proof.password, against.password)
        if user is None or not right:
            self._wrong[digest] = None
            if len(self._wrong) > _WRONG_KEPT:
                self._wrong.popitem(last=False)
            return None
        self._known.pop(self._proved.get(name, b""), None)
        self._known[digest] = user.principal
        self._proved[name] = digest
        return user.principal


def _matches(password: str, hashed: str) -> bool:
    import bcrypt  # noqa: PLC0415 - only nodes whose users have hashes need it

    raw = password.encode("utf-8", "surrogateescape")[:_BCRYPT_READS]
    try:
        return bcrypt.checkpw(raw, hashed.encode())
    except ValueError:  # a NUL in the password
        return False
