"""docker-compose.yml works as it says: images are built here without a registry, everything else is the file's own."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import httpx
import pytest

from tests.acceptance.program import ROOT, WASM, Caller
from tests.support import images
from tests.support.ipfs import free_port
from tests.support.machine import IN_CI
from tests.support.waiting import eventually

pytestmark = [pytest.mark.docker, pytest.mark.ipfs, pytest.mark.timeout(400)]


class Deployment:
    """The containers of docker-compose.yml under a project name and on ports of their own."""

    def __init__(self, folder: Path) -> None:
        python = images.python_image()
        self.gateway, self.ipfs, self.s3 = free_port(), free_port(), free_port()
        self.environ = {
            "PATH": "/usr/local/bin:/usr/bin:/bin",
            "HOME": str(folder),
            "BACALHAU_PYTHON_IMAGE": python,
            "BACALHAU_IMAGE": f"bacalhau-test-node:{uuid4().hex[:8]}",
            "BACALHAU_NATS_IMAGE": images.nats_image(),
            "BACALHAU_S3_IMAGE": images.seaweedfs_image(),
            "BACALHAU_GATEWAY_PORT": str(self.gateway),
            "BACALHAU_IPFS_PORT": str(self.ipfs),
            "BACALHAU_NATS_PORT": str(free_port()),
            "BACALHAU_S3_PORT": str(self.s3),
            "BACALHAU_S3_SECRET": "s-secret",
            "BACALHAU_CONTROL_PASSWORD": "c-secret",
            "BACALHAU_ROUTE_PASSWORD": "r-secret",
            **{f"BACALHAU_NODE_{number}_PASSWORD": f"n-secret-{number}" for number in (1, 2, 3)},
        }
        more = folder / "ipfs.json"
        more.write_text(json.dumps({"version": "3.8", "services": {"ipfs": images.ipfs_service(python)}}))
        files = ["--file", str(ROOT / "docker-compose.yml"), "--file", str(more)]
        program = ["docker-compose"] if shutil.which("docker-compose") else ["docker", "compose"]
        self._compose = [*program, "--project-name", f"bacalhau-test-{uuid4().hex[:8]}", *files]

    def __call__(self, *words: str) -> str:
        done = subprocess.run(
            [*self._compose, *words], env=self.environ, cwd=ROOT, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, (
            f"docker-compose {' '.join(words)}:\n{done.stdout[-3000:]}{done.stderr[-3000:]}"
        )
        return done.stdout

    def up(self) -> None:
        self("build", "gateway")
        self("up", "--detach", "--no-build")

    def down(self) -> None:
        self("down", "--volumes", "--remove-orphans", "--timeout", "1")
        subprocess.run(
            ["docker", "rmi", "--force", self.environ["BACALHAU_IMAGE"]], capture_output=True, check=False
        )


@pytest.fixture
def deployment(tmp_path: Path) -> Iterator[Deployment]:
    if not IN_CI and not shutil.which("apt-get"):
        pytest.skip("the images are made from Debian packages, and there is no apt-get here")
    running = Deployment(tmp_path)
    try:
        running.up()
        yield running
    finally:
        running.down()


async def test_the_deployment_of_the_compose_file_runs_jobs(
    deployment: Deployment, command: Path, tmp_path: Path
) -> None:
    bacalhau = Caller(command, tmp_path, f"127.0.0.1:{deployment.gateway}")

    async def all_there() -> bool:
        done = await bacalhau("node", "list", "--output", "json")
        nodes = json.loads(done.out) if done.code == 0 else []
        ready = {node["Info"]["NodeID"]: node["Info"].get("ComputeNodeInfo") or {} for node in nodes}
        with_ipfs = [name for name, info in ready.items() if "ipfs" in (info.get("Publishers") or [])]
        return (
            set(ready) == {"gateway", "requester-1", "requester-2", "node-1", "node-2", "node-3"}
            and len(with_ipfs) == 3
        )

    try:
        await eventually(all_there, within=90)
    except AssertionError as error:
        raise AssertionError(deployment("logs", "--no-color", "--tail", "40")) from error

    write = (WASM / "write.wasm", "/out/x", "done in a container")
    for publisher in ("nats", "ipfs"):
        done = await bacalhau(
            "wasm", "run", "--follow", "--publisher", publisher, "--output", "out:/out", *write, within=60
        )
        through = ("-c", f"ResultDownloaders.Types.IPFS.Endpoint=http://127.0.0.1:{deployment.ipfs}")
        (await bacalhau("job", "get", done.ok().id, *through)).ok()
        assert (tmp_path / f"job-{done.id}" / "out" / "x").read_text() == "done in a container"

    deployment("kill", "nats-2", "requester-1", "node-2")  # any one of each may go
    done = await bacalhau("wasm", "run", "--publisher", "nats", "--output", "out:/out", *write, within=60)
    (await bacalhau("job", "get", done.ok().id)).ok()
    async with httpx.AsyncClient(trust_env=False) as http:
        anybody = await http.get(f"http://127.0.0.1:{deployment.s3}/")
    assert (anybody.status_code, "AccessDenied" in anybody.text) == (403, True)
