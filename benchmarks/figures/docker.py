"""What a Docker job costs beyond the bare Engine API doing the same: network disabled, `true`, one at a time.

Bare and ours alternate, so that what else the machine does hits both. Bare is create, start and wait over
the engine's socket, nothing else; removal is outside the measured time, as it is for a job.
"""

from __future__ import annotations

import json
import statistics
import time
import uuid

from benchmarks import workload
from benchmarks.ear import Ear, listening
from benchmarks.figures.scale import Scale
from benchmarks.http import Connection, request
from benchmarks.load import JOBS, Submitted, submit
from benchmarks.measure import Measure, spread
from benchmarks.stand import BenchmarkFailed, Node, Stand

_SOCKET = "/var/run/docker.sock"
_AIM_MS = 45.0
_BODY = {"Image": workload.IMAGE, "Cmd": ["true"], "NetworkDisabled": True}


async def measure(scale: Scale) -> list[Measure]:
    """Alternate between the bare engine and a whole job; the overhead is the median of the differences."""
    count, warm = scale.of(40, 5), 3
    bare: list[float] = []
    ours: list[float] = []
    async with Stand() as stand:
        node = await stand.hybrid()
        engine, gateway = await _engine(), await Connection.open(node.api_port)
        async with listening(node.nats) as ear:
            for _ in range(warm + count):
                bare.append(await _bare(engine))
                ours.append(await _job(gateway, ear))
            if ear.states != {"Completed": warm + count}:
                raise BenchmarkFailed(f"not every job completed: {dict(ear.states)}\n{_said(node)}")
        await engine.close()
        await gateway.close()
    bare, ours = bare[warm:], ours[warm:]
    overhead = statistics.median(job - alone for job, alone in zip(ours, bare, strict=True))
    return [
        *spread("bare Engine API: create, start, wait", bare),
        *spread("job: submit to completed", ours),
        Measure("overhead, median of differences", overhead * 1000, "ms", at_most=_AIM_MS),
    ]


async def _engine() -> Connection:
    try:
        return await Connection.open_unix(_SOCKET)
    except OSError as error:
        raise BenchmarkFailed(f"no Docker engine at {_SOCKET} ({error}); .ci/docker.sh starts one") from error


async def _bare(engine: Connection) -> float:
    name = f"bench-{uuid.uuid4()}"
    create = request("POST", f"/containers/create?name={name}", _BODY)
    begin = time.perf_counter()
    status, body = await engine.send(create)
    if status != 201:
        raise BenchmarkFailed(f"the engine does not create: {status} {body.decode()}")
    container = json.loads(body)["Id"]
    try:
        await engine.send(request("POST", f"/containers/{container}/start"))
        _, waited = await engine.send(request("POST", f"/containers/{container}/wait"))
        took = time.perf_counter() - begin
        if json.loads(waited)["StatusCode"] != 0:
            raise BenchmarkFailed(f"the bare container failed: {waited.decode()}")
        return took
    finally:
        await engine.send(request("DELETE", f"/containers/{container}?force=1"))


async def _job(gateway: Connection, ear: Ear) -> float:
    log = Submitted()
    job = await submit(gateway, request("PUT", JOBS, {"Job": workload.docker("true")}), log)
    return await ear.until_ended(job) - log.sent[job]


def _said(node: Node) -> str:
    return "\n".join(node.log.splitlines()[-5:])
