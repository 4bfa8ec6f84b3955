"""``bacalhau job`` run, rerun, stop, validate: make things happen."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from bacalhau_cli import exits, jobtext, notices, options, render
from bacalhau_cli.context import Caller
from bacalhau_cli.groups import Command, switch
from bacalhau_cli.jobtext import Templating
from bacalhau_cli.submission import Watching, submit_and_watch
from bacalhau_nats.client.wire import TERMINAL_JOB_STATES, job_state
from bacalhau_nats.errors import BacalhauError, Conflict, InvalidSpec, WrongArgument

if TYPE_CHECKING:
    from bacalhau_nats.client import Client, Job


@click.command(
    cls=Command,
    help="Submit a job from a YAML or JSON file, or from stdin. {{ }} in it is filled in as Go's text/template "
    "does it: {{.name}} with what --template-vars and --template-envs give.",
    examples=(
        "bacalhau job run job.yaml",
        "bacalhau job run --template-vars image=busybox:1.37,count=3 job.yaml",
        "bacalhau job run --dry-run job.yaml",
        "bacalhau job run --id-only --wait=false < job.json",
    ),
)
@click.argument("files", nargs=-1, metavar="[FILE|-]")
@jobtext.template_options()
@options.run_options()
@switch("--dry-run", help="Show what would change, or the job itself; submit nothing.")
@switch("--hide-warnings", help="Do not show the server's warnings.")
@switch("--force", help="Make a new version although nothing changed.")
@click.pass_obj
def run(
    caller: Caller,
    /,
    *,
    files: tuple[str, ...],
    templating: Templating,
    watching: Watching,
    dry_run: bool,
    hide_warnings: bool,
    force: bool,
) -> int:
    read = jobtext.read(files, templating, caller.environ)
    if not hide_warnings:
        for warning in read.warnings:
            notices.warn(warning)
    if dry_run:
        return _dry_run(caller, read.job)
    return submit_and_watch(
        caller, lambda client: client.submit(read.job, force=force), watching, hide_warnings=hide_warnings
    )


@click.command(
    cls=Command,
    help="Run a job again, as a new version.",
    examples=(
        "bacalhau job rerun j-1a2b3c4d",
        "bacalhau job rerun --version 2 my-job",
    ),
)
@click.argument("job")
@options.run_options()
@options.version("Version to run again; 0 is the latest.")
@click.pass_obj
def rerun(caller: Caller, /, *, job: str, watching: Watching, version: int) -> int:
    return submit_and_watch(caller, lambda client: client.rerun(job, version=version), watching)


@click.command(
    cls=Command,
    help="Stop a job.",
    examples=(
        "bacalhau job stop j-1a2b3c4d",
        "bacalhau job stop --quiet my-service",
    ),
)
@click.argument("job")
@switch("--quiet", help="Say nothing.")
@options.namespace()
@click.pass_obj
def stop(caller: Caller, /, *, job: str, quiet: bool, namespace: str) -> None:
    async def work(client: Client) -> str:
        state = job_state((await client.get(job, namespace=namespace))["Job"])
        if state in TERMINAL_JOB_STATES:
            raise Conflict(f"job {job} cannot be stopped: it is {state} already")
        return await client.stop(job, namespace=namespace)

    evaluation = caller.call(work)
    if not quiet:
        render.line(f"Job stop successfully submitted with evaluation ID: {evaluation}")


@click.command(
    cls=Command,
    help="Check a job file, or stdin, without submitting it; no server is needed.",
    examples=(
        "bacalhau job validate job.yaml",
        "bacalhau job validate --template-vars count=3 - < job.yaml",
    ),
)
@click.argument("files", nargs=-1, metavar="[FILE|-]")
@jobtext.template_options()
@click.pass_obj
def validate(caller: Caller, /, *, files: tuple[str, ...], templating: Templating) -> int:
    try:
        read = jobtext.read(files, templating, caller.environ)
        for warning in read.warnings:
            notices.warn(warning)
        _check(read.job)
    except WrongArgument:
        raise
    except InvalidSpec as error:
        notices.error(f"the job provided is invalid: {error.message}", hint=error.hint)
        return exits.FAILED
    render.line("OK")
    return exits.OK


def _dry_run(caller: Caller, job: Job) -> int:
    """Show the difference to the stored job of that name; the job itself where there is none."""
    try:
        diff = caller.call(lambda client: client.diff(job))
    except BacalhauError as error:
        notices.warn(f"{error.message}; showing the job as it would be sent")
        render.document(job, render.Output("yaml"))
        return exits.OK
    if diff:
        for line in diff.splitlines():
            colour = {"+": "\x1b[32m", "-": "\x1b[31m"}.get(line[:1], "")
            coloured = colour and notices.colourful(tty=sys.stdout.isatty())
            render.line(f"{colour}{line}\x1b[0m" if coloured else line)
    else:
        notices.warn("No diff detected.")
    return exits.OK


def _check(job: Any) -> None:
    """Apply the rules that the server applies to a submission. Raises InvalidSpec naming every fault."""
    from bacalhau_nats.domain.draft import decode_job  # noqa: PLC0415 - the models take 60 ms to load
    from bacalhau_nats.domain.faults import message_of  # noqa: PLC0415
    from bacalhau_nats.domain.validation import submission_faults  # noqa: PLC0415

    faults = submission_faults(decode_job(job))
    if faults:
        raise InvalidSpec(message_of(faults))
