"""The file server of the local publisher gives archives, and nothing else."""

import asyncio
import socket

import httpx
import pytest

from bacalhau_nats.domain.execution import Reason
from bacalhau_nats.domain.ids import NodeID
from bacalhau_nats.domain.spec import SpecConfig
from bacalhau_nats.errors import InvalidSettings
from bacalhau_nats.ports import PluginContext, WorkFailed
from bacalhau_nats.publishers.fileserver import serve_files
from bacalhau_nats.publishers.local import open_local
from bacalhau_nats.testing.publishers import a_work


@pytest.fixture
def results(tmp_path):
    (tmp_path / "results-of-work").mkdir()
    (tmp_path / "results-of-work/stdout").write_text("hi")
    return tmp_path / "results-of-work"


@pytest.fixture
def folder(tmp_path):
    made = tmp_path / "served"
    (made / "sub").mkdir(parents=True)
    (made / "e-1.tar.gz").write_bytes(bytes(range(256)) * 4000)
    (made / "e-2.tar.gz.part").write_text("draft")
    (made / "sub/e-3.tar.gz").write_text("below")
    (tmp_path / "secret.tar.gz").write_text("secret")
    return made


@pytest.fixture
async def client(folder):
    async with (
        serve_files(folder, "127.0.0.1", 0) as port,
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False) as made,
    ):
        made.headers["x-port"] = str(port)
        yield made


def publisher(tmp_path, **settings):
    return open_local(PluginContext("test", NodeID("n-1"), tmp_path / "data", settings))


async def raw(client, head):
    reader, writer = await asyncio.open_connection("127.0.0.1", int(client.headers["x-port"]))
    writer.write(head)
    answer = await asyncio.wait_for(reader.read(), 5)
    writer.close()
    await writer.wait_closed()
    return answer


async def test_an_archive_is_served_whole(client):
    got = await client.get("/e-1.tar.gz")
    assert got.content == bytes(range(256)) * 4000
    assert got.headers["content-type"] == "application/gzip"
    assert "content-encoding" not in got.headers


async def test_head_tells_the_size_and_sends_nothing(client):
    got = await client.head("/e-1.tar.gz")
    assert (got.status_code, got.headers["content-length"], got.content) == (200, "1024000", b"")


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/e-9.tar.gz",
        "/e-2.tar.gz.part",
        "/sub/e-3.tar.gz",
        "/sub%2fe-3.tar.gz",
        "/../secret.tar.gz",
        "/..%2fsecret.tar.gz",
        "/%2e%2e/secret.tar.gz",
        "//e-1.tar.gz",
        "/e-1.tar.gz/",
        "/e-1.tar.gz%00",
        "/.tar.gz",
    ],
)
async def test_any_other_name_is_not_found(path, client):
    answer = await raw(client, f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    assert answer.startswith(b"HTTP/1.1 404 ")
    assert b"secret" not in answer


@pytest.mark.parametrize(
    ("wanted", "status", "start", "end"),
    [
        ("bytes=0-9", 206, 0, 10),
        ("bytes=10-", 206, 10, 1_024_000),
        ("bytes=-10", 206, 1_023_990, 1_024_000),
        ("bytes=1023999-5000000", 206, 1_023_999, 1_024_000),
        ("bytes=5-1", 200, 0, 1_024_000),
        ("bytes=0-1,5-6", 200, 0, 1_024_000),
        ("rows=1-2", 200, 0, 1_024_000),
        (f"bytes={'1' * 5000}-", 200, 0, 1_024_000),
    ],
)
async def test_a_broken_download_can_go_on(wanted, status, start, end, client):
    got = await client.get("/e-1.tar.gz", headers={"Range": wanted})
    assert got.status_code == status
    assert got.content == (bytes(range(256)) * 4000)[start:end]
    if status == 206:
        assert got.headers["content-range"] == f"bytes {start}-{end - 1}/1024000"


async def test_a_broken_download_goes_on_only_with_the_same_file(client, folder):
    whole = await client.get("/e-1.tar.gz")
    tag = whole.headers["etag"]
    ask = {"Range": "bytes=1000-", "If-Range": tag}
    assert (await client.get("/e-1.tar.gz", headers=ask)).status_code == 206
    (folder / "e-1.tar.gz").write_bytes(bytes(1_024_000))
    again = await client.get("/e-1.tar.gz", headers=ask)
    assert (again.status_code, again.content) == (200, bytes(1_024_000))
    assert again.headers["etag"] != tag


@pytest.mark.parametrize("wanted", ["bytes=1024000-", "bytes=-0"])
async def test_a_range_after_the_end_is_told(wanted, client):
    got = await client.get("/e-1.tar.gz", headers={"Range": wanted})
    assert (got.status_code, got.headers["content-range"]) == (416, "bytes */1024000")


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (b"POST /e-1.tar.gz HTTP/1.1\r\nHost: x\r\n\r\n", 405),
        (b"DELETE /e-1.tar.gz HTTP/1.1\r\nHost: x\r\n\r\n", 405),
        (b"nonsense\r\n\r\n", 400),
        (b"GET /e-1.tar.gz HTTP/1.1\r\nX: " + b"x" * 100_000 + b"\r\n\r\n", 431),
    ],
    ids=["post", "delete", "nonsense", "huge"],
)
async def test_other_requests_are_refused(head, status, client):
    assert (await raw(client, head)).startswith(f"HTTP/1.1 {status} ".encode())


async def test_a_client_that_leaves_does_no_harm(client):
    for _ in range(5):
        _, writer = await asyncio.open_connection("127.0.0.1", int(client.headers["x-port"]))
        writer.write(b"GET /e-1.tar.gz HTTP/1.1\r\n\r\n")
        writer.transport.abort()
    assert (await client.get("/e-1.tar.gz")).status_code == 200


async def test_the_server_ends_while_a_client_dawdles(folder):
    async with serve_files(folder, "127.0.0.1", 0) as port:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET /e-1.tar")
        await writer.drain()
        await asyncio.sleep(0)
    writer.close()


async def test_a_result_can_be_had_at_its_url(results, tmp_path):
    async with publisher(tmp_path, Port=0) as local:
        result = await local.publish(a_work("e-1"), results, SpecConfig())
        async with httpx.AsyncClient(trust_env=False) as client:
            assert (await client.get(result.params["URL"])).status_code == 200
    assert result.type == "urlDownload"
    assert result.params["URL"].endswith("/e-1.tar.gz")


async def test_a_named_port_that_is_taken_is_told_and_tried_again(results, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        async with publisher(tmp_path, Port=port) as local:
            health = await local.check()
            assert not health.ok
            for word in (str(port), "Publishers.Types.Local.Port"):
                assert word in health.why
            with pytest.raises(WorkFailed, match=str(port)) as caught:
                await local.publish(a_work("e-1"), results, SpecConfig())
            assert caught.value.failure.reason is Reason.PUBLISH
            other.close()
            assert (await local.check()).ok
            result = await local.publish(a_work("e-1"), results, SpecConfig())
            assert f":{port}/" in result.params["URL"]


async def test_without_a_named_port_two_nodes_share_a_machine(results, tmp_path):
    async with publisher(tmp_path / "one") as one, publisher(tmp_path / "two") as two:
        urls = [
            (await local.publish(a_work("e-1"), results, SpecConfig())).params["URL"] for local in (one, two)
        ]
        async with httpx.AsyncClient(trust_env=False) as client:
            for url in urls:
                assert (await client.get(url)).status_code == 200
    assert len(set(urls)) == 2


@pytest.mark.parametrize(
    ("address", "shown"), [("loopback", "127.0.0.1"), ("127.0.0.1", "127.0.0.1"), ("localhost", "localhost")]
)
async def test_the_address_is_what_is_listened_on_and_shown(address, shown, results, tmp_path):
    async with publisher(tmp_path, Address=address, Port=0) as local:
        result = await local.publish(a_work("e-1"), results, SpecConfig())
    assert result.params["URL"].startswith(f"http://{shown}:")


@pytest.mark.parametrize(
    "settings", [{"Address": "multicast"}, {"Address": ""}, {"Port": 70_000}, {"Port": "x"}]
)
async def test_settings_that_cannot_work_are_named(settings, tmp_path):
    with pytest.raises(InvalidSettings, match=next(iter(settings))):
        async with publisher(tmp_path, **settings):
            pass


async def test_what_a_dead_process_left_half_packed_is_removed(tmp_path):
    draft = tmp_path / "data/results/e-1.tar.gz.part"
    draft.parent.mkdir(parents=True)
    draft.write_text("half")
    (draft.parent / "e-0.tar.gz").write_text("whole")
    async with publisher(tmp_path, Port=0):
        assert [path.name for path in draft.parent.iterdir()] == ["e-0.tar.gz"]
