"""What proves to a server who asks: where it comes from, how it is sent, and the files that keep tokens.

A server's token is kept by the server's address in two files of the data folder, as Bacalhau's command line keeps
them: ``jwt-tokens.json`` has those of an identity provider, ``tokens.json`` those that a server gave for a
challenge.
"""

from __future__ import annotations

import base64
import fcntl
import json
import os
import secrets
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from bacalhau_nats.client import environment
from bacalhau_nats.errors import UserError

SIGN_IN = (
    "set BACALHAU_API_KEY, or BACALHAU_API_USERNAME and BACALHAU_API_PASSWORD; or log in with "
    "'bacalhau auth sso login' if the server has an identity provider ('bacalhau auth info' tells)"
)


@dataclass(frozen=True, slots=True)
class Credential:
    """The value of an ``Authorization`` header, the words for where it is from, and what to do when it is refused."""

    authorization: str = field(repr=False)
    origin: str
    advice: str


Login = Callable[[], Awaitable[Credential | None]]
"""Gets a credential from a server that wants one; None when it cannot."""


def bearer(token: str, origin: str, advice: str) -> Credential:
    """Make a credential of a key or a token."""
    return Credential(f"Bearer {token}", origin, advice)


def of_environment(environ: Mapping[str, str]) -> Credential | None:
    """Give the key, or the name with its password, of the environment. Raises UserError when it has both, or half."""
    key, basic = environment.credentials(environ)
    if key:
        return bearer(key, "the API key in BACALHAU_API_KEY", "check the key")
    if basic is None:
        return None
    user, password = basic
    encoded = base64.b64encode(f"{user}:{password}".encode()).decode()
    origin = f"the user {user!r} of BACALHAU_API_USERNAME"
    return Credential(f"Basic {encoded}", origin, "check the name and BACALHAU_API_PASSWORD")


class TokenFile:
    """A JSON file of tokens by the addresses of servers; only its owner may read it.

    It is replaced as a whole, so whoever is killed while writing leaves the old one. Writers take turns.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def get(self, url: str) -> str:
        """Give the token of a server; empty when there is none. Raises UserError when the file cannot be used."""
        return self._read().get(url, "")

    def put(self, url: str, token: str) -> None:
        """Keep the token of a server. Raises UserError."""
        self._change(url, token)

    def drop(self, url: str) -> bool:
        """Forget the token of a server; say whether there was one. Raises UserError."""
        return bool(self.get(url)) and self._change(url, "")

    def _read(self) -> dict[str, str]:
        try:
            found = json.loads(self.path.read_text())
        except FileNotFoundError:
            return {}
        except OSError as error:
            raise UserError(f"the tokens in {self.path} cannot be read: {error.strerror}") from error
        except ValueError:
            found = None
        if not isinstance(found, dict) or not all(isinstance(value, str) for value in found.values()):
            raise UserError(
                f"{self.path} is damaged: it should be a JSON object of tokens by servers",
                hint="remove it and log in again",
            )
        return found

    def _change(self, url: str, token: str) -> bool:
        try:
            with _turn(self.path.parent):
                tokens = {key: value for key, value in self._read().items() if key != url}
                if token:
                    tokens[url] = token
                write_private(self.path, json.dumps(tokens, indent=2) + "\n")
        except OSError as error:
            raise UserError(
                f"a token cannot be kept in {self.path}: {error.strerror}",
                hint="choose a folder you may write with --data-dir",
            ) from error
        return True


@contextmanager
def _turn(folder: Path) -> Iterator[None]:
    """Wait until nobody else changes the files of a folder, which is made if need be."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def write_private(path: Path, text: str) -> None:
    """Replace a file by one that only its owner may read; it is the old one or the new one at any time."""
    draft = path.with_name(f".{path.name}-{secrets.token_hex(4)}")
    try:
        handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    except BaseException:
        with suppress(OSError):
            draft.unlink()
        raise
