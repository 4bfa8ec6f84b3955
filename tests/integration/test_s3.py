"""S3 inputs and publishers against a real server that checks signatures."""

import asyncio
import base64
import hashlib
import random
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime

import httpx
import pytest
from minio.versioningconfig import ENABLED, VersioningConfig

from bacalhau_nats.clients.denied import DeniedNetworks
from bacalhau_nats.clients.s3 import Place, S3Clients
from bacalhau_nats.clients.s3_signing import ManagedBucket, ResultSigner, SigningSettings
from bacalhau_nats.domain.execution import Reason
from bacalhau_nats.domain.ids import JobID, NodeID
from bacalhau_nats.domain.spec import SpecConfig
from bacalhau_nats.errors import InvalidSettings
from bacalhau_nats.ports import WHOLE, Share, WorkFailed
from bacalhau_nats.publishers.archive import unpack
from bacalhau_nats.publishers.s3 import S3Publisher
from bacalhau_nats.publishers.s3_managed import S3ManagedPublisher
from bacalhau_nats.storage.s3 import S3Settings, S3Storage
from bacalhau_nats.testing.publishers import a_work
from bacalhau_nats.testing.storage import RecordedLog
from tests.support.http_server import http_server, never_answers, says
from tests.support.proxy import proxy_to
from tests.support.seaweed import OWNER, READER, User
from tests.support.waiting import eventually

pytestmark = pytest.mark.xdist_group("s3")
NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


@contextmanager
def clients_of(user, read_timeout=20):
    clients = S3Clients(user.env, DeniedNetworks(), read_timeout=read_timeout)
    yield clients
    clients.close()


@pytest.fixture
def bucket(s3, request):
    number = hashlib.sha256(request.node.nodeid.encode()).hexdigest()[:16]
    return s3.bucket(f"b-{number}")


@pytest.fixture
def get(s3, tmp_path):
    async def fetch(bucket, key="", *, user=READER, share=WHOLE, into="in", **params):
        with clients_of(user) as clients:
            storage = S3Storage(clients, S3Settings(retry_wait=0.01, max_retry_count=1)).share(share)
            wanted = {"Bucket": bucket, "Key": key, "Endpoint": s3.endpoint, **params}
            volume = await storage.fetch(SpecConfig(params=wanted), "/in", tmp_path / into, RecordedLog())
            return content(volume.source)

    return fetch


@pytest.fixture
def put(s3, tmp_path):
    async def publish(
        bucket, results, *, user=OWNER, key="{executionID}", endpoint="", read_timeout=20, **params
    ):
        with clients_of(user, read_timeout) as clients:
            publisher = S3Publisher(clients, NodeID("n-1"), tmp_path / "drafts", lambda: NOW, wait=0.01)
            publisher.settled.set()
            wanted = {"Bucket": bucket, "Key": key, "Endpoint": endpoint or s3.endpoint, **params}
            return (await publisher.publish(a_work("e-1"), results, SpecConfig(params=wanted))).params

    return publish


@pytest.fixture
def results(tmp_path):
    folder = tmp_path / "results"
    (folder / "data").mkdir(parents=True)
    (folder / "stdout").write_bytes(b"hello\n")
    (folder / "data" / "noise").write_bytes(
        random.Random(1).randbytes(30_000_000)
    )  # several parts, whatever gzip does
    return folder


def content(folder):
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


async def fails(coroutine, *said, reason, retryable):
    with pytest.raises(WorkFailed) as caught:
        await coroutine
    failure = caught.value.failure
    for word in said:
        assert word in failure.message
    assert (failure.reason, failure.retryable) == (reason, retryable)
    for user in (OWNER, READER):
        assert user.secret_key not in f"{failure} {caught.value!r} {caught.value.__cause__!r}"
    return failure


# --- inputs ---------------------------------------------------------------------------------------------


async def test_partitions_share_all_objects_and_each_gets_the_same_again(s3, bucket, get):
    names = [f"day/2024-01-{day:02}/part-{n}" for day in range(1, 8) for n in range(3)]
    for name in names:
        s3.put(bucket, name, name.encode())
    how = {"Type": "date", "DateFormat": "2006-01-02"}
    shares = [await get(bucket, "day/", share=Share(n, 3), into=f"a{n}", Partition=how) for n in range(3)]
    assert sorted(f"day/{name}" for share in shares for name in share) == sorted(names)
    assert all(f"day/{name}".encode() == found for share in shares for name, found in share.items())
    assert await get(bucket, "day/", share=Share(1, 3), into="again", Partition=how) == shares[1]
    days = [{name.partition("/")[0] for name in share} for share in shares]
    assert not days[0] & days[1]
    assert not days[1] & days[2]


async def test_hundreds_of_objects_come_over_several_pages(s3, bucket, get):
    expected = {f"{n:04}": str(n).encode() for n in range(1200)}

    def fill(part):
        for name, data in list(expected.items())[part::8]:
            s3.put(bucket, f"many/{name}", data)

    await asyncio.gather(*(asyncio.to_thread(fill, part) for part in range(8)))
    assert await get(bucket, "many/") == expected


async def test_keys_with_unusual_characters_are_files_of_that_name(s3, bucket, get):
    names = ["with blank", "ümläut", "plus+and&", "per%20cent", "quote'\"", "a=b;c?d#e"]
    for name in names:
        s3.put(bucket, f"odd/{name}", b"x")
    assert sorted(await get(bucket, "odd/")) == sorted(names)


async def test_a_version_is_fetched_as_it_was(s3, bucket, get):
    s3.client().set_bucket_versioning(bucket, VersioningConfig(ENABLED))
    old = s3.put(bucket, "a", b"old")
    s3.put(bucket, "a", b"new")
    assert await get(bucket, "a", VersionID=old) == {"a": b"old"}
    assert await get(bucket, "a", into="new") == {"a": b"new"}


async def test_a_checksum_is_that_of_the_content(s3, bucket, get):
    s3.put(bucket, "a", b"content")
    right = base64.b64encode(hashlib.sha256(b"content").digest()).decode()
    assert await get(bucket, "a", ChecksumSHA256=right) == {"a": b"content"}
    wrong = base64.b64encode(bytes(32)).decode()
    await fails(
        get(bucket, "a", into="w", ChecksumSHA256=wrong), right, wrong, reason=Reason.INPUT, retryable=False
    )
    await fails(
        get(bucket, "a", into="p", ChecksumSHA256=f"{right}-2"),
        "none that the service knows",
        reason=Reason.INPUT,
        retryable=False,
    )


@pytest.mark.parametrize(
    ("params", "user", "said", "retryable"),
    [
        ({"bucket": "no-such-bucket", "key": "a"}, READER, ("NoSuchBucket", "s3://no-such-bucket/a"), False),
        ({"bucket": "no-such-bucket", "key": "a/"}, READER, ("NoSuchBucket",), False),
        ({"key": "no/such/key"}, READER, ("NoSuchKey", "/no/such/key"), False),
        ({"key": "a"}, User(READER.access_key, "wrong"), ("SignatureDoesNotMatch",), True),
        ({"key": "a/"}, User("nobody", "wrong"), ("InvalidAccessKeyId",), True),
    ],
)
async def test_what_cannot_be_read_is_told_with_its_cause(params, user, said, retryable, s3, bucket, get):
    await fails(
        get(**{"bucket": bucket, **params}, user=user),
        *said,
        s3.endpoint,
        reason=Reason.INPUT,
        retryable=retryable,
    )


# --- the publisher s3 -----------------------------------------------------------------------------------


async def test_an_archive_is_stored_in_parts_and_its_checksum_told(s3, bucket, put, results, tmp_path):
    found = await put(
        bucket, results, key="a/{jobID}-{nodeID}-{date}-{time}/{executionID}", Region="us-east-1"
    )
    key = "a/-n-1-20260102-030405/e-1.tar.gz"
    stored = s3.read(bucket, key)
    assert len(stored) > 30_000_000
    digest = base64.b64encode(hashlib.sha256(stored).digest()).decode()
    partition = {"Type": "", "Pattern": "", "StartIndex": 0, "EndIndex": 0, "DateFormat": ""}
    assert found == {
        "Bucket": bucket, "Key": key, "Filter": "", "Region": "us-east-1", "Endpoint": s3.endpoint,
        "VersionID": "", "ChecksumSHA256": digest, "Partition": partition,
    }  # fmt: skip
    (tmp_path / "got.tar.gz").write_bytes(stored)
    await unpack(tmp_path / "got.tar.gz", tmp_path / "got")
    assert content(tmp_path / "got") == content(results)
    assert s3.unfinished(bucket) == []
    assert not list((tmp_path / "drafts").iterdir())


async def test_a_service_that_the_environment_names_is_named_in_the_result(s3, bucket, tmp_path):
    (tmp_path / "small").mkdir()
    env = {**OWNER.env, "AWS_ENDPOINT_URL": s3.endpoint, "AWS_REGION": "us-east-1"}
    clients = S3Clients(env, DeniedNetworks())
    publisher = S3Publisher(clients, NodeID("n-1"), tmp_path / "drafts", lambda: NOW)
    publisher.settled.set()
    found = await publisher.publish(
        a_work("e-1"), tmp_path / "small", SpecConfig(params={"Bucket": bucket, "Key": "k"})
    )
    clients.close()
    assert (found.params["Endpoint"], found.params["Region"]) == (s3.endpoint, "us-east-1")
    assert s3.keys(bucket) == ["k.tar.gz"]


async def test_plain_results_are_an_object_for_each_file_and_links_are_left_out(s3, bucket, put, results):
    (results / "secret").symlink_to("/etc/passwd")
    (results / "data" / "up").symlink_to("..")
    found = await put(bucket, results, key="plain/{executionID}", Encoding="plain")
    assert (found["Key"], found["ChecksumSHA256"]) == ("plain/e-1/", "")
    expected = {f"plain/e-1/{name}" for name in ("stdout", "data/noise")}
    assert set(s3.keys(bucket)) == expected
    assert s3.read(bucket, "plain/e-1/data/noise") == (results / "data/noise").read_bytes()


async def test_publishing_again_gives_the_same(s3, bucket, put, results):
    s3.client().set_bucket_versioning(bucket, VersioningConfig(ENABLED))
    first, second = await put(bucket, results), await put(bucket, results)
    assert first.pop("VersionID") != second.pop("VersionID")
    assert first == second
    assert s3.keys(bucket) == ["e-1.tar.gz"]


async def test_a_publication_that_is_cancelled_leaves_nothing(s3, bucket, put, results):
    async with proxy_to(s3.endpoint) as proxy:
        proxy.hold_after = 5_000_000  # in the middle of a part
        publishing = asyncio.create_task(put(bucket, results, endpoint=f"http://127.0.0.1:{proxy.port}"))
        async with asyncio.timeout(30):
            await proxy.holding.wait()
        assert s3.unfinished(bucket) == ["e-1.tar.gz"]
        publishing.cancel()
        async with asyncio.timeout(10):
            with pytest.raises(asyncio.CancelledError):
                await publishing
    assert s3.unfinished(bucket) == []
    assert s3.keys(bucket) == []


async def test_a_publication_that_is_cut_off_in_the_middle_is_sent_again(s3, bucket, put, results):
    async with proxy_to(s3.endpoint) as proxy:
        proxy.cut_after, proxy.cuts = 1_000_000, 9
        found = await put(bucket, results, endpoint=f"http://127.0.0.1:{proxy.port}")
        assert proxy.cuts == 0
    stored = s3.read(bucket, "e-1.tar.gz")
    assert base64.b64encode(hashlib.sha256(stored).digest()).decode() == found["ChecksumSHA256"]
    assert s3.unfinished(bucket) == []


@pytest.mark.slow
async def test_a_service_that_stays_silent_is_given_up_and_nothing_is_left(s3, bucket, put, results):
    async with proxy_to(s3.endpoint) as proxy:
        proxy.hold_after = 1_000_000
        await fails(
            put(bucket, results, endpoint=f"http://127.0.0.1:{proxy.port}", read_timeout=0.5),
            f"s3://{bucket}/e-1.tar.gz", "did not answer in time", "5 tries", reason=Reason.PUBLISH, retryable=True,
        )  # fmt: skip
    assert s3.unfinished(bucket) == []
    assert s3.keys(bucket) == []


@pytest.mark.parametrize("encoding", ["gzip", "plain"])
async def test_what_may_not_be_written_is_told_with_its_cause(encoding, s3, bucket, put, results):
    failure = await fails(
        put(bucket, results, user=READER, Encoding=encoding),
        "AccessDenied", f"s3://{bucket}/e-1", s3.endpoint, reason=Reason.PUBLISH, retryable=True,
    )  # fmt: skip
    assert "credentials of this node" in failure.hint
    await fails(put("no-such-bucket", results), "NoSuchBucket", reason=Reason.PUBLISH, retryable=False)
    assert s3.keys(bucket) == []


@pytest.mark.parametrize(
    ("params", "said"),
    [
        ({"key": ""}, "Key must not be empty"),
        ({"Encoding": "zip"}, "neither gzip nor plain"),
        ({"endpoint": "http://169.254.169.254"}, "not allowed"),
    ],
)
async def test_parameters_that_cannot_be_are_refused_before_and_after_the_work(
    params, said, s3, bucket, put, results, tmp_path
):
    await fails(put(bucket, results, **params), said, reason=Reason.PUBLISH, retryable=False)
    spelled = {"Bucket": bucket, "Key": "k", "Endpoint": s3.endpoint}
    with clients_of(OWNER) as clients:
        publisher = S3Publisher(clients, NodeID("n-1"), tmp_path / "d", lambda: NOW)
        assert publisher.refuses(SpecConfig(params=spelled)) == ""
        wrong = {name.title(): value for name, value in params.items()}
        assert said in publisher.refuses(SpecConfig(params={**spelled, **wrong}))


async def test_a_service_in_trouble_is_waited_for(bucket, put, tmp_path):
    (tmp_path / "small").mkdir()
    (tmp_path / "small" / "stdout").write_bytes(b"x")
    trouble = says(b"", "503 Slow Down")
    async with http_server() as server:
        server.on(f"/{bucket}/e-1.tar.gz", *[trouble] * 4, says(b"", "200 OK", "x-amz-version-id: v1"))
        found = await put(bucket, tmp_path / "small", endpoint=server.url(""))
    assert found["VersionID"] == "v1"


# --- the publisher s3managed ------------------------------------------------------------------------------


def signer_for(clients, bucket, endpoint, **more):
    return ResultSigner(
        clients, SigningSettings(managed=ManagedBucket(bucket, "p/", Place(endpoint)), **more)
    )


async def test_a_managed_result_needs_no_credentials_and_is_read_by_its_url(s3, bucket, results, tmp_path):
    with clients_of(OWNER) as owner, clients_of(User("", "")) as nobody:
        signer = signer_for(owner, bucket, s3.endpoint)
        publisher = S3ManagedPublisher(nobody, signer.upload_url, tmp_path / "drafts")
        work = a_work("e-1")
        work = replace(work, job=work.job.but(id=JobID("j-1")))
        result = await publisher.publish(work, results, SpecConfig())
        signed = await signer.signed(result)
    assert result == SpecConfig(type="s3managed", params={"JobID": "j-1", "ExecutionID": "e-1"})
    assert s3.keys(bucket) == ["p/j-1/e-1.tar.gz"]
    assert signed.type == "s3PreSigned"
    assert signed.params["Managed"] is True
    assert signed.params["SourceSpec"]["Bucket"] == ""
    async with httpx.AsyncClient(trust_env=False) as http:
        (tmp_path / "got.tar.gz").write_bytes((await http.get(signed.params["PreSignedURL"])).content)
    await unpack(tmp_path / "got.tar.gz", tmp_path / "got")
    assert content(tmp_path / "got") == content(results)
    assert OWNER.secret_key not in str(signed)


async def test_a_managed_upload_is_cancelled_while_the_service_is_silent(s3, results, tmp_path):
    async with http_server() as server:
        url = server.on("/b/k", never_answers())

        async def ask(job, execution):
            return f"{url}?X-Amz-Signature=0"

        with clients_of(User("", "")) as nobody:
            publisher = S3ManagedPublisher(nobody, ask, tmp_path / "drafts")
            publishing = asyncio.create_task(publisher.publish(a_work("e-1"), results, SpecConfig()))
            await eventually(lambda: bool(server.requests))
            publishing.cancel()
            async with asyncio.timeout(5):
                with pytest.raises(asyncio.CancelledError):
                    await publishing


async def test_a_url_that_is_not_good_any_more_is_told_without_its_signature(s3, bucket, results, tmp_path):
    with clients_of(OWNER) as owner, clients_of(User("", "")) as nobody:
        signer = signer_for(owner, bucket, s3.endpoint)

        async def ask(job, execution):
            return (await signer.upload_url("j", "e")).replace("X-Amz-Signature=", "X-Amz-Signature=0")

        publisher = S3ManagedPublisher(nobody, ask, tmp_path / "drafts", wait=0.01)
        failure = await fails(
            publisher.publish(a_work("e-1"), results, SpecConfig()),
            f"{s3.endpoint}/{bucket}/p/j/e.tar.gz", reason=Reason.PUBLISH, retryable=False,
        )  # fmt: skip
    assert "Signature=" not in failure.message
    assert s3.keys(bucket) == []


# --- what the gateway signs -------------------------------------------------------------------------------


async def test_an_archive_is_signed_for_its_version(s3, bucket):
    s3.client().set_bucket_versioning(bucket, VersioningConfig(ENABLED))
    version = s3.put(bucket, "a.tar.gz", b"old")
    s3.put(bucket, "a.tar.gz", b"new")
    params = {"Bucket": bucket, "Key": "a.tar.gz", "Endpoint": s3.endpoint, "VersionID": version}
    with clients_of(READER) as reader:
        signed = await signer_for(reader, "", "").signed(SpecConfig(type="s3", params=params))
    assert signed.type == "s3PreSigned"
    assert signed.params["Managed"] is False
    assert {**signed.params["SourceSpec"], **params} == signed.params["SourceSpec"]
    async with httpx.AsyncClient(trust_env=False) as http:
        assert (await http.get(signed.params["PreSignedURL"])).content == b"old"


@pytest.mark.parametrize(
    ("user", "key", "shared"),
    [(User("", ""), "a.tar.gz", True), (READER, "a/", True), (READER, "a.tar.gz", False)],
)
async def test_without_credentials_or_an_archive_or_leave_nothing_is_signed(user, key, shared, tmp_path):
    result = SpecConfig(type="s3", params={"Bucket": "bucket", "Key": key, "Endpoint": "http://127.0.0.1:1"})
    env = {**user.env, "HOME": str(tmp_path)}
    clients = S3Clients(env, DeniedNetworks())
    assert await signer_for(clients, "", "", shared=shared).signed(result) == result
    clients.close()


@pytest.mark.parametrize(("user", "bucket_name"), [(User("", ""), "bucket"), (OWNER, "")])
async def test_a_managed_result_that_cannot_be_signed_names_the_setting(user, bucket_name, tmp_path):
    clients = S3Clients({**user.env, "HOME": str(tmp_path)}, DeniedNetworks())
    signer = signer_for(clients, bucket_name, "http://127.0.0.1:1")
    for asked in (signer.signed(SpecConfig(type="s3managed")), signer.upload_url("j", "e")):
        with pytest.raises(InvalidSettings) as caught:
            await asked
        assert "Publishers.Types.S3Managed.Bucket" in caught.value.hint
    clients.close()
