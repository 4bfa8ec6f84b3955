"""``bacalhau job`` describe, list, executions, history, versions: look at jobs."""

from __future__ import annotations

import shlex
from typing import Any

import click

from bacalhau_cli import columns, notices, options, render
from bacalhau_cli.context import Caller
from bacalhau_cli.groups import Command, switch
from bacalhau_cli.render import Output


@click.command(
    cls=Command,
    help="Show everything about a job: state, history, executions and output.",
    examples=(
        "bacalhau job describe j-1a2b3c4d",
        "bacalhau job describe --output json my-job",
    ),
)
@click.argument("job")
@options.version()
@options.namespace()
@options.document_output("")
@click.pass_obj
def describe(caller: Caller, /, *, job: str, version: int, namespace: str, output: Output) -> None:
    details = caller.call(
        lambda client: client.get(
            job, version=version, namespace=namespace, include=("executions", "history")
        )
    )
    if output.form:
        render.document(details, output)
    else:
        from bacalhau_cli.describe import describe as show  # noqa: PLC0415 - only for people

        show(details)


@click.command(
    "list",
    cls=Command,
    help="List jobs, oldest first.",
    examples=(
        "bacalhau job list --order-reversed --limit 20",
        "bacalhau job list --labels 'team=red,stage in (test,prod)'",
        "bacalhau job list --output csv",
    ),
)
@click.option(
    "--labels", default="bacalhau_canary != true", show_default=True, help="Only jobs with these labels."
)
@options.listing(10, order_by=("created_at", "modified_at"))
@options.table_output()
@click.pass_context
def list_jobs(ctx: click.Context, /, *, labels: str, listing: dict[str, Any], output: Output) -> None:
    caller: Caller = ctx.obj
    # The requirements are joined by the server; blanks around an operator mean nothing.
    page = caller.call(lambda client: client.list_jobs(labels=_tight(labels), **listing))
    render.table(page["Items"], columns.JOBS, output)
    _tell_more(ctx, page["NextToken"])


@click.command(
    cls=Command,
    help="List the executions of a job, oldest first.",
    examples=(
        "bacalhau job executions j-1a2b3c4d",
        "bacalhau job executions --all-versions --wide my-service",
    ),
)
@click.argument("job")
@options.version()
@switch("--all-versions", help="Of every version, not only the latest.")
@options.namespace()
@options.listing(20, order_by=("created_at", "modified_at"))
@options.table_output()
@click.pass_obj
def executions(
    caller: Caller,
    /,
    *,
    job: str,
    version: int,
    all_versions: bool,
    namespace: str,
    listing: dict[str, Any],
    output: Output,
) -> None:
    page = caller.call(
        lambda client: client.executions(
            job, version=version, all_versions=all_versions, namespace=namespace, **listing
        )
    )
    wide = columns.RESULTS if output.wide and output.form == "table" else []
    render.table(page["Items"], [*columns.EXECUTIONS, *wide], output)


@click.command(
    cls=Command,
    help="List what happened to a job, in order.",
    examples=(
        "bacalhau job history j-1a2b3c4d",
        "bacalhau job history --event-type execution --output json my-job",
    ),
)
@click.argument("job")
@click.option(
    "--event-type",
    type=click.Choice(["all", "job", "execution"]),
    default="all",
    show_default=True,
    help="Only events of the job itself, or of its executions.",
)
@click.option(
    "--execution-id", default="", help="Only events of this execution; a beginning of its id is enough."
)
@options.version()
@switch("--all-versions", help="Of every version, not only the latest.")
@options.namespace()
@options.listing(0)
@options.table_output()
@click.pass_obj
def history(
    caller: Caller,
    /,
    *,
    job: str,
    event_type: str,
    execution_id: str,
    version: int,
    all_versions: bool,
    namespace: str,
    listing: dict[str, Any],
    output: Output,
) -> None:
    page = caller.call(
        lambda client: client.history(
            job,
            event_type=event_type,
            execution_id=execution_id,
            version=version,
            all_versions=all_versions,
            namespace=namespace,
            **listing,
        )
    )
    render.table(page["Items"], columns.HISTORY, output)


@click.command(
    cls=Command,
    help="List the versions of a job, first to last.",
    examples=("bacalhau job versions my-service",),
)
@click.argument("job")
@options.namespace()
@options.table_output()
@click.pass_obj
def versions(caller: Caller, /, *, job: str, namespace: str, output: Output) -> None:
    page = caller.call(lambda client: client.versions(job, namespace=namespace))
    render.table(page["Items"], columns.VERSIONS, output)


def _tight(selector: str) -> str:
    for operator in ("!=", "==", "="):
        selector = selector.replace(f" {operator} ", operator)
    return selector


def _tell_more(ctx: click.Context, token: str) -> None:
    """Give the command that shows the next part, with every flag that was given."""
    if not token:
        return
    given = [*(ctx.meta.get("given arguments") or [])]
    kept, skip = [], False
    for arg in given:
        if skip or arg.startswith("--next-token="):
            skip = False
        elif arg == "--next-token":
            skip = True
        else:
            kept.append(arg)
    notices.say("\nTo fetch more records use:")
    notices.say(f"\t{shlex.join(['bacalhau', 'job', 'list', *kept, '--next-token', token])}")
