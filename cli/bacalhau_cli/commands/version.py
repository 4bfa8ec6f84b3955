"""``bacalhau version``: this client's version and the server's. Nothing is asked of anybody else."""

from __future__ import annotations

import asyncio
from operator import itemgetter
from typing import TYPE_CHECKING

import click

from bacalhau_cli import notices, options, render
from bacalhau_cli.context import Caller
from bacalhau_cli.groups import Command, profile_option, switch
from bacalhau_cli.render import Column, Output
from bacalhau_nats import __version__
from bacalhau_nats.errors import BacalhauError

if TYPE_CHECKING:
    from bacalhau_nats.client import Client

_SERVER_SECONDS = 3


@click.command(
    cls=Command,
    params=[profile_option()],
    help="Show the versions of this client and of the server.",
    examples=(
        "bacalhau version",
        "bacalhau version --output json",
    ),
)
@switch("--client", help="Only this client's; ask no server.")
@options.table_output()
@click.pass_obj
def version(caller: Caller, /, *, client: bool, output: Output) -> None:
    async def ask(server: Client) -> str:
        async with asyncio.timeout(_SERVER_SECONDS):
            return str((await server.agent_version()).get("GitVersion", ""))

    found = {"clientVersion": f"v{__version__}"}
    if not client:
        try:
            found["serverVersion"] = caller.call(ask)
        except (BacalhauError, TimeoutError) as error:
            why = error.message if isinstance(error, BacalhauError) else "it does not answer"
            notices.warn(f"the server's version is not known: {why}")
    columns = [Column(key.removesuffix("Version"), itemgetter(key)) for key in found]
    render.table([found], columns, output, data=found)
