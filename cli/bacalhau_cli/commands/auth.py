"""``bacalhau auth``: which credential is used, and passwords for a server's list of users."""

from __future__ import annotations

import asyncio
import getpass
import sys
from typing import Any

import click

from bacalhau_cli import notices, options, render
from bacalhau_cli.connection import Connection
from bacalhau_cli.context import Caller
from bacalhau_cli.groups import Command, Group
from bacalhau_cli.render import Output, printable
from bacalhau_nats.errors import BacalhauError, NotFound, UserError

_COST = 10
_LONGEST, _READ_BYTES = 100, 72  # characters that Bacalhau takes, bytes that bcrypt reads
_ENVIRONMENT = ("BACALHAU_API_KEY", "BACALHAU_API_USERNAME", "BACALHAU_API_PASSWORD")

auth = Group(
    "auth",
    profile=True,
    help="Log in, log out, and see which credential is used.",
    lazy={
        "hash-password": ("auth:hash_password", "Hash a password for a server's list of users."),
        "info": ("auth:info", "Show the server, the credential that is used, and how to log in."),
        "sso": ("auth_sso:sso", "Log in with the server's identity provider, and out."),
    },
)


@click.command(
    "hash-password",
    cls=Command,
    help="Hash a password with bcrypt, for API.Auth.Users of a server. It is asked for, or read from stdin.",
    examples=("bacalhau auth hash-password", "bacalhau auth hash-password < password.txt"),
)
def hash_password() -> None:
    password = _password()
    raw = password.encode()
    if not password:
        raise UserError("the password is empty")
    if len(password) > _LONGEST or len(raw) > _READ_BYTES:
        raise UserError(
            f"the password is too long: bcrypt reads {_READ_BYTES} bytes, this has {len(raw)}",
            hint="choose a shorter one",
        )
    if "\0" in password:
        raise UserError("the password holds a NUL character, where bcrypt would stop to read")
    import bcrypt  # noqa: PLC0415 - only for this command

    render.line(bcrypt.hashpw(raw, bcrypt.gensalt(_COST)).decode())


def _password() -> str:
    """Ask twice without showing it, or read one line of stdin."""
    if not sys.stdin.isatty():
        line = sys.stdin.buffer.readline()
        try:
            return line.decode().rstrip("\r\n")
        except UnicodeDecodeError:
            raise UserError("the password on stdin is not UTF-8") from None
    password = getpass.getpass("Enter password: ", sys.stderr)
    if password and getpass.getpass("Repeat it: ", sys.stderr) != password:
        raise UserError("the two passwords differ")
    return password


@click.command(
    cls=Command,
    help="Show the server, the credential that is used for it, and whether it has an identity provider.",
    examples=("bacalhau auth info", "bacalhau auth info --profile prod --output json"),
)
@options.document_output("")
@click.pass_obj
def info(caller: Caller, /, *, output: Output) -> None:
    to = caller.connection()
    provider = asyncio.run(_provider(to))
    environment = {name: bool(caller.environ.get(name)) for name in _ENVIRONMENT}
    credential = to.credential.origin if to.credential else ""
    found = {
        "endpoint": to.url,
        "profile": to.profile,
        "credential": credential,
        "environment": environment,
        "sso": provider,
    }
    if output.form:
        render.document(found, output)
        return
    lines = {"Server": to.url, "Profile": to.profile or "none"}
    lines |= {name: "Set" if given else "Not Set" for name, given in environment.items()}
    lines |= {"Credential": credential or "none", "SSO": _described(provider)}
    width = max(map(len, lines)) + 1
    for name, value in lines.items():
        render.line(f"{name + ':':<{width}} {printable(value)}")
    render.line("Credentials in the environment go before any other.")


async def _provider(to: Connection) -> dict[str, Any] | None:
    """Give name, id and version of the server's identity provider; {} when it has none, None when nobody knows."""
    try:
        found = await authconfig(to)
    except NotFound:
        return {}
    except BacalhauError as error:
        notices.warn(f"whether the server has an identity provider is not known: {error.message}")
        return None
    config = found.get("Config") or {}
    if not config.get("ProviderID"):
        return {}
    return {
        "providerName": str(config.get("ProviderName", "")),
        "providerID": str(config["ProviderID"]),
        "version": str(found.get("Version", "")),
    }


def _described(provider: dict[str, Any] | None) -> str:
    if provider is None:
        return "not known"
    if not provider:
        return "not supported by this server"
    return (
        "{providerName} (id {providerID}, version {version}); log in with 'bacalhau auth sso login'".format(
            **provider
        )
    )


async def authconfig(to: Connection) -> dict[str, Any]:
    """Ask a server about its identity provider; no credential is sent."""
    from bacalhau_nats.client.transport import Transport  # noqa: PLC0415 - not for --help

    http = Transport(to.url, headers={}, timeout=to.timeout, verify=to.verify)
    try:
        return await http.json("GET", "/api/v1/agent/authconfig")
    finally:
        await http.aclose()
