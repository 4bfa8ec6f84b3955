"""``bacalhau help``: the help of a command, as ``--help`` after it shows it."""

from __future__ import annotations

import click

from bacalhau_cli import render
from bacalhau_cli.groups import Command


@click.command(
    "help",
    cls=Command,
    help="Show the help of a command.",
    examples=("bacalhau help", "bacalhau help job list"),
)
@click.argument("words", nargs=-1, metavar="[COMMAND]...")
@click.pass_context
def help_(ctx: click.Context, words: tuple[str, ...]) -> None:
    shown = ctx.find_root()
    rest = list(words)
    while rest and isinstance(shown.command, click.Group):
        name, command, rest = shown.command.resolve_command(shown, rest)
        if command is None:
            break
        shown = click.Context(command, info_name=name, parent=shown)
    render.line(shown.get_help())
