"""``bacalhau auth sso``: log in with the identity provider of a server.

The token is kept in the profile that is used, or in a new one of the server's name, and by the server's address
in ``jwt-tokens.json``, where Bacalhau's own command line finds it, too.
"""

from __future__ import annotations

import asyncio
import base64
import json
import re
import sys
from contextlib import suppress
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

import click

from bacalhau_cli import notices, render
from bacalhau_cli.commands.auth import authconfig
from bacalhau_cli.commands.profile import sure
from bacalhau_cli.connection import Connection, token_files
from bacalhau_cli.context import Caller
from bacalhau_cli.groups import Command, Group, switch
from bacalhau_cli.profiles import Profile, Profiles
from bacalhau_cli.render import printable
from bacalhau_nats.client import sso as flow
from bacalhau_nats.errors import UserError

_PARTS_OF_A_JWT = 3

sso = Group(
    "sso",
    profile=True,
    help="Log in with the server's identity provider, and out.",
    lazy={
        "login": ("auth_sso:login", "Log in."),
        "logout": ("auth_sso:logout", "Forget the token of a login."),
        "token": ("auth_sso:token", "Print the token of a login."),
    },
)


@click.command(
    cls=Command,
    help="Log in: open a page in any browser, and type a code there.",
    examples=("bacalhau auth sso login", "bacalhau auth sso login --profile prod"),
)
@click.pass_obj
def login(caller: Caller, /) -> None:
    to = caller.connection()
    token, provider = asyncio.run(_log_in(to))
    name = _keep(caller, to, token)
    notices.say(f"Logged in at {provider}. The token is kept in profile {name!r} for {to.url}.")
    if caller.environ.get("BACALHAU_API_KEY") or caller.environ.get("BACALHAU_API_USERNAME"):
        notices.warn("the credential in the environment (BACALHAU_API_…) still goes before this token")


async def _log_in(to: Connection) -> tuple[str, str]:
    config = (await authconfig(to)).get("Config") or {}
    if not config.get("ProviderID") or not config.get("ProviderName"):
        raise UserError(
            f"{to.url} has no identity provider to log in with",
            hint="use an API key (BACALHAU_API_KEY), or a user name and password, if it wants any",
        )
    name = printable(str(config["ProviderName"]))

    def show(prompt: flow.Prompt) -> None:
        render.line(f"To log in at {name}, open this page in a browser:")
        render.line(f"  {printable(prompt.whole or prompt.page)}")
        render.line("and enter or confirm this code:")
        render.line(f"  {printable(prompt.code)}")
        sys.stdout.flush()
        notices.say(f"Waiting; the code is good for {prompt.seconds / 60:.0f} minutes. Ctrl-C gives up.")

    return await flow.device_login(config, show), name


def _keep(caller: Caller, to: Connection, token: str) -> str:
    """Keep a token; give the name of its profile."""
    profiles = Profiles(caller.data_dir())
    name = to.profile or _named_after(to.url)
    known = name in profiles.names()
    before = profiles.load(name) if known else Profile(endpoint=to.url)
    of_provider, _ = token_files(caller.data_dir())
    of_provider.put(to.url, token)
    profiles.save(name, replace(before, endpoint=to.url, token=token))
    if not profiles.current():
        profiles.select(name)
    return name


def _named_after(url: str) -> str:
    return re.sub(r"[^A-Za-z0-9]", "_", urlsplit(url).netloc)


@click.command(
    cls=Command,
    help="Forget the token of a login at this server. The provider is told nothing: the token stays good there.",
    examples=("bacalhau auth sso logout --force",),
)
@switch("-f", "--force", help="Do not ask.")
@click.pass_obj
def logout(caller: Caller, /, *, force: bool) -> None:
    to = caller.connection()
    profiles = Profiles(caller.data_dir())
    of_provider, _ = token_files(caller.data_dir())
    holders = [name for name in profiles.at(to.url) if profiles.load(name).token]
    if not holders and not of_provider.get(to.url):
        notices.say(f"You are not logged in at {to.url}")
        return
    if not force and not sure(f"Log out of {to.url}?"):
        notices.say("Logout cancelled")
        return
    for name in holders:
        profiles.save(name, replace(profiles.load(name), token=""))
    of_provider.drop(to.url)
    notices.say(f"Logged out of {to.url}")


@click.command(
    cls=Command,
    help="Print the token of a login at this server.",
    examples=("bacalhau auth sso token --decode",),
)
@switch("-d", "--decode", help="Show what it says instead. Its signature is not checked.")
@click.pass_obj
def token(caller: Caller, /, *, decode: bool) -> None:
    to = caller.connection()
    of_profile = Profiles(caller.data_dir()).load(to.profile).token if to.profile else ""
    found = of_profile or token_files(caller.data_dir())[0].get(to.url)
    if not found:
        notices.say("No authentication token found")
    elif decode:
        render.line(json.dumps(_decoded(found), indent=2, ensure_ascii=False))
    else:
        render.line(found)


def _decoded(token: str) -> dict[str, Any]:
    parts = token.split(".")
    if len(parts) == _PARTS_OF_A_JWT:
        with suppress(ValueError):
            header, claims = (
                json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))) for part in parts[:2]
            )
            return {"header": header, "claims": claims}
    raise UserError("the token is no JSON web token, so there is nothing to decode")
