"""``bacalhau agent``: ask the server about itself."""

from __future__ import annotations

import click

from bacalhau_cli import options, render
from bacalhau_cli.context import Caller
from bacalhau_cli.groups import Command, Group
from bacalhau_cli.render import Output

agent = Group(
    "agent",
    profile=True,
    help="Ask the server about itself.",
    lazy={
        "alive": ("agent:alive", "Ask whether the server is there."),
        "config": ("agent:config", "Show the server's configuration, secrets masked."),
        "node": ("agent:node", "Show which node the server is."),
        "version": ("agent:version", "Show which version the server runs."),
    },
)


@click.command(
    cls=Command,
    help="Ask whether the server is there.",
    examples=(
        "bacalhau agent alive",
        "bacalhau agent alive --api-host http://example.com --api-port 1234",
    ),
)
@options.document_output("yaml")
@click.pass_obj
def alive(caller: Caller, /, *, output: Output) -> None:
    render.document(caller.call(lambda client: client.alive()), output)


@click.command(
    cls=Command,
    help="Show the server's configuration, secrets masked.",
    examples=("bacalhau agent config --output json",),
)
@options.document_output("yaml", pretty=True)
@click.pass_obj
def config(caller: Caller, /, *, output: Output) -> None:
    render.document(caller.call(lambda client: client.agent_config()), output)


@click.command(
    cls=Command,
    help="Show which node the server is.",
    examples=("bacalhau agent node --output json",),
)
@options.document_output("yaml")
@click.pass_obj
def node(caller: Caller, /, *, output: Output) -> None:
    render.document(caller.call(lambda client: client.agent_node()), output)


@click.command(
    cls=Command,
    help="Show which version the server runs.",
    examples=("bacalhau agent version",),
)
@options.document_output("")
@click.pass_obj
def version(caller: Caller, /, *, output: Output) -> None:
    found = caller.call(lambda client: client.agent_version())
    if output.form:
        render.document(found, output)
        return
    render.line(f"Bacalhau {found.get('GitVersion', '')}")
    render.line(f"BuildDate {found.get('BuildDate', '')}")
    render.line(f"GitCommit {found.get('GitCommit', '')}")
