"""``bacalhau completion``: scripts that make a shell complete commands, options and ids."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from bacalhau_cli import render
from bacalhau_cli.groups import Command, Group, switch
from bacalhau_nats.errors import UserError

_INSTALL = {
    "bash": (
        "source <(bacalhau completion bash)",
        "bacalhau completion bash > /etc/bash_completion.d/bacalhau",
    ),
    "zsh": (
        "source <(bacalhau completion zsh)",
        'bacalhau completion zsh > "${fpath[1]}/_bacalhau"',
    ),
    "fish": (
        "bacalhau completion fish | source",
        "bacalhau completion fish > ~/.config/fish/completions/bacalhau.fish",
    ),
}

completion = Group(
    "completion",
    help="Print a script that makes a shell complete commands, options, values and the ids of jobs and nodes.",
    lazy={
        **{shell: (f"completion:{shell}", f"Print the script for {shell}.") for shell in _INSTALL},
        "powershell": ("completion:powershell", "Not supported; bash, zsh and fish are."),
    },
)

_no_descriptions = switch("--no-descriptions", help="Complete without a description of each word.")


def _for(shell: str) -> Any:
    def show(no_descriptions: bool) -> None:
        from bacalhau_cli.shells import script  # noqa: PLC0415 - not to list the shells

        render.raw(script(shell, descriptions=not no_descriptions))

    once, always = _INSTALL[shell]
    declare: Callable[..., Any] = click.command(
        shell,
        cls=Command,
        help=f"Print the script for {shell}.\n\n\b\nFor this session:\n  {once}\nFor every session:\n  {always}",
        examples=(f"bacalhau completion {shell}",),
    )
    return declare(_no_descriptions(show))


bash, zsh, fish = map(_for, _INSTALL)


@click.command(
    cls=Command, help="Not supported; bash, zsh and fish are.", examples=("bacalhau completion powershell",)
)
@_no_descriptions
def powershell(no_descriptions: bool) -> None:  # noqa: ARG001 - taken, so that the answer is the same
    raise UserError(
        "there is no completion for PowerShell: nodes and command line run on Linux and macOS",
        hint="bash, zsh and fish have one: bacalhau completion bash",
    )
