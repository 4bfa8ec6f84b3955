"""S3 inputs from services that are not well."""

import asyncio
import re

import pytest

from bacalhau_nats.clients.denied import DeniedNetworks
from bacalhau_nats.clients.s3 import S3Clients
from bacalhau_nats.domain.execution import Reason
from bacalhau_nats.domain.spec import SpecConfig
from bacalhau_nats.ports import WHOLE, Share, WorkFailed
from bacalhau_nats.storage.s3 import S3Settings, S3Storage
from bacalhau_nats.testing.storage import RecordedLog
from tests.support.http_server import breaks_off, http_server, never_answers, never_ends, says, stays_silent
from tests.support.waiting import eventually

KEYS = {"AWS_ACCESS_KEY_ID": "an-access-key", "AWS_SECRET_ACCESS_KEY": "a-secret-key"}
TROUBLE = says(b"", "500 Internal Server Error")
CONTENT = bytes(range(256)) * 8000  # 2 MB: two tries that each bring a piece of it


def listing(**sizes):
    found = "".join(
        f'<Contents><Key>{key}</Key><Size>{size}</Size><ETag>"t1"</ETag>'
        "<LastModified>2026-01-01T00:00:00.000Z</LastModified></Contents>"
        for key, size in sizes.items()
    )
    body = f"<ListBucketResult><Name>bucket</Name><IsTruncated>false</IsTruncated>{found}</ListBucketResult>"
    return says(body.encode())


def problem(code, status):
    return says(
        f"<Error><Code>{code}</Code><Message>so it is</Message></Error>".encode(),
        status,
        "Content-Type: application/xml",
    )


def rest_of(content, server):
    """Send what the request asks for."""

    async def answer(writer):
        start = int(re.search(r"(?i)range: bytes=(\d+)-", server.requests[-1]).group(1))
        await says(content[start:], "206 Partial Content")(writer)

    return answer


@pytest.fixture
async def server():
    async with http_server() as running:
        yield running


@pytest.fixture
def log():
    return RecordedLog()


@pytest.fixture
def get(server, tmp_path, log):
    async def fetch(key="", *, share=WHOLE, env=KEYS, endpoint="", **settings):
        known = S3Settings(**{"retry_wait": 0.001, **settings})
        clients = S3Clients(env, DeniedNetworks(), read_timeout=known.read_timeout, anonymous=known.anonymous)
        params = {"Bucket": "bucket", "Key": key, "Endpoint": endpoint or server.url("")}
        try:
            storage = S3Storage(clients, known).share(share)
            return await storage.fetch(SpecConfig(type="s3", params=params), "/in", tmp_path / "into", log)
        finally:
            clients.close()

    return fetch


async def fails(coroutine, *said, retryable, reason=Reason.INPUT):
    with pytest.raises(WorkFailed) as caught:
        await coroutine
    for word in said:
        assert word in str(caught.value)
    assert "a-secret-key" not in f"{caught.value!r} {caught.value.failure}"
    assert caught.value.failure.reason is reason
    assert caught.value.failure.retryable is retryable
    return caught.value.failure


async def test_a_service_that_fails_three_times_and_then_works_is_waited_for(get, server, log):
    server.on("/bucket", TROUBLE, TROUBLE, TROUBLE, listing(a=1))
    server.on("/bucket/a", TROUBLE, TROUBLE, TROUBLE, says(b"1"))
    volume = await get()
    assert (volume.source / "a").read_bytes() == b"1"
    assert len([event for event in log.events if "trying again in" in event]) == 6


async def test_after_the_last_try_the_cause_is_told_with_bucket_and_service(get, server):
    server.on("/bucket", TROUBLE)
    await fails(
        get(max_retry_count=1), "s3://bucket/", server.url(""), "answered 500", "2 tries", retryable=True
    )
    assert len(server.requests) == 2


async def test_what_breaks_off_goes_on_behind_what_has_come(get, server):
    server.on("/bucket", listing(a=len(CONTENT)))
    server.on("/bucket/a", breaks_off(CONTENT[:1_500_000], len(CONTENT)), rest_of(CONTENT, server))
    volume = await get(max_retry_count=1)
    again = server.requests[-1].lower()
    assert int(re.search(r"range: bytes=(\d+)-", again).group(1)) >= 1024 * 1024
    assert 'if-match: "t1"' in again
    assert (volume.source / "a").read_bytes() == CONTENT


async def test_a_service_that_knows_no_ranges_sends_it_all_again(get, server):
    server.on("/bucket", listing(a=len(CONTENT)))
    server.on("/bucket/a", breaks_off(CONTENT[:1_500_000], len(CONTENT)), says(CONTENT))
    assert ((await get()).source / "a").read_bytes() == CONTENT


async def test_tries_that_bring_it_further_do_not_count(get, server):
    server.on("/bucket", listing(a=len(CONTENT)))
    broken = breaks_off(CONTENT[:1_500_000], len(CONTENT))
    server.on("/bucket/a", TROUBLE, broken, TROUBLE, rest_of(CONTENT, server))
    assert ((await get(max_retry_count=2)).source / "a").read_bytes() == CONTENT


async def test_an_object_that_changes_meanwhile_is_no_input(get, server):
    server.on("/bucket", listing(a=1))
    server.on("/bucket/a", problem("PreconditionFailed", "412 Precondition Failed"))
    failure = await fails(get(), "s3://bucket/a", "PreconditionFailed", retryable=True)
    assert "changed while it was read" in failure.hint
    assert len(server.requests) == 2


async def test_an_object_of_another_size_than_listed_is_no_input(get, server):
    server.on("/bucket", listing(a=5))
    server.on("/bucket/a", says(b"123"))
    await fails(get(max_retry_count=1), "3 bytes, not the 5 bytes", retryable=True)


@pytest.mark.parametrize(
    ("code", "status", "retryable"),
    [
        ("NoSuchBucket", "404 Not Found", False),
        ("AccessDenied", "403 Forbidden", True),
        ("SlowDown", "503 Slow Down", True),
    ],
)
async def test_an_error_of_the_service_is_told_in_its_words(code, status, retryable, get, server):
    server.on("/bucket", problem(code, status))
    await fails(get(max_retry_count=0), code, "so it is", "s3://bucket/", retryable=retryable)


async def test_a_silent_service_is_given_up_in_time(get, server):
    server.on("/bucket", stays_silent())
    await fails(get(max_retry_count=0, read_timeout=0.05), "did not answer in time", retryable=True)


async def test_nobody_there_is_told(get):
    await fails(
        get(max_retry_count=0, endpoint="http://127.0.0.1:1"), "http://127.0.0.1:1", "refused", retryable=True
    )


@pytest.mark.parametrize("answer", [stays_silent(), never_answers()])
async def test_a_fetch_is_cancelled_while_a_service_keeps_it_waiting(answer, get, server):
    server.on("/bucket", listing(**{f"k{n}": 10 for n in range(40)}))
    for n in range(40):
        server.on(f"/bucket/k{n}", answer)
    getting = asyncio.create_task(get())
    await eventually(lambda: len(server.requests) > 10)
    getting.cancel()
    async with asyncio.timeout(5):
        with pytest.raises(asyncio.CancelledError):
            await getting


async def test_an_object_that_never_ends_fills_no_disk(get, server):
    server.on("/bucket", listing(a=100_000))
    server.on("/bucket/a", never_ends())
    await fails(get(max_retry_count=0), "s3://bucket/a", "more than the 100000 bytes", retryable=True)


async def test_what_is_no_s3_service_is_told(get, server):
    server.on("/bucket", says(b"<html>welcome"))
    await fails(get(), "s3://bucket/", "is not what an S3 service says", retryable=False)


async def test_the_first_failure_ends_the_other_downloads(get, server):
    server.on("/bucket", listing(a=10, b=10))
    server.on("/bucket/a", stays_silent())
    server.on("/bucket/b", problem("AccessDenied", "403 Forbidden"))
    async with asyncio.timeout(5):
        await fails(get(), "s3://bucket/b", "AccessDenied", retryable=True)


async def test_what_does_not_fit_is_not_begun(get, server):
    server.on("/bucket", listing(a=600, b=600))
    failure = await fails(
        get(share=Share(budget=1000)), "1.2 kB", "1.0 kB", retryable=False, reason=Reason.DISK
    )
    assert "Resources.Disk" in failure.hint
    server.on("/bucket", listing(a=10**18))
    await fails(get(), "this node has", retryable=True, reason=Reason.DISK)
    assert len(server.requests) == 2


async def test_without_credentials_nothing_is_asked(get, server, tmp_path):
    home = {"HOME": str(tmp_path)}
    await fails(get(env=home), "no AWS credentials", "AWS_ACCESS_KEY_ID", retryable=True)
    assert server.requests == []


async def test_without_credentials_public_buckets_are_read_where_that_is_allowed(get, server, tmp_path):
    server.on("/bucket", listing(a=1))
    server.on("/bucket/a", says(b"1"))
    volume = await get(env={"HOME": str(tmp_path)}, anonymous=True)
    assert (volume.source / "a").read_bytes() == b"1"
    assert not any("authorization" in request.lower() for request in server.requests)


async def test_a_name_that_leads_to_an_address_that_is_not_allowed_is_told_nothing(
    server, tmp_path, log, monkeypatch
):
    clients = S3Clients(KEYS, DeniedNetworks(["127.0.0.0/8"]))
    monkeypatch.setattr(clients, "refuses", lambda _: "")  # as if the name had changed its address since
    params = {"Bucket": "bucket", "Endpoint": server.url("", "localhost")}
    storage = S3Storage(clients, S3Settings(max_retry_count=0))
    coroutine = storage.fetch(SpecConfig(type="s3", params=params), "/in", tmp_path / "into", log)
    await fails(coroutine, "127.0.0.1", "not allowed", retryable=False)
    assert server.requests == []
    clients.close()


@pytest.mark.parametrize(
    "endpoint",
    [
        "ftp://x",
        "http://x/path",
        "http://",
        "http://user:secret@x",
        "http://x:99999",
        "http://169.254.169.254",
    ],
)
async def test_an_endpoint_that_is_none_is_refused_without_its_password(endpoint, get):
    failure = await fails(get(endpoint=endpoint), "S3 endpoint", retryable=False)
    assert "secret" not in str(failure)


async def test_a_share_without_objects_is_an_empty_folder(get, server):
    server.on("/bucket", listing())
    volume = await get(share=Share(1, 2))
    assert list(volume.source.iterdir()) == []


async def test_a_service_without_tls_is_not_asked_again_for_it(get, log):
    async def speak_plainly(reader, writer):
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(speak_plainly, "127.0.0.1", 0) as plain:
        port = plain.sockets[0].getsockname()[1]
        failure = await fails(
            get(endpoint=f"https://127.0.0.1:{port}"), "s3://bucket/", "SSL", retryable=True
        )
    assert "AWS_CA_BUNDLE" in failure.hint
    assert not any("trying again" in event for event in log.events)


async def test_certificates_that_cannot_be_read_are_told_by_name(get, tmp_path):
    env = {**KEYS, "AWS_CA_BUNDLE": str(tmp_path / "none.pem")}
    await fails(get(endpoint="https://127.0.0.1:1", env=env), "AWS_CA_BUNDLE", "none.pem", retryable=True)
