"""A server's own login: a challenge that a key answers, or questions that a person answers.

It happens only when the server refuses a request for want of a credential. The token that it gives is kept in
``tokens.json`` for the next command.
"""

from __future__ import annotations

import base64
import json
import os
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import click

from bacalhau_cli import notices
from bacalhau_cli.connection import Connection, token_files
from bacalhau_cli.render import printable
from bacalhau_nats.client import Client
from bacalhau_nats.client.credentials import Credential, Login, bearer, write_private
from bacalhau_nats.client.transport import Transport
from bacalhau_nats.errors import Forbidden, NotFound, UserError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

_METHODS = "/api/v1/auth"
_KEY_FILE = "user_id.pem"
_KEY_BITS, _EXPONENT = 2048, 65537
_CHALLENGE, _ASK = "challenge", "ask"


class SignedClient(Client):
    """A client that asks with the credential of a connection, and logs in when the server wants that."""

    def __init__(self, to: Connection, data_dir: Path) -> None:
        super().__init__(to.url, timeout=to.timeout, verify=to.verify)
        self._http.sign(to.credential, login(to, data_dir) if to.renewable else None)


def login(to: Connection, data_dir: Path) -> Login:
    """Make the login for a connection."""

    async def log_in() -> Credential | None:
        _, kept = token_files(data_dir)
        kept.drop(to.url)
        http = Transport(to.url, headers={}, timeout=to.timeout, verify=to.verify)
        try:
            methods = (await http.json("GET", _METHODS)).get("Methods") or {}
            if not methods:
                return None
            name = _choose(methods)
            token = await _prove(http, name, _answer(methods[name], data_dir))
        except NotFound:
            return None  # no such thing there: the refusal that led here says all
        finally:
            await http.aclose()
        kept.put(to.url, token)
        return bearer(token, f"the token that {to.url} just gave", "ask whoever runs that server")

    return log_in


def _choose(methods: Mapping[str, Any]) -> str:
    """Choose the only method, or let the user choose."""
    usable = [
        n for n, m in sorted(methods.items()) if isinstance(m, dict) and m.get("type") in (_CHALLENGE, _ASK)
    ]
    if not usable:
        kinds = ", ".join(sorted(printable(str(name)) for name in methods))
        raise UserError(f"the server wants a login that this program does not know: {kinds}")
    if len(usable) == 1:
        return usable[0]
    _need_person("the server offers several logins")
    notices.say("The server wants a login:")
    for number, name in enumerate(usable, start=1):
        notices.say(f"{number:3}. {printable(name)}")
    chosen = click.prompt("Choose", type=click.IntRange(1, len(usable)), err=True)
    return usable[int(chosen) - 1]


def _need_person(why: str) -> None:
    if not sys.stdin.isatty():
        raise UserError(
            f"{why}, and nobody can be asked: stdin is no terminal",
            hint="run one command in a terminal first, or set BACALHAU_API_KEY",
        )


def _answer(method: Mapping[str, Any], data_dir: Path) -> dict[str, str]:
    params = method.get("params")
    params = params if isinstance(params, dict) else {}
    if method.get("type") == _CHALLENGE:
        return _signed(str(params.get("InputPhrase", "")), data_dir / _KEY_FILE)
    return _asked(params)


async def _prove(http: Transport, name: str, answer: Mapping[str, str]) -> str:
    """Send an answer and give the token. Raises Forbidden when the server does not take it."""
    data = base64.b64encode(json.dumps(answer).encode()).decode()
    body = {"Name": name, "MethodData": data, "Namespace": "", "Credential": None}
    path = f"{_METHODS}/{quote(name, safe='')}"
    try:
        found = (await http.json("POST", path, body=body)).get("Authentication") or {}
    except Forbidden as error:
        raise Forbidden(
            f"{http.base_url} does not take the login {printable(name)!r}",
            hint="ask whoever runs that server",
        ) from error
    if not isinstance(found, dict) or not found.get("success") or not found.get("token"):
        reason = printable(str(found.get("reason") or "it gave no reason"))
        raise Forbidden(f"{http.base_url} does not take the login {printable(name)!r}: {reason}")
    return str(found["token"])


# --- questions ------------------------------------------------------------------------------------------


def _asked(schema: Mapping[str, Any]) -> dict[str, str]:
    """Ask for each required property of a JSON schema; what is only to be written is not shown."""
    _need_person("the server asks questions before it lets anybody in")
    properties = schema.get("properties")
    properties = properties if isinstance(properties, dict) else {}
    answers = {}
    for name in schema.get("required") or ():
        found = properties.get(name)
        about = found if isinstance(found, dict) else {}
        label = printable(str(about.get("title") or name))
        answers[str(name)] = str(
            click.prompt(label, hide_input=about.get("writeOnly") is True, err=True, type=str)
        )
    return answers


# --- the key ----------------------------------------------------------------------------------------------


def _signed(phrase: str, file: Path) -> dict[str, str]:
    """Sign a phrase with the user's key (PKCS#1 v1.5 over SHA-256), which is made if need be."""
    from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15  # noqa: PLC0415 - for few servers
    from cryptography.hazmat.primitives.hashes import SHA256  # noqa: PLC0415
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat  # noqa: PLC0415

    key = _key(file)
    signature = key.sign(base64.b64decode(phrase), PKCS1v15(), SHA256())
    public = key.public_key().public_bytes(Encoding.DER, PublicFormat.PKCS1)
    return {
        "PhraseSignature": base64.b64encode(signature).decode(),
        "PublicKey": base64.b64encode(public).decode(),
    }


def _key(file: Path) -> RSAPrivateKey:
    from cryptography.hazmat.primitives.asymmetric import rsa  # noqa: PLC0415 - for few servers
    from cryptography.hazmat.primitives.serialization import load_pem_private_key  # noqa: PLC0415

    try:
        if not file.exists():
            _make_key(file)
        key = load_pem_private_key(file.read_bytes(), None)
    except OSError as error:
        raise UserError(f"the key {file} cannot be used: {error.strerror}") from error
    except (ValueError, TypeError):
        key = None
    if not isinstance(key, rsa.RSAPrivateKey):
        raise UserError(f"{file} holds no RSA key", hint="remove it: another is made with the next login")
    return key


def _make_key(file: Path) -> None:
    from cryptography.hazmat.primitives.asymmetric import rsa  # noqa: PLC0415 - for few servers
    from cryptography.hazmat.primitives.serialization import (  # noqa: PLC0415
        Encoding,
        NoEncryption,
        PrivateFormat,
    )

    made = rsa.generate_private_key(_EXPONENT, _KEY_BITS)
    pem = made.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = file.with_name(f".{file.name}-{os.getpid()}")
    write_private(draft, pem.decode())
    with suppress(FileExistsError):  # another command was first: its key is the one
        os.link(draft, file)
    draft.unlink()
