"""``bacalhau job`` logs and get: what a job printed and what it left."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bacalhau_cli import exits, former, loglines, notices, options, progress, render
from bacalhau_cli.context import Caller
from bacalhau_cli.groups import Command, switch
from bacalhau_cli.moment import Moment
from bacalhau_nats.domain.ids import short
from bacalhau_nats.errors import BacalhauError, BusTimeout, UserError

if TYPE_CHECKING:
    from bacalhau_nats.client import Client, Downloaded


_NONE_IS_LEFT = "unable to find execution"


@click.command(
    cls=Command,
    help="Show what a job prints: its stdout on stdout, its stderr on stderr. Following goes on through a "
    "restart of the server.",
    examples=(
        "bacalhau job logs j-1a2b3c4d",
        "bacalhau job logs --follow --tail my-service",
        "bacalhau job logs --all --timestamps --since 10m my-job",
        "bacalhau job logs --all --output json my-job",
    ),
)
@click.argument("job")
@click.option("-e", "--execution-id", default="", help="Of this execution instead of the newest.")
@switch("-a", "--all", help="Of all executions, each line with the execution's id before it.")
@switch("-f", "--follow", help="Go on until the execution ends; with --all, until the job ends.")
@switch("-t", "--tail", help="Only what is printed from now on.")
@click.option(
    "--since",
    type=Moment(),
    default="",
    help="Only what was printed since: 10m (ago), 2026-01-31T10:20:30Z, or unix seconds.",
)
@click.option(
    "--from-seq",
    type=options.WHOLE,
    default=0,
    help="Only from this sequence of the log stream on (see --output json).",
)
@switch("--timestamps", help="Begin each line with when it was printed, UTC.")
@click.option("--output", type=click.Choice(["json"]), default=None, help="json: an object for each line.")
@options.version()
@options.namespace()
@click.pass_obj
def logs(
    caller: Caller,
    /,
    *,
    job: str,
    execution_id: str,
    all: bool,  # noqa: A002 - the option's name
    follow: bool,
    timestamps: bool,
    output: str | None,
    **which: Any,
) -> int:
    if all and execution_id:
        raise exits.WrongFlags("--all and --execution-id exclude each other", hint="leave one of them out")
    printer = loglines.printer(prefix=all, timestamps=timestamps, as_json=output == "json")

    async def read(client: Client, execution: str) -> None:
        pieces = client.logs(job, execution_id=execution, follow=follow, every=all, **which)
        async with aclosing(pieces):  # who reads our output may have seen enough
            async for piece in pieces:
                printer.take(piece)

    async def show(client: Client) -> None:
        try:
            await read(client, execution_id)
        except BacalhauError as error:
            if execution_id or _NONE_IS_LEFT not in error.message:
                raise
            await read(client, await _newest_that_failed(client, job, which, error))

    try:
        caller.call(show)
    except KeyboardInterrupt:
        return exits.OK if follow else exits.INTERRUPTED
    printer.close()
    return exits.OK


async def _newest_that_failed(
    client: Client, job: str, which: Mapping[str, Any], error: BacalhauError
) -> str:
    """Name an execution whose output is worth reading when servers choose none: those that failed."""
    found = await client.executions(job, version=which["version"], namespace=which["namespace"])
    if not found["Items"]:
        raise error
    newest = max(found["Items"], key=lambda one: one.get("CreateTime", 0))
    notices.say(f"No execution of it went well; this is the newest one, {short(newest['ID'])}:")
    return newest["ID"]


@click.command(
    cls=Command,
    help="Fetch the results of a job, all of them or JOB/PATH, into a folder. Each result is compared with what "
    "its node published; what is there already and unchanged is not fetched again, and no other file is replaced.",
    examples=(
        "bacalhau job get j-1a2b3c4d",
        "bacalhau job get --output-dir results j-1a2b3c4d/data/when",
    ),
)
@click.argument("job", metavar="JOB[/PATH]")
@former.ipfs_flags()
@click.option("--output-dir", default="", help="Existing folder to write into [default: a new one, job-JOB].")
@switch("--raw", help="Keep what each execution published as it is, below raw/.")
@click.option(
    "--download-timeout-secs",
    "limit",
    type=options.Duration(),
    default="5m0s",
    show_default=True,
    help="How long all downloads may take, as 300s or 5m0s.",
)
@options.namespace()
@click.pass_obj
def get(caller: Caller, /, *, job: str, output_dir: str, raw: bool, limit: float, namespace: str) -> None:
    name, _, path = job.partition("/")
    ipfs = caller.ipfs_endpoint()
    into = _folder(output_dir, name, namespace)
    notices.say(f"Fetching results of job '{job}'...")

    async def fetch(client: Client) -> Downloaded:
        with progress.downloads() as show:
            async with _known_to_have_results(client, name, namespace), asyncio.timeout(limit or None):
                return await client.download(
                    name,
                    into,
                    path=path,
                    raw=raw,
                    namespace=namespace,
                    ipfs=ipfs,
                    on_progress=show,
                    environ=caller.environ,
                )

    try:
        done = caller.call(fetch)
    except TimeoutError:
        raise BusTimeout(
            f"the results did not arrive within {limit:g} s",
            hint="run the command again: it goes on where it stopped; --download-timeout-secs gives it more time",
        ) from None
    _tell(done, job)


@asynccontextmanager
async def _known_to_have_results(client: Client, name: str, namespace: str) -> AsyncIterator[None]:
    """Explain what the public server answers with "Internal server error": the question for a service's results."""
    try:
        yield
    except BacalhauError as error:
        if error.details.get("Status") != "500":
            raise
        kind = (await client.get(name, namespace=namespace))["Job"].get("Type", "")
        if kind not in ("service", "daemon"):
            raise
        raise UserError(
            f"a {kind} job has no results", hint=f"see what it prints: bacalhau job logs {name}"
        ) from None


def _folder(output_dir: str, name: str, namespace: str) -> Path:
    if output_dir:
        into = Path(output_dir).expanduser()
        if not into.is_dir():
            raise UserError(f"output dir does not exist: {into.absolute()}", hint="make it first")
        return into
    middle = f"{namespace}-" if namespace not in ("", "default") else ""
    return Path(f"job-{middle}{name}")


def _tell(done: Downloaded, job: str) -> None:
    if not done.results:
        render.line("No results found")
        notices.say(f"A job without a publisher keeps none; see what it printed: bacalhau job logs {job}")
        return
    if done.verified < done.results:
        notices.say("The server tells no digests of these results: they could not be verified.")
    elif done.fetched:
        notices.say(f"Verified {_count(done.files, 'file')} of {_count(done.results, 'result')}.")
    else:
        notices.say(f"All there and verified ({_count(done.files, 'file')}): nothing was fetched.")
    if done.left:
        notices.warn(f"files of an earlier fetch that these results do not have: {_some(done.left)}")
    if done.clashes:
        notices.warn(
            "several executions have a result of the same name; each is kept in its execution's folder: "
            f"{_some(done.clashes)}"
        )
    render.line(f"Results for job '{job}' have been written to...")
    render.line(str(done.into.absolute()))


def _some(names: tuple[str, ...]) -> str:
    return ", ".join(names[:3]) + (", …" if len(names) > 3 else "")  # noqa: PLR2004 - a few


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"
