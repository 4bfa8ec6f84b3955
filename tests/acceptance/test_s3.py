"""S3 through the command line: a bucket in, a bucket out, with the credentials of the node or of the caller."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.program import WASM, Caller, Node, settings
from tests.support.seaweed import S3Server

DAYS = {f"days/2024-01-0{day}.csv": f"{day},{day * 3}\n".encode() for day in range(1, 7)}


@pytest.fixture
def bucket(s3: S3Server, request: pytest.FixtureRequest) -> str:
    return s3.bucket(f"acceptance-{abs(hash(request.node.name)) % 10**9}", DAYS)


@pytest.fixture
def node(s3: S3Server, command: Path, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Node]:
    """One process that is everything, and has the credentials of the bucket's owner."""
    more = getattr(request, "param", {})
    flags = settings(Orchestrator__Port=0, **more)
    name = ("--name", "s3-node", "--orchestrator", "--compute")
    running = Node(command, tmp_path / "node" / "data", *name, *flags, **s3.owner.env).start().ready()
    yield running
    running.stop()


async def run(bacalhau: Caller, s3: S3Server, bucket: str) -> str:
    done = await bacalhau(
        *("wasm", "run", "--follow"),
        *("--input", f"s3://{bucket}/days/*,opt=endpoint={s3.endpoint}"),
        *("--publisher", f"s3://{bucket}/out/{{executionID}},opt=endpoint={s3.endpoint}"),
        *(WASM / "cat.wasm", "/inputs"),
    )
    assert done.ok().out.endswith("".join(content.decode() for content in DAYS.values()))
    return done.id


async def test_a_job_reads_a_bucket_and_its_results_come_from_one(
    node: Node, command: Path, s3: S3Server, bucket: str, tmp_path: Path
) -> None:
    bacalhau = Caller(command, tmp_path, node.api)
    job = await run(bacalhau, s3, bucket)
    (execution,) = await bacalhau.executions(job)
    assert s3.keys(bucket, "out/") == [f"out/{execution['ID']}.tar.gz"]
    (await bacalhau("job", "get", job)).ok()
    assert (tmp_path / f"job-{job}" / "stdout").read_bytes() == b"".join(DAYS.values())
    assert s3.owner.secret_key not in node.log.read_text()


@pytest.mark.parametrize("node", [{"Publishers__Types__S3__PreSignedURLDisabled": "true"}], indirect=True)
async def test_what_the_server_does_not_sign_the_caller_reads_with_credentials_of_their_own(
    node: Node, command: Path, s3: S3Server, bucket: str, tmp_path: Path
) -> None:
    stranger = Caller(command, tmp_path, node.api)
    job = await run(stranger, s3, bucket)
    refused = await stranger("job", "get", job)
    assert refused.code == 1
    assert f"s3://{bucket}/out/" in refused.err
    assert "AWS credentials" in refused.err
    (await Caller(command, tmp_path, node.api, **s3.reader.env)("job", "get", job)).ok()
    assert (tmp_path / f"job-{job}" / "stdout").read_bytes() == b"".join(DAYS.values())


async def test_an_input_that_is_not_there_is_named_with_its_service(
    node: Node, command: Path, s3: S3Server, bucket: str, tmp_path: Path
) -> None:
    bacalhau = Caller(command, tmp_path, node.api)
    source = f"s3://{bucket}/no/such/key,opt=endpoint={s3.endpoint}"
    done = await bacalhau("wasm", "run", "--input", source, WASM / "cat.wasm", "/inputs")
    assert done.code == 3
    for word in ("NoSuchKey", f"s3://{bucket}/no/such/key", s3.endpoint):
        assert word in done.err
