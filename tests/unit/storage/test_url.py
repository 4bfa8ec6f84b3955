"""Downloads, from servers that are not always well."""

import asyncio
import time

import pytest

from bacalhau_nats.domain.execution import Reason
from bacalhau_nats.domain.ids import NodeID
from bacalhau_nats.domain.spec import SpecConfig
from bacalhau_nats.errors import InvalidSettings
from bacalhau_nats.ports import PluginContext, WorkFailed
from bacalhau_nats.storage.url import open_url
from bacalhau_nats.testing.storage import RecordedLog
from tests.support.http_server import (
    breaks_off,
    http_server,
    never_ends,
    redirects,
    says,
    stays_silent,
)
from tests.support.waiting import eventually


@pytest.fixture
async def server():
    async with http_server() as running:
        yield running


@pytest.fixture
def log():
    return RecordedLog()


@pytest.fixture
def get(tmp_path, log):
    async def fetch(url, target="/in", **settings):
        context = PluginContext("test", NodeID("n-1"), tmp_path, {"RetryWait": 0.001, **settings})
        async with open_url(context) as storage:
            source = SpecConfig(type="urlDownload", params={"URL": url})
            return await storage.fetch(source, target, tmp_path / "into", log)

    return fetch


async def fails(coroutine, *said, retryable):
    with pytest.raises(WorkFailed) as caught:
        await coroutine
    for word in said:
        assert word in str(caught.value)
    assert caught.value.failure.reason is Reason.INPUT
    assert caught.value.failure.retryable is retryable
    return caught.value


@pytest.mark.parametrize(
    ("target", "placed"),
    [("/in", "/in/a b.csv"), ("/in/", "/in/a b.csv"), ("/in/a b.csv", "/in/a b.csv"), ("rel", "rel/a b.csv")],
)
async def test_the_file_lies_at_target_under_its_name(target, placed, server, get):
    url = server.on("/data/a%20b.csv", says(b"content"))
    volume = await get(url + "?token=secret#part", target)
    assert volume.source.read_bytes() == b"content"
    assert (volume.target, volume.read_only) == (placed, True)


@pytest.mark.parametrize(
    ("header", "name"),
    [
        ('attachment; filename="report.pdf"', "report.pdf"),
        ('attachment; filename="../../etc/cron.d/x"', "x"),
        ("attachment; filename=..", "download"),
        ('attachment; filename="a\\..\\b"', "b"),
        ("inline", "download"),
    ],
)
async def test_a_server_may_name_a_file_but_no_folder(header, name, server, get, tmp_path):
    volume = await get(server.on("/", says(b"1", "200 OK", f"Content-Disposition: {header}")))
    assert volume.target == f"/in/{name}"
    assert volume.source.parent == tmp_path / "into"


@pytest.mark.parametrize("path", ["/a/%2e%2e", "/a/..%2f..%2fescape", "/a/%00"])
async def test_a_name_in_the_url_stays_in_its_folder(path, server, get, tmp_path):
    server.routes = {known: [says(b"1")] for known in (path, "/", "/a/")}
    volume = await get(server.url(path))
    assert volume.source.parent == tmp_path / "into"
    assert ".." not in volume.target


async def test_a_server_that_recovers_is_waited_for(server, get, log):
    bad = says(b"", "500 Internal Server Error")
    volume = await get(server.on("/x", bad, bad, bad, says(b"at last")))
    assert volume.source.read_bytes() == b"at last"
    assert len(server.requests) == 4
    assert sum("trying again" in line for line in log.events) == 3


async def test_after_the_last_try_the_status_is_told(server, get):
    url = server.on("/x", says(b"", "503 Service Unavailable"))
    await fails(get(url, MaxRetryCount=1), url, "503 Service Unavailable", "2 tries", retryable=True)
    assert len(server.requests) == 2


@pytest.mark.parametrize("status", ["404 Not Found", "401 Unauthorized", "410 Gone"])
async def test_a_refusal_is_final_and_named(status, server, get):
    url = server.on("/x", says(b"", status))
    await fails(get(url), url, status, retryable=False)
    assert len(server.requests) == 1


async def test_too_many_requests_is_no_refusal(server, get):
    volume = await get(server.on("/x", says(b"", "429 Too Many Requests"), says(b"1")))
    assert volume.source.read_bytes() == b"1"


async def test_a_body_that_breaks_off_is_fetched_again_from_the_start(server, get):
    volume = await get(server.on("/x", breaks_off(b"hel", 5), says(b"hello")))
    assert volume.source.read_bytes() == b"hello"


async def test_a_body_that_always_breaks_off_is_never_taken_for_whole(server, get):
    await fails(get(server.on("/x", breaks_off(b"hel", 5)), MaxRetryCount=1), "2 tries", retryable=True)


async def test_nobody_listening_is_told(get, server):
    async with http_server() as gone:
        url = gone.url("/x")
    await fails(get(url, MaxRetryCount=0), url, "cannot connect", "one try", retryable=True)


async def test_an_unknown_host_is_told(get):
    await fails(
        get("http://no-such-host.invalid/x", MaxRetryCount=0),
        "no-such-host.invalid is not known",
        retryable=True,
    )


@pytest.mark.parametrize("announced", [True, False])
async def test_a_file_that_is_too_large_is_not_taken(announced, server, get, tmp_path):
    url = server.on("/x", says(b"x" * 100_000) if announced else never_ends())
    await fails(get(url, MaxSize=50_000), url, "50.0 kB", retryable=False)
    taken = sum(path.stat().st_size for path in tmp_path.rglob("*") if path.is_file())
    assert taken <= 50_000


async def test_silence_ends_by_the_read_timeout(server, get):
    began = time.monotonic()
    failure = await fails(
        get(server.on("/x", stays_silent()), ReadTimeout=0.2, MaxRetryCount=1), retryable=True
    )
    assert "/x: nothing came within 0.2 s" in str(failure)
    assert time.monotonic() - began < 5


async def test_redirects_are_followed_and_the_name_is_that_of_the_url_asked_for(server, get):
    server.on("/second", says(b"there"))
    server.on("/first", redirects("second"))
    volume = await get(server.on("/data.csv", redirects(server.url("/first"), "307 Temporary Redirect")))
    assert volume.source.read_bytes() == b"there"
    assert volume.target == "/in/data.csv"


async def test_redirects_in_a_circle_end(server, get):
    await fails(get(server.on("/x", redirects("/x"))), "more than 10 times", retryable=False)
    assert len(server.requests) == 11


@pytest.mark.parametrize(
    "to",
    [
        "http://169.254.169.254/latest/meta-data/",
        "http://[::ffff:169.254.169.254]/",
        "http://2852039166/",  # the same address as one number
        "http://0xa9.0xfe.0xa9.0xfe/",
        "http://[fe80::1]/",
    ],
)
async def test_no_redirect_leads_to_the_clouds_credentials(to, server, get):
    await fails(get(server.on("/x", redirects(to))), "not allowed", "link-local", retryable=False)
    await fails(get(to), "not allowed", "link-local", retryable=False)


async def test_a_redirect_may_not_leave_http(server, get):
    await fails(
        get(server.on("/x", redirects("file:///etc/passwd"))), "must start with http", retryable=False
    )


async def test_a_name_is_resolved_once_and_the_address_that_was_checked_is_connected_to(
    server, get, monkeypatch
):
    """A name that points elsewhere a moment later (DNS rebinding) gains nothing."""
    answers = ["127.0.0.1", "169.254.169.254"]
    asked = []

    async def getaddrinfo(host, port, **_):
        asked.append(host)
        return [(2, 1, 6, "", (answers.pop(0), port))]

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", getaddrinfo, raising=False)
    server.on("/x", says(b"mine"))
    volume = await get(server.url("/x", host="rebind.example"))
    assert volume.source.read_bytes() == b"mine"
    assert asked.count("rebind.example") == 1
    assert f"Host: rebind.example:{server.port}" in server.requests[0]


async def test_the_operator_may_deny_networks(server, get):
    url = server.on("/x", says(b"1"))
    await fails(get(url, DeniedNetworks=["127.0.0.0/8"]), "127.0.0.0/8", retryable=False)
    named = server.url("/x", host="localhost")
    await fails(get(named, DeniedNetworks=["127.0.0.0/8", "::1/128"]), "127.0.0.0/8", retryable=False)
    assert server.requests == []


async def test_secrets_in_a_url_reach_neither_messages_nor_log(server, get, log):
    url = server.on("/x", says(b"", "404 Not Found")).replace("http://", "http://me:pass@") + "?sig=hidden"
    failed = await fails(get(url), "404", retryable=False)
    for text in (str(failed), *log.events):
        assert "pass" not in text
        assert "hidden" not in text
    assert "authorization: basic" in server.requests[0].lower()
    assert "?sig=hidden" in server.requests[0]


@pytest.mark.parametrize(
    "url", ["", "ftp://x/y", "http://", "http:///x", "http://x:99999/", "http://x/a b", 5]
)
async def test_what_is_no_url_is_refused(url, tmp_path):
    async with open_url(PluginContext("test", NodeID("n-1"), tmp_path)) as storage:
        assert storage.refuses(SpecConfig(type="urlDownload", params={"URL": url}))


async def test_settings_that_make_no_sense_are_named(tmp_path):
    context = PluginContext("test", NodeID("n-1"), tmp_path, {"DeniedNetworks": ["10.0.0.0/99"]})
    with pytest.raises(InvalidSettings, match=r"DeniedNetworks.*10\.0\.0\.0/99"):
        async with open_url(context):
            pass


async def test_a_cancelled_download_ends_at_once(server, get):
    task = asyncio.create_task(get(server.on("/x", stays_silent())))
    await eventually(lambda: server.requests)
    task.cancel()
    done, _ = await asyncio.wait([task], timeout=2)
    assert task in done
    assert task.cancelled()
