"""``bacalhau docker run``: run an image."""

from __future__ import annotations

from typing import Any

import click

from bacalhau_cli import build, exits, options, render
from bacalhau_cli.context import Caller
from bacalhau_cli.groups import Command, Group, switch
from bacalhau_cli.submission import Watching, submit_and_watch

docker = Group(
    "docker",
    profile=True,
    help="Run docker images.",
    lazy={"run": ("docker:run", "Run an image on the cluster.")},
)


@click.command(
    cls=Command,
    help="Run IMAGE on the cluster. Put -- before what looks like an option but is for the image.",
    examples=(
        "bacalhau docker run busybox -- echo hello",
        "bacalhau docker run -i s3://bucket/logs/*:/logs busybox -- ls -l /logs",
        "bacalhau docker run --follow --cpu 2 -o data:/data busybox -- touch /data/done",
    ),
)
@click.argument("image")
@click.argument("command", nargs=-1)
@options.job_options()
@options.task_options()
@click.option("-w", "--workdir", default="", help="Folder the command starts in; absolute.")
@click.option("--entrypoint", multiple=True, help="Instead of the image's own. Repeatable, or with commas.")
@options.run_options()
@switch("--dry-run", help="Show the job as YAML; submit nothing.")
@click.pass_obj
def run(
    caller: Caller,
    /,
    *,
    image: str,
    command: tuple[str, ...],
    watching: Watching,
    dry_run: bool,
    **flags: Any,
) -> int:
    job = build.docker_job(image, command, flags)
    if dry_run:
        render.document(build.document(job), render.Output("yaml"))
        return exits.OK
    return submit_and_watch(caller, lambda client: client.submit(job), watching)
