"""``bacalhau profile``: servers by names of the user's own."""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import Any

import click

from bacalhau_cli import notices, options, render
from bacalhau_cli.context import Caller
from bacalhau_cli.groups import Command, Group, Switch, switch
from bacalhau_cli.moment import seconds
from bacalhau_cli.profiles import Profile, Profiles, address, check_name
from bacalhau_cli.render import Column, Output
from bacalhau_nats.errors import UserError

_SHOWN_ENDS = 4  # characters at either end of a token
_USUAL_TIMEOUT = "30s"

profile = Group(
    "profile",
    help="Keep servers by name, each with its token and time limit, and switch between them.",
    lazy={
        "delete": ("profile:delete", "Delete a profile."),
        "list": ("profile:list_profiles", "List the profiles."),
        "save": ("profile:save", "Make or change a profile."),
        "select": ("profile:select", "Make a profile the current one."),
        "show": ("profile:show", "Show a profile."),
    },
)


def _profiles(caller: Caller) -> Profiles:
    return Profiles(caller.data_dir())


@click.command(
    "list", cls=Command, help="List the profiles.", examples=("bacalhau profile list --output json",)
)
@options.table_output()
@click.pass_obj
def list_profiles(caller: Caller, /, *, output: Output) -> None:
    profiles = _profiles(caller)
    current = profiles.current()
    items = [_listed(name, profiles, current) for name in profiles.names()]
    if not items and output.form == "table":
        notices.say("No profiles found")
        return
    columns = [
        Column("Current", lambda item: "*" if item["current"] else ""),
        Column("Name", lambda item: item["name"]),
        Column("Endpoint", lambda item: item["endpoint"]),
        Column("Auth", lambda item: item["auth"]),
    ]
    render.table(items, columns, output)


def _listed(name: str, profiles: Profiles, current: str) -> dict[str, Any]:
    try:
        found = profiles.load(name)
    except UserError as error:
        notices.warn(error.message)
        found = Profile(endpoint="")
    return {
        "current": name == current,
        "name": name,
        "endpoint": found.endpoint,
        "auth": "token" if found.token else "",
    }


@click.command(
    cls=Command,
    help="Make a profile, or change what is given of one. 'auth sso login' puts a token into it.",
    examples=(
        "bacalhau profile save prod --endpoint https://example.com:1234 --select",
        "bacalhau profile save prod --timeout 2m",
    ),
)
@click.argument("name", metavar="NAME")
@click.option("--endpoint", default="", metavar="URL", help="The server; needed for a new profile.")
@click.option("--description", default=None, help="What it is, for people.")
@click.option(
    "--timeout", default=None, metavar="DURATION", help="How long to wait for an answer, as 30s or 2m."
)
@click.option("--insecure", cls=Switch, default=None, help="Accept any certificate of the server.")
@switch("--select", help="Make it the current profile.")
@click.pass_obj
def save(
    caller: Caller,
    /,
    *,
    name: str,
    endpoint: str,
    description: str | None,
    timeout: str | None,
    insecure: bool | None,
    select: bool,
) -> None:
    profiles = _profiles(caller)
    check_name(name)
    known = name in profiles.names()
    if not known and not endpoint:
        raise UserError(f'a new profile "{name}" needs an endpoint', hint="add --endpoint https://host:port")
    if timeout and not seconds(timeout, "--timeout"):
        raise UserError("--timeout must be more than 0", hint="write it as 30s or 2m")
    before = profiles.load(name) if known else Profile(endpoint="")
    given: dict[str, Any] = {
        "endpoint": address(endpoint) if endpoint else None,
        "description": description,
        "timeout": timeout,
        "insecure": insecure,
    }
    changes = {key: value for key, value in given.items() if value is not None}
    if before.token and changes.get("endpoint", before.endpoint) != before.endpoint:
        changes["token"] = ""
        notices.warn(
            f"the token of {before.endpoint} is removed from the profile: it is not for another server"
        )
    profiles.save(name, replace(before, **changes))
    render.line(f'Profile "{name}" saved')
    if select:
        profiles.select(name)
        render.line(f'Switched to profile "{name}"')


@click.command(
    cls=Command, help="Make a profile the current one.", examples=("bacalhau profile select prod",)
)
@click.argument("name", metavar="NAME")
@click.pass_obj
def select(caller: Caller, /, *, name: str) -> None:
    _profiles(caller).select(name)
    render.line(f'Switched to profile "{name}"')


@click.command(
    cls=Command,
    help="Show a profile: the one named, or the one of BACALHAU_PROFILE, or the current one.",
    examples=("bacalhau profile show prod",),
)
@click.argument("name", metavar="[NAME]", default="")
@switch("--show-token", help="Show the whole token.")
@click.pass_obj
def show(caller: Caller, /, *, name: str, show_token: bool) -> None:
    profiles = _profiles(caller)
    current = profiles.current()
    name = name or caller.environ.get("BACALHAU_PROFILE", "") or current
    if not name:
        raise UserError("no current profile set", hint="choose one: bacalhau profile select NAME")
    found = profiles.load(name)
    token = found.token if show_token else _masked(found.token)
    render.line(f"Name:        {name}{' (current)' if name == current else ''}")
    render.line(f"Endpoint:    {render.printable(found.endpoint)}")
    render.line(f"Auth:        {f'token ({token})' if token else 'none'}")
    render.line(f"TLS:         {'insecure' if found.insecure else 'secure'}")
    render.line(f"Timeout:     {found.timeout or _USUAL_TIMEOUT}")
    if found.description:
        render.line(f"Description: {render.printable(found.description)}")


def _masked(token: str) -> str:
    if not token:
        return ""
    ends = (token[:_SHOWN_ENDS], token[-_SHOWN_ENDS:]) if len(token) > 2 * _SHOWN_ENDS else ("", "")
    return "****".join(ends)


@click.command(cls=Command, help="Delete a profile.", examples=("bacalhau profile delete old",))
@click.argument("name", metavar="NAME")
@switch("-f", "--force", help="Do not ask, even if it is the current one.")
@click.pass_obj
def delete(caller: Caller, /, *, name: str, force: bool) -> None:
    profiles = _profiles(caller)
    profiles.load(name) if name not in profiles.names() else None
    if not force and name == profiles.current() and not sure(f'Delete the current profile "{name}"?'):
        notices.say("Deletion cancelled")
        return
    profiles.delete(name)
    render.line(f'Profile "{name}" deleted')


def sure(question: str) -> bool:
    """Ask a person. Raises UserError where there is none."""
    if not sys.stdin.isatty():
        raise UserError(f"{question} Nobody can be asked: stdin is no terminal", hint="add --force")
    return click.confirm(question, err=True)
