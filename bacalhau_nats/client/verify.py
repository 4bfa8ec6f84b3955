"""Do the work of a job again elsewhere and compare what it makes.

Each rerun is an ordinary job with labels that say what it is (`domain.agreement`); it avoids the nodes that did
the work before, those of earlier reruns included. What is compared is what the nodes reported: the digest of the
outputs, or where a job publishes nothing, its exit code and the beginning of its stdout. Only where that differs
are the manifests fetched, to name the files.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from bacalhau_nats.client.wire import Execution, Job, compute_state, job_state
from bacalhau_nats.domain.agreement import NODE_NAME, Judgement, Run, judge, rerun_of
from bacalhau_nats.domain.ids import short
from bacalhau_nats.domain.manifest import Difference, Manifest, differences, outputs
from bacalhau_nats.errors import BacalhauError, Conflict, UserError

if TYPE_CHECKING:
    from bacalhau_nats.client.client import Client

_COMPARABLE = "batch"


@dataclass(frozen=True, slots=True)
class Verified:
    """One partition: its runs, the job's own first, and how they compare.

    ``files`` names what differs, by execution; empty where the outputs cannot be fetched.
    """

    partition: int
    runs: tuple[Run, ...]
    judgement: Judgement
    files: dict[str, tuple[Difference, ...]]


@dataclass(frozen=True, slots=True)
class Verification:
    """How a job's results compare with those of its reruns; ``whole``: all outputs were compared."""

    job_id: str
    whole: bool
    reruns: tuple[str, ...]
    partitions: tuple[Verified, ...]

    @property
    def agrees(self) -> bool:
        """Say whether nothing differs."""
        return all(one.judgement.agrees for one in self.partitions)


async def verify(
    server: Client,
    job: str,
    *,
    nodes: int = 1,
    namespace: str = "",
    ipfs: str = "",
    environ: Mapping[str, str] | None = None,
    tell: Callable[[str], None] = lambda _: None,
) -> Verification:
    """Run a completed batch job again on ``nodes`` other nodes, one after the other, and compare.

    A rerun that is not over when this is cancelled is stopped. ``ipfs`` and ``environ`` are as in
    `Client.download`. Raises Conflict for a job that is not completed, UserError for one that is not a batch job, BacalhauError when a rerun does not complete.
    """
    original: Job = (await server.get(job, namespace=namespace))["Job"]
    _must_be_comparable(original)
    job_id = original["ID"]
    runs = _runs(await _completed(server, job_id))
    whole = all(run.outputs.startswith("sha256:") for run in runs)
    names = {n["Info"]["NodeID"]: (n["Info"].get("Labels") or {}) for n in await server.nodes()}
    reruns: list[str] = []
    for number in range(1, nodes + 1):
        used = sorted({run.node for run in runs})
        avoid = [str(names.get(node, {}).get(NODE_NAME, node)) for node in used]
        tell(f"Run {number} of {nodes}, not on {', '.join(short(node) for node in used)}")
        name = f"verify-{short(job_id)}-{number}-{uuid4().hex[:6]}"
        again = rerun_of(original, number=number, avoid=avoid, name=name)
        reruns.append(await _rerun(server, again))
        runs += _runs(await _completed(server, reruns[-1]))
    partitions = sorted({run.partition for run in runs})
    judged = {p: tuple(run for run in runs if run.partition == p) for p in partitions}
    manifests: dict[str, Manifest] = {}
    if whole and not all(judge(of).agrees for of in judged.values()):
        for each in (job_id, *reruns):
            manifests |= await server.manifests(each, ipfs=ipfs, environ=environ)
    found = tuple(_compare(p, of, manifests) for p, of in judged.items())
    return Verification(job_id, whole, tuple(reruns), found)


async def _rerun(server: Client, job: dict[str, Any]) -> str:
    sent = await server.put_job(job)  # type: ignore[arg-type]  # built from a Job
    try:
        ended = await server.wait(sent.job_id)
    except BaseException:
        with suppress(BacalhauError):
            await asyncio.shield(server.stop(sent.job_id))
        raise
    if job_state(ended) != "Completed":
        why = ended.get("State", {}).get("Message", "")
        raise BacalhauError(
            f"the rerun {job['Name']} is {job_state(ended)}: {why}",
            hint=f"see what happened: bacalhau job describe {sent.job_id}",
        )
    return sent.job_id


async def _completed(server: Client, job: str) -> list[Execution]:
    found = (await server.executions(job))["Items"]
    return [execution for execution in found if compute_state(execution) == "Completed"]


def _must_be_comparable(job: Job) -> None:
    kind = job.get("Type", "")
    if kind != _COMPARABLE:
        raise UserError(
            f"a job of type {kind} cannot be verified: its executions need not do the same",
            hint="a batch job can",
        )
    if job_state(job) != "Completed":
        raise Conflict(f"job {job['ID']} is {job_state(job)}, not Completed: there is nothing to compare yet")


def _runs(executions: Sequence[Execution]) -> list[Run]:
    return [
        Run(
            execution=one["ID"],
            node=one["NodeID"],
            outputs=_outputs(one),
            exit_code=int((one.get("RunOutput") or {}).get("ExitCode", 0)),
            job=one["JobID"],
            partition=one.get("PartitionIndex", 0),
        )
        for one in executions
    ]


def _outputs(execution: Execution) -> str:
    """Name what an execution made; without a published result, by what its record holds."""
    digest = (execution.get("ResultDigest") or {}).get("Outputs", "")
    if digest:
        return digest
    output = execution.get("RunOutput") or {}
    text = f"{output.get('ExitCode', 0)} {output.get('StdoutTruncated', False)} {output.get('Stdout', '')}"
    return f"record:{hashlib.sha256(text.encode('utf-8', 'surrogatepass')).hexdigest()}"


def _compare(partition: int, runs: tuple[Run, ...], manifests: dict[str, Manifest]) -> Verified:
    judgement = judge(runs)
    files: dict[str, tuple[Difference, ...]] = {}
    others = [run for run in runs if run.execution not in judgement.odd]
    # Without a majority the job's own run is the yardstick, which says nothing about who is right.
    model = manifests.get((others or runs)[0].execution)
    for execution in judgement.odd:
        manifest = manifests.get(execution)
        if model is not None and manifest is not None and manifest is not model:
            files[execution] = tuple(differences(outputs(model), outputs(manifest)))
    return Verified(partition, runs, judgement, files)
