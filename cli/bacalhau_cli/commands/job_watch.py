"""``bacalhau job watch``: look at a job until it is over."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from bacalhau_cli import exits, notices, options
from bacalhau_cli.context import Caller
from bacalhau_cli.groups import Command

if TYPE_CHECKING:
    from bacalhau_nats.client import Client


@click.command(
    cls=Command,
    help="Watch a job until it is over: its state, where it runs, and the last lines that it prints. Off a terminal, "
    "a line for each change. The exit code tells how the job ended: 0 completed, 3 failed, 4 stopped.",
    examples=(
        "bacalhau job watch my-job",
        "bacalhau job watch --lines 30 j-1a2b3c4d",
        "bacalhau job watch --output json j-1a2b3c4d",
    ),
)
@click.argument("job")
@click.option(
    "--lines",
    type=options.WHOLE,
    default=10,
    show_default=True,
    help="Lines of output to show on a terminal.",
)
@click.option("--output", type=click.Choice(["json"]), default=None, help="json: an object for each change.")
@options.version()
@options.namespace()
@click.pass_obj
def watch(
    caller: Caller, /, *, job: str, lines: int, output: str | None, version: int, namespace: str
) -> int:
    from bacalhau_cli import watching  # noqa: PLC0415 - not for --help

    async def show(client: Client) -> str:
        details = await client.get(job, version=version, namespace=namespace, include=("executions",))
        return await watching.watch(client, details, lines=lines, as_json=output == "json")

    try:
        return exits.BY_JOB_STATE.get(caller.call(show), exits.OK)
    except KeyboardInterrupt:
        notices.warn(f"no longer watching; the job goes on (stop it with 'bacalhau job stop {job}')")
        return exits.INTERRUPTED
