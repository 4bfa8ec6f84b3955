"""``bacalhau node``: look at the nodes of the cluster."""

from __future__ import annotations

from typing import Any

import click

from bacalhau_cli import columns, options, render
from bacalhau_cli.context import Caller
from bacalhau_cli.exits import WrongFlags
from bacalhau_cli.groups import Command, Group
from bacalhau_cli.render import Output
from bacalhau_cli.suggestions import did_you_mean, near

node = Group(
    "node",
    profile=True,
    help="Look at the nodes of the cluster, and decide about them.",
    lazy={
        "approve": ("node_decide:approve", "Let a node take work."),
        "cordon": ("node_decide:cordon", "Give a node nothing new."),
        "delete": ("node_decide:delete", "Forget a node, until it reports again."),
        "describe": ("node:describe", "Show everything about a node."),
        "drain": ("node_decide:drain", "Empty a node: its work is placed elsewhere."),
        "list": ("node:list_nodes", "List the nodes."),
        "reject": ("node_decide:reject", "Let a node take no work."),
        "uncordon": ("node_decide:uncordon", "Give a node work again."),
    },
)


@click.command(
    "list",
    cls=Command,
    help="List the nodes.",
    examples=(
        "bacalhau node list --show version,capacity",
        "bacalhau node list --labels 'region=eu' --filter-status connected",
    ),
)
@click.option(
    "--show",
    multiple=True,
    default=("labels,capacity",),
    show_default=True,
    help="Groups of columns: labels, version, features, capacity.",
)
@click.option("--labels", default="", help="Only nodes with these labels.")
@click.option(
    "--filter-approval",
    type=click.Choice(["approved", "pending", "rejected"], case_sensitive=False),
    help="Only nodes so approved.",
)
@click.option(
    "--filter-status",
    type=click.Choice(["connected", "disconnected"], case_sensitive=False),
    help="Only nodes so connected.",
)
@options.listing(
    0,
    order_by=(
        "id",
        "type",
        "available_cpu",
        "available_memory",
        "available_disk",
        "available_gpu",
        "approval",
        "status",
    ),
)
@options.table_output()
@click.pass_obj
def list_nodes(
    caller: Caller,
    /,
    *,
    show: tuple[str, ...],
    labels: str,
    filter_approval: str | None,
    filter_status: str | None,
    listing: dict[str, Any],
    output: Output,
) -> None:
    groups = [name for text in show for name in text.replace(" ", "").split(",") if name]
    for name in groups:
        if name not in columns.NODE_GROUPS:
            meant = did_you_mean(near(name, columns.NODE_GROUPS))
            raise WrongFlags(
                f"--show: there is no group of columns {name!r}",
                hint=meant or f"there are {', '.join(columns.NODE_GROUPS)}",
            )
    nodes = caller.call(
        lambda client: client.nodes(
            labels=labels,
            approval=filter_approval or "",
            status=filter_status or "",
            **listing,
        )
    )
    render.table(
        nodes, [*columns.NODE_ALWAYS, *(c for name in groups for c in columns.NODE_GROUPS[name])], output
    )


@click.command(
    cls=Command,
    help="Show everything about a node.",
    examples=(
        "bacalhau node describe n-1a2b3c4d",
        "bacalhau node describe --output json node-1",
    ),
)
@click.argument("node_id", metavar="ID")
@options.document_output("yaml")
@click.pass_obj
def describe(caller: Caller, /, *, node_id: str, output: Output) -> None:
    render.document(caller.call(lambda client: client.node(node_id)), output)
