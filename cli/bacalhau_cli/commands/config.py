"""``bacalhau config``: show and change the configuration of this user or node."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from bacalhau_cli import exits, notices, options, render
from bacalhau_cli.context import Caller
from bacalhau_cli.groups import Command, Group
from bacalhau_cli.render import Column, Output
from bacalhau_nats.errors import UserError

config = Group(
    "config",
    help="Show and change the configuration.",
    lazy={
        "list": ("config:list_keys", "List every key with its value."),
        "set": ("config:set_value", "Set a key in the configuration file."),
        "validate": ("config:validate", "Find the mistakes in a configuration file."),
    },
)


def _shown(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


_COLUMNS = [
    Column("Key", lambda item: item["Key"]),
    Column("Value", lambda item: _shown(item["Value"]), width=80),
    Column("Description", lambda item: item["Description"], width=80),
]
_SOURCE = Column("Source", lambda item: item["Source"])


@click.command(
    "list",
    cls=Command,
    help="List every key with its value, and with --wide where the value comes from. --output yaml gives a "
    "file to start from, without its secrets.",
    examples=(
        "bacalhau config list",
        "bacalhau config list --wide --output csv",
        "bacalhau config list --output yaml",
    ),
)
@options.table_output(pretty=True)
@click.pass_obj
def list_keys(caller: Caller, /, *, output: Output) -> None:
    settings = caller.settings()
    if output.form == "yaml":
        render.document(settings.to_wire(), output)
        return
    items = [
        {"Key": line.key, "Value": line.value, "Description": line.description}
        | ({"Source": line.source} if output.wide else {})
        for line in settings.describe()
    ]
    render.table(items, [*_COLUMNS, _SOURCE] if output.wide else _COLUMNS, output)


@click.command(
    "set",
    cls=Command,
    help="Set KEY=VALUE in the configuration file.",
    examples=(
        "bacalhau config set API.Port=8080",
        "bacalhau config set --config node.yaml Compute.Enabled=true",
    ),
)
@click.argument("assignment", nargs=-1, required=True, metavar="KEY=VALUE")
@click.option(
    "-c",
    "--config",
    "file",
    default="",
    metavar="FILE",
    help="File to write [default: config.yaml in the data folder].",
)
@click.pass_obj
def set_value(caller: Caller, /, *, assignment: tuple[str, ...], file: str) -> None:
    from bacalhau_nats.settings import set_key  # noqa: PLC0415 - not for --help

    key, value = _pair(assignment)
    if file and not file.endswith((".yaml", ".yml")):
        raise UserError(f"{file} is not a .yaml or .yml file", hint="configuration files end in .yaml")
    path = Path(file) if file else caller.data_dir() / "config.yaml"
    set_key(path, key, value)
    render.line(f"Writing config to {path.absolute()}")


@click.command(
    cls=Command,
    help="Find the mistakes in a configuration file: keys that there are not, and values that cannot be used.",
    examples=(
        "bacalhau config validate",
        "bacalhau config validate node.yaml",
    ),
)
@click.argument("file", required=False, default="", metavar="[FILE]")
@click.pass_obj
def validate(caller: Caller, /, *, file: str) -> int:
    from bacalhau_nats.settings import Settings  # noqa: PLC0415 - not for --help

    path = Path(file) if file else caller.data_dir() / "config.yaml"
    faults = Settings.check_file(path)
    for fault in faults:
        place = f"{path}:{fault.line}:{fault.column}" if fault.line else str(path)
        notices.error(f"{place}: {fault.message}", hint=fault.hint)
    if faults:
        return exits.FAILED
    for line in Settings.load([path], caller.environ, cwd=Path.cwd()).unused():
        if str(path) in line.source:
            notices.warn(f"{line.source}: {line.key} has no meaning here")
    render.line("OK")
    return exits.OK


def _pair(assignment: tuple[str, ...]) -> tuple[str, str]:
    key, equals, value = assignment[0].partition("=")
    if equals and len(assignment) == 1:
        return key, value
    if equals:
        raise UserError(f"{' '.join(assignment)!r} is not one KEY=VALUE", hint="set one key at a time")
    if len(assignment) == 1:
        raise UserError(f"{key!r} has no value", hint=f"write {key}=VALUE")
    notices.warn(f"KEY VALUE is deprecated; write {key}={','.join(assignment[1:])}")
    return key, ",".join(assignment[1:])
