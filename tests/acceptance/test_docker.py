"""Docker jobs through the command line, on a real engine."""

from __future__ import annotations

import asyncio
from pathlib import Path

import docker
import pytest

from tests.acceptance.conftest import Cluster
from tests.acceptance.program import Caller
from tests.support.docker import IMAGE
from tests.support.waiting import eventually

pytestmark = pytest.mark.docker


@pytest.fixture(autouse=True)
async def engine(cluster: Cluster, bacalhau: Caller) -> None:
    """Wait until the computes have found the engine, which they look for every few seconds."""

    async def found() -> bool:
        nodes = (await bacalhau("node", "list", "--output", "json")).json
        computes = [
            node["Info"]["ComputeNodeInfo"] for node in nodes if node["Info"]["NodeType"] == "Compute"
        ]
        return all("docker" in info["ExecutionEngines"] for info in computes)

    await eventually(found, within=30)


async def containers(bacalhau: Caller, job_id: str) -> list[str]:
    """Ask the engine itself what it has of a job, running or not."""

    def ask(execution: str) -> list[str]:
        client = docker.from_env()
        try:
            found = client.containers.list(all=True, filters={"label": f"bacalhau.execution={execution}"})
            return [container.name for container in found]
        finally:
            client.close()

    executions = await bacalhau.executions(job_id)
    return [name for execution in executions for name in await asyncio.to_thread(ask, execution["ID"])]


async def run(bacalhau: Caller, *args: object):
    return (await bacalhau("docker", "run", *args)).ok()


async def test_environment_folder_and_output_are_as_asked(bacalhau: Caller) -> None:
    script = "pwd; echo $COLOUR; echo oops >&2"
    done = await run(bacalhau, "-e", "COLOUR=red", "--workdir", "/tmp", IMAGE, "--", "sh", "-c", script)
    logs = (await bacalhau("job", "logs", done.id)).ok()
    assert (logs.out, logs.err) == ("/tmp\nred\n", "oops\n")
    assert await containers(bacalhau, done.id) == []


async def test_the_exit_code_of_the_program_is_told_and_fails_nothing(bacalhau: Caller) -> None:
    done = await run(bacalhau, IMAGE, "--", "sh", "-c", "exit 7")
    assert "the program ended with exit code 7" in done.err
    (execution,) = await bacalhau.executions(done.id)
    assert execution["RunOutput"]["ExitCode"] == 7
    assert await bacalhau.state(done.id) == "Completed"


async def test_inputs_go_in_and_results_come_out(bacalhau: Caller, cluster: Cluster, tmp_path: Path) -> None:
    (cluster.data / "numbers").write_text("3\n1\n2\n")
    done = await run(
        bacalhau,
        *("--input", f"file://{cluster.data}:/in", "--output", "out:/out", "--publisher", "local"),
        *(IMAGE, "--", "sh", "-c", "sort /in/numbers > /out/sorted; echo sorted"),
    )
    (await bacalhau("job", "get", done.id)).ok()
    folder = tmp_path / f"job-{done.id}"
    assert (folder / "out" / "sorted").read_text() == "1\n2\n3\n"
    assert (folder / "stdout").read_text() == "sorted\n"


async def test_a_stop_removes_the_container(bacalhau: Caller) -> None:
    job = await bacalhau.submit("docker", "run", IMAGE, "--", "sleep", "600")

    async def started() -> bool:
        return bool(await containers(bacalhau, job))

    await eventually(started, within=15)
    (await bacalhau("job", "stop", job)).ok()

    async def gone() -> bool:
        return not await started()

    await eventually(gone, within=15)
    assert await bacalhau.state(job) == "Stopped"


async def test_an_image_that_is_not_there_fails_the_job_and_names_it(bacalhau: Caller) -> None:
    done = await bacalhau("docker", "run", "localhost:1/no/such:image", within=60)
    assert done.code == 3, done
    error = done.err[done.err.index("Error: ") :]
    assert "localhost:1/no/such:image" in error
    assert await containers(bacalhau, done.id) == []
