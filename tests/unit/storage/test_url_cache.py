"""A file that was downloaded is used again, as long as its server says that it is still the same."""

import asyncio
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from bacalhau_nats.domain.ids import NodeID
from bacalhau_nats.domain.locality import input_digest
from bacalhau_nats.domain.spec import SpecConfig
from bacalhau_nats.ports import Holder, PluginContext, WorkFailed
from bacalhau_nats.storage.url import open_url
from bacalhau_nats.storage.url_cache import version_of
from bacalhau_nats.testing.storage import RecordedLog
from tests.support.http_server import http_server, says

ETAG = 'ETag: "v1"'
NOW = datetime.now(UTC)


def date(seconds):
    return format_datetime(NOW - timedelta(seconds=seconds), usegmt=True)


@pytest.fixture
async def server():
    async with http_server() as running:
        yield running


def source(url):
    return SpecConfig(type="urlDownload", params={"URL": url})


@pytest.fixture
def node(tmp_path):
    return lambda **settings: open_url(
        PluginContext("test", NodeID("n-1"), tmp_path, {"RetryWait": 0.001, **settings})
    )


@pytest.fixture
def get(tmp_path):
    count = 0

    async def fetch(storage, url):
        nonlocal count
        count += 1
        log = RecordedLog()
        volume = await storage.fetch(source(url), "/in", tmp_path / "executions" / str(count), log)
        return volume, log

    return fetch


async def test_what_has_not_changed_is_not_sent_again(server, node, get, tmp_path):
    url = server.on("/a%20b.csv", says(b"data", "200 OK", ETAG), says(b"", "304 Not Modified", ETAG))
    async with node() as storage:
        first, _ = await get(storage, url)
        again, log = await get(storage, url)
        assert isinstance(storage, Holder)
        assert storage.held() == {input_digest(source(url)): 4}
    assert first.source == again.source
    assert again.source.read_bytes() == b"data"
    assert first.target == again.target == "/in/a b.csv"
    assert again.read_only
    assert again.source.stat().st_mode & 0o777 == 0o444
    assert 'if-none-match: "v1"' in server.requests[1].lower()
    assert "has not changed: 4 B from this node's cache" in str(log.events)
    assert again.source.is_relative_to(tmp_path / "cache" / "url")


async def test_a_later_process_uses_it_too(server, node, get):
    url = server.on("/a", says(b"data", "200 OK", ETAG), says(b"", "304 Not Modified"))
    async with node() as storage:
        await get(storage, url)
    async with node() as storage:
        assert (await get(storage, url))[0].source.read_bytes() == b"data"
    assert len(server.requests) == 2


async def test_what_has_changed_is_taken_anew(server, node, get):
    url = server.on("/a", says(b"old", "200 OK", ETAG), says(b"new", "200 OK", 'ETag: "v2"'))
    async with node() as storage:
        old, _ = await get(storage, url)
        new, _ = await get(storage, url)
        assert (old.source.read_bytes(), new.source.read_bytes()) == (b"old", b"new")  # one may be in use
        await get(storage, url)
    assert '"v2"' in server.requests[2]


async def test_who_may_not_have_it_any_more_does_not_get_it(server, node, get):
    url = server.on("/a", says(b"data", "200 OK", ETAG), says(b"no", "403 Forbidden"))
    async with node() as storage:
        await get(storage, url)
        with pytest.raises(WorkFailed, match="403"):
            await get(storage, url)


async def test_without_a_version_it_is_taken_anew_each_time_and_not_kept(server, node, get, tmp_path):
    url = server.on("/a", says(b"data"))
    async with node() as storage:
        first, _ = await get(storage, url)
        await get(storage, url)
        assert storage.held() == {}
    assert first.source.is_relative_to(tmp_path / "executions")
    assert "if-none-match" not in server.requests[1].lower()


@pytest.mark.parametrize("damage", ["content", "note", "draft"])
async def test_damage_on_disk_costs_a_download_and_no_more(server, node, get, tmp_path, damage):
    url = server.on("/a", says(b"data", "200 OK", ETAG))
    async with node() as storage:
        kept = (await get(storage, url))[0].source
    note = tmp_path / "cache/url/notes" / input_digest(source(url))
    if damage == "content":
        kept.chmod(0o644)
        kept.write_bytes(b"dada")
    elif damage == "note":
        note.write_text('{"sha256": 1')
    else:
        note.with_name(note.name + ".part").write_text("half")
    async with node() as storage:
        assert (await get(storage, url))[0].source.read_bytes() == b"data"
        assert not note.with_name(note.name + ".part").exists()


async def test_a_switched_off_or_full_cache_keeps_nothing(server, node, get, tmp_path):
    url = server.on("/a", says(b"data", "200 OK", ETAG))
    async with node(CacheSize=0) as storage:
        assert (await get(storage, url))[0].source.is_relative_to(tmp_path / "executions")
        assert storage.held() == {}


async def test_many_at_once_share_one_file(server, node, get):
    url = server.on("/a", says(b"data", "200 OK", ETAG))
    async with node() as storage:
        found = await asyncio.gather(*(get(storage, url) for _ in range(8)))
    assert len({volume.source for volume, _ in found}) == 1
    assert {volume.source.read_bytes() for volume, _ in found} == {b"data"}


@pytest.mark.parametrize(
    ("headers", "version"),
    [
        ({"etag": '"a"'}, 'etag "a"'),
        ({"etag": 'W/"a"'}, ""),
        ({"last-modified": date(100), "date": date(0)}, f"last-modified {date(100)}"),
        ({"last-modified": date(30), "date": date(0)}, ""),  # it may change again within this second
        ({"last-modified": "yesterday"}, ""),
        ({"etag": '"a"', "cache-control": "private, No-Store"}, ""),
        ({}, ""),
    ],
)
def test_only_what_names_the_very_bytes_is_a_version(headers, version):
    assert version_of(headers) == version
