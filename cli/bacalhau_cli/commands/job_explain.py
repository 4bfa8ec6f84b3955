"""``bacalhau job explain``: why each node did or did not get a job."""

from __future__ import annotations

from typing import Any

import click

from bacalhau_cli import options, render
from bacalhau_cli.context import Caller
from bacalhau_cli.groups import Command
from bacalhau_cli.render import Column, Output
from bacalhau_nats.domain.ids import short


def _now(node: Any) -> str:
    """Say what the node is for the job at this moment."""
    states = ", ".join(f"{short(one['ID'])} {one['State']}" for one in node["Executions"])
    if states or node["CouldRunNow"]:
        return states or "could run it"
    return "the same" if node["WhyNotNow"] == node["Reason"] else str(node["WhyNotNow"])


_COLUMNS = [
    render.id_column("Node", "NodeID"),
    Column("Verdict", lambda node: node["Verdict"], width=11),
    Column("Why", lambda node: node["Reason"], width=60),
    Column("Now", _now, width=40),
]


@click.command(
    cls=Command,
    help="Say of each node why it did or did not get a job. Nodes that could run it are asked best first (not where it "
    "failed before, not beside another execution of it, most room left), and the first bid wins. What they "
    "answered is kept for a day at most.",
    examples=(
        "bacalhau job explain j-1a2b3c4d",
        "bacalhau job explain --output json my-job",
    ),
)
@click.argument("job")
@options.version()
@options.namespace()
@options.table_output()
@click.pass_obj
def explain(caller: Caller, /, *, job: str, version: int, namespace: str, output: Output) -> None:
    found = caller.call(lambda client: client.explain(job, version=version, namespace=namespace))
    if output.form == "table" and not output.hide_header:
        _head(found)
    render.table(found["Nodes"], _COLUMNS, output, data=found)


def _head(found: dict[str, Any]) -> None:
    name = found["JobName"]
    called = "" if name in ("", found["JobID"]) else f" ({render.printable(name)})"
    render.line(f"Job {found['JobID']}{called}, version {found['JobVersion']}: {found['State']}")
    if found["Message"]:
        render.line(render.printable(found["Message"]))
    render.line()
