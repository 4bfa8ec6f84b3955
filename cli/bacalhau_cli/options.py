"""Options that several commands share, under Bacalhau's names."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import click

from bacalhau_cli import notices
from bacalhau_cli.groups import switch
from bacalhau_cli.moment import seconds_of
from bacalhau_cli.render import Output

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]


class Duration(click.ParamType[float]):
    """A duration as Go writes it: ``5m0s``, ``300s``."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Read it as seconds."""
        if isinstance(value, int | float):
            return float(value)
        found = seconds_of(value)
        if found is None:
            self.fail(f"{value!r} is not a duration; write it as 300s or 5m0s", param, ctx)
        return found


class Whole(click.ParamType[int]):
    """A whole number that is not negative."""

    name = "int"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Read it."""
        if not str(value).isdecimal():
            self.fail(f"{value!r} is not a valid number: please provide a positive integer", param, ctx)
        return int(value)


WHOLE = Whole()


def together(*options: Decorator) -> Decorator:
    """Apply several options so that ``--help`` lists them in this order."""

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        return functools.reduce(lambda inner, option: option(inner), reversed(options), function)

    return decorate


def collected(options: Decorator, names: tuple[str, ...], into: str, make: Callable[..., Any]) -> Decorator:
    """Hand a command several options as one value, made from their values by name."""

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def call(*args: Any, **given: Any) -> Any:
            value = make(**{name: given.pop(name) for name in names})
            return function(*args, **given, **{into: value})

        return options(call)

    return decorate


def table_output(*, pretty: bool = False) -> Decorator:
    """``--output table|csv|json|yaml`` and how a table looks; given as one `Output` named ``output``."""
    options = together(
        click.option(
            "--output",
            "form",
            type=click.Choice(["table", "csv", "json", "yaml"], case_sensitive=False),
            default="table",
            show_default=True,
            help="How to print.",
        ),
        switch("--pretty", default=pretty, help="Indent json."),
        switch("--hide-header", help="Leave out the header."),
        switch("--no-style", help="No colours."),
        switch("--wide", help="Whole ids and times, nothing wrapped."),
    )
    names = ("form", "pretty", "hide_header", "no_style", "wide")
    return collected(options, names, "output", Output)


def document_output(default: str, *, pretty: bool = False) -> Decorator:
    """``--output json|yaml``; given as one `Output` named ``output``, its form empty when there is no default."""
    options = together(
        click.option(
            "--output",
            "form",
            type=click.Choice(["json", "yaml"], case_sensitive=False),
            default=default or None,
            show_default=default or "text for people",
            help="How to print.",
        ),
        switch("--pretty", default=pretty, help="Indent json."),
    )
    return collected(options, ("form", "pretty"), "output", lambda form, pretty: Output(form or "", pretty))


def listing(limit: int, *, order_by: Sequence[str] = ()) -> Decorator:
    """``--limit``, ``--next-token``, ``--order-by``, ``--order-reversed``; given as one dict ``listing``.

    ``order_by`` are the orders the server knows; none where it has one order only and ignores the option.
    """
    orders = f"Order by one of: {', '.join(order_by)}." if order_by else "Ignored: there is one order only."
    options = together(
        click.option(
            "--limit",
            type=WHOLE,
            default=limit,
            show_default=bool(limit),
            help="How many at most; 0 is all.",
        ),
        click.option("--next-token", default="", help="Where an earlier list ended."),
        click.option(
            "--order-by",
            type=click.Choice(order_by) if order_by else str,
            metavar="ORDER",
            default=None,
            help=orders,
        ),
        switch("--order-reversed", help="The other way round."),
    )

    def make(limit: int, next_token: str, order_by: str | None, order_reversed: bool) -> dict[str, Any]:
        return {
            "limit": limit,
            "next_token": next_token,
            "order_by": order_by or "",
            "reverse": order_reversed,
        }

    return collected(options, ("limit", "next_token", "order_by", "order_reversed"), "listing", make)


def version(text: str = "Version of the job; 0 is the latest.") -> Decorator:
    """``--version/-v``, also as ``--job-version``, which is what the API calls it."""
    return click.option("-v", "--version", "--job-version", "version", type=WHOLE, default=0, help=text)


def namespace() -> Decorator:
    """``--namespace``, for looking a job up by name."""
    return click.option("--namespace", default="", help="Namespace of the job, when it is given by name.")


RUN_NAMES = ("wait", "wait_timeout_secs", "id_only", "node_details", "follow", "group_events")


def run_options() -> Decorator:
    """How to watch a job after submission; given as one `submission.Watching` named ``watching``."""
    from bacalhau_cli.submission import Watching  # noqa: PLC0415 - only commands that submit

    options = together(
        switch(
            "--wait",
            default=True,
            help="Wait for the job to end; the exit code tells how: 0 completed, 3 failed, 4 stopped, 5 not over in time.",
        ),
        click.option(
            "--wait-timeout-secs",
            type=WHOLE,
            default=600,
            show_default=True,
            help="How long to wait at most; 0 is for ever. The job goes on after that.",
        ),
        switch("--id-only", help="Print the job's id and nothing else."),
        switch("--node-details", help="Say at the end what happened on each node."),
        switch("-f", "--follow", help="Show the job's output while it runs."),
        switch("--group-events", help="One row per execution, its latest event (as on a terminal)."),
    )
    return collected(options, RUN_NAMES, "watching", Watching)


def job_options() -> Decorator:
    """What a job is called and where it may run (``docker run``, ``wasm run``)."""
    return together(
        click.option(
            "--name", default="", help="Name of the job; submitting the name again updates the job."
        ),
        click.option("--namespace", default="default", show_default=True, help="Namespace of the job."),
        click.option("--priority", type=int, default=0, help="Higher goes first where jobs wait."),
        click.option("--count", type=WHOLE, default=1, show_default=True, help="How many executions."),
        click.option(
            "--target",
            type=click.Choice(["any", "all"]),
            default="any",
            show_default=True,
            help="Run on any nodes (batch), or once on all that match (ops).",
        ),
        click.option("--constraints", default="", help="Nodes to run on: region=eu,gpu,tier in (a,b)."),
        click.option(
            "-l", "--labels", multiple=True, metavar="KEY=VALUE", help="Labels of the job. Repeatable."
        ),
        former("--concurrency", instead="count", type=WHOLE),
        former("-s", "--selector", instead="constraints"),
    )


def former(*names: str, instead: str, **settings: Any) -> Decorator:
    """Take an option under the name it had before; said on stderr, and not together with the new one."""

    def check(ctx: click.Context, param: click.Parameter, value: Any) -> Any:
        if value is None or ctx.resilient_parsing:
            return value
        given = ctx.meta.get("given arguments") or []
        if any(arg.partition("=")[0] == f"--{instead}" for arg in given):
            raise click.BadParameter(f"it is the former name of --{instead}; give only that one", ctx, param)
        notices.warn(f"{names[-1]} is the former name of --{instead}")
        return value

    return click.option(*names, default=None, hidden=True, callback=check, **settings)


def task_options() -> Decorator:
    """What an execution gets and gives (``docker run``, ``wasm run``)."""
    return together(
        click.option("--task-name", default="main", show_default=True, help="Name of the task."),
        click.option(
            "-e", "--env", multiple=True, metavar="NAME=VALUE", help="Environment variable. Repeatable."
        ),
        click.option(
            "-i",
            "--input",
            multiple=True,
            metavar="URI[:TARGET]",
            help="Data to have at TARGET [/inputs]: ipfs://CID, http(s)://…, s3://bucket/key, file:///path. "
            "Repeatable; options as ,opt=key=value.",
        ),
        click.option(
            "-o", "--output", multiple=True, metavar="NAME:PATH", help="Folder of results. Repeatable."
        ),
        click.option(
            "-p",
            "--publisher",
            multiple=True,
            metavar="TYPE|URI",
            help="Where results go: local, nats, ipfs, s3managed, s3://bucket/key.",
        ),
        click.option("--cpu", default="", help="Cores, as 0.5 or 500m."),
        click.option("--memory", default="", help="Memory, as 512Mb or 1GiB."),
        click.option("--disk", default="", help="Disk space, as 10Gb."),
        click.option("--gpu", default="", help="Number of GPUs."),
        click.option(
            "--network", default="Default", show_default=True, help="Default, None, Host, HTTP or Bridge."
        ),
        click.option("--domain", multiple=True, help="Domain to reach with --network http. Repeatable."),
        click.option("--timeout", type=WHOLE, default=0, help="Seconds the whole job may take."),
        click.option("--queue-timeout", type=WHOLE, default=0, help="Seconds it may wait for a node."),
    )
