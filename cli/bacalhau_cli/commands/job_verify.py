"""``bacalhau job verify``: do the work of a job again on other nodes and compare what it makes."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import click

from bacalhau_cli import exits, notices, options, render
from bacalhau_cli.context import Caller
from bacalhau_cli.groups import Command
from bacalhau_cli.render import Column, Output
from bacalhau_nats.domain.ids import short
from bacalhau_nats.errors import BusTimeout

if TYPE_CHECKING:
    from bacalhau_nats.client import Client
    from bacalhau_nats.client.verify import Verification, Verified

_SHOWN = 19  # of a digest: its name and twelve digits


@click.command(
    cls=Command,
    help="Run a completed batch job again on other nodes and compare what it makes: exit code, stdout and result "
    "paths. Says which node and which files differ; what is on stderr may differ. The reruns are jobs of their "
    "own, labelled bacalhau-verify/job. A WASM job whose engine has Deterministic: true sees the same clock and "
    "random numbers each time.",
    examples=(
        "bacalhau job verify j-1a2b3c4d",
        "bacalhau job verify --nodes 2 --output json my-job",
    ),
)
@click.argument("job")
@click.option(
    "--nodes",
    type=click.IntRange(1, 100),
    default=1,
    show_default=True,
    help="How many other nodes; with two or more the majority tells who is wrong.",
)
@click.option(
    "--timeout",
    type=options.Duration(),
    default="0s",
    help="How long all reruns may take, as 300s or 5m0s [default: no limit].",
)
@options.namespace()
@options.table_output()
@click.pass_obj
def verify(caller: Caller, /, *, job: str, nodes: int, timeout: float, namespace: str, output: Output) -> int:
    from bacalhau_nats.client.verify import verify as compare  # noqa: PLC0415 - only here

    ipfs = caller.ipfs_endpoint()

    async def work(client: Client) -> Verification:
        async with asyncio.timeout(timeout or None):
            return await compare(
                client,
                job,
                nodes=nodes,
                namespace=namespace,
                ipfs=ipfs,
                environ=caller.environ,
                tell=notices.say,
            )

    try:
        found = caller.call(work)
    except TimeoutError:
        raise BusTimeout(f"the reruns were not over after {timeout:g} s and were stopped") from None
    rows = [_row(one, run, found) for one in found.partitions for run in one.runs]
    render.table(rows, _COLUMNS, output, data=_document(found))
    if not found.whole:
        notices.say(
            "This job publishes no results: compared were its exit code and the first 2048 bytes of its stdout."
        )
    for one in found.partitions:
        _tell(one)
    return exits.OK if found.agrees else exits.FAILED


def _row(one: Verified, run: Any, found: Verification) -> dict[str, Any]:
    odd = run.execution in one.judgement.odd
    return {
        "Partition": one.partition,
        "JobID": run.job,
        "ExecutionID": run.execution,
        "NodeID": run.node,
        "Rerun": run.job != found.job_id,
        "ExitCode": run.exit_code,
        "Outputs": run.outputs,
        "Result": ("differs" if one.judgement.decided else "undecided") if odd else "agrees",
        "Files": [{"Path": d.path, "What": d.what} for d in one.files.get(run.execution, ())],
    }


def _document(found: Verification) -> dict[str, Any]:
    return {
        "JobID": found.job_id,
        "Agrees": found.agrees,
        "AllOutputs": found.whole,
        "Reruns": list(found.reruns),
        "Runs": [_row(one, run, found) for one in found.partitions for run in one.runs],
    }


def _tell(one: Verified) -> None:
    if one.judgement.agrees:
        return
    if not one.judgement.decided:
        notices.warn(
            f"partition {one.partition}: the runs differ, and no majority says which of them is right; "
            "compare more with --nodes"
        )
    for run in one.runs:
        if run.execution not in one.judgement.odd:
            continue
        if one.judgement.decided:
            notices.warn(
                f"partition {one.partition}: node {run.node} made something else than the others "
                f"({short(run.execution)})"
            )
        for difference in one.files.get(run.execution, ()):
            notices.say(f"  {short(run.execution)}: {render.printable(str(difference))}")


_COLUMNS = [
    Column("Partition", lambda row: str(row["Partition"])),
    render.id_column("Execution", "ExecutionID"),
    render.id_column("Node", "NodeID"),
    Column("Run", lambda row: "rerun" if row["Rerun"] else "original"),
    render.id_column("Job", "JobID"),
    Column("Exit", lambda row: str(row["ExitCode"])),
    Column("Outputs", lambda row: row["Outputs"], lambda row: row["Outputs"][:_SHOWN]),
    Column("Result", lambda row: row["Result"]),
]
