"""``bacalhau wasm run``: run a WebAssembly module."""

from __future__ import annotations

from typing import Any

import click

from bacalhau_cli import build, exits, options, render
from bacalhau_cli.context import Caller
from bacalhau_cli.groups import Command, Group, switch
from bacalhau_cli.submission import Watching, submit_and_watch

wasm = Group(
    "wasm",
    profile=True,
    help="Run WebAssembly modules.",
    lazy={"run": ("wasm:run", "Run a module on the cluster.")},
)


@click.command(
    cls=Command,
    help="Run MODULE on the cluster: a local file (which is put into the job), a URI as for --input, or the "
    "target of an --input. Put -- before arguments that look like options.",
    examples=(
        "bacalhau wasm run hello.wasm one two",
        "bacalhau wasm run -i https://example.com/data.csv count.wasm /inputs/data.csv",
        "bacalhau wasm run -o out:/out -p nats write.wasm -- --verbose",
    ),
)
@click.argument("module")
@click.argument("arguments", nargs=-1, metavar="[ARGS]...")
@options.job_options()
@options.task_options()
@click.option(
    "-I", "--import-modules", multiple=True, metavar="FILE|URI:NAME", help="Module to import. Repeatable."
)
@click.option("--entry-point", default="_start", show_default=True, help="Function to call.")
@options.run_options()
@switch("--dry-run", help="Show the job as YAML; submit nothing.")
@click.pass_obj
def run(
    caller: Caller,
    /,
    *,
    module: str,
    arguments: tuple[str, ...],
    watching: Watching,
    dry_run: bool,
    **flags: Any,
) -> int:
    job = build.wasm_job(module, arguments, flags)
    if dry_run:
        render.document(build.document(job), render.Output("yaml"))
        return exits.OK
    return submit_and_watch(caller, lambda client: client.submit(job), watching)
