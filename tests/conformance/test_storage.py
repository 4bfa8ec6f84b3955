"""The storages that come with the project do what every storage must."""

import base64
import hashlib
from contextlib import asynccontextmanager

import pytest

from bacalhau_nats.domain.ids import NodeID
from bacalhau_nats.domain.spec import SpecConfig
from bacalhau_nats.plugins import STORAGE, find
from bacalhau_nats.ports import Health, PluginContext, Volume
from bacalhau_nats.testing.storage import StorageCase, check_storage
from tests.support.http_server import http_server, says
from tests.support.memory_blobs import MemoryBlobs
from tests.support.tar import member, tar_gz


def spec(**params):
    return SpecConfig(type="x", params=params)


def data_url(data, media_type=""):
    return f"data:{media_type};base64,{base64.b64encode(data).decode()}"


async def test_inline(tmp_path):
    archive, large = tar_gz(member("a/b", b"1"), member("c", b"2")), b"x" * 100_000
    digest = hashlib.sha256(large).hexdigest()
    context = PluginContext("test", NodeID("n"), tmp_path, blobs=MemoryBlobs(**{digest: large}))
    await check_storage(
        find(STORAGE, "inline"),
        context,
        [
            StorageCase(spec(URL=data_url(b"hello")), b"hello"),
            StorageCase(spec(url=data_url(archive, "application/gzip")), {"a/b": b"1", "c": b"2"}),
            StorageCase(spec(Digest=f"sha256:{digest}", MediaType="application/wasm", Size=100_000), large),
        ],
        [spec(), spec(URL="http://x/"), spec(URL=data_url(b"no archive", "application/gzip"))],
    )


async def test_urldownload(tmp_path):
    async with http_server() as server:
        url = server.on("/data.csv", says(b"1,2,3"))
        missing = server.on("/missing", says(b"", "404 Not Found"))
        await check_storage(
            find(STORAGE, "urldownload"),
            PluginContext("test", NodeID("n"), tmp_path),
            [StorageCase(spec(URL=url), b"1,2,3", target="/in", placed="/in/data.csv")],
            [spec(URL=missing), spec(URL="ftp://x/y"), spec()],
        )


@pytest.mark.parametrize("name", ["local", "localDirectory"])
async def test_local(name, tmp_path):
    (tmp_path / "data/sub").mkdir(parents=True)
    (tmp_path / "data/sub/file").write_bytes(b"1")
    await check_storage(
        find(STORAGE, name),
        PluginContext(
            "test", NodeID("n"), tmp_path / "node", {"AllowListedLocalPaths": [f"{tmp_path}/data/**:rw"]}
        ),
        [
            StorageCase(spec(SourcePath=f"{tmp_path}/data"), {"sub/file": b"1"}),
            StorageCase(spec(SourcePath=f"{tmp_path}/data/sub/file", ReadWrite="true"), b"1", writable=True),
        ],
        [spec(SourcePath=str(tmp_path)), spec(SourcePath=f"{tmp_path}/data/missing"), spec()],
    )


@pytest.mark.xdist_group("s3")
async def test_s3(s3, tmp_path, monkeypatch):
    for name, value in s3.reader.env.items():
        monkeypatch.setenv(name, value)
    files = {"a": b"1", "sub/b": b"22", "sub/empty": b""}
    bucket = s3.bucket("conformance-in", {f"data/{name}": content for name, content in files.items()})

    def of(key, **more):
        return spec(Bucket=bucket, Key=key, Endpoint=s3.endpoint, **more)

    await check_storage(
        find(STORAGE, "s3"),
        PluginContext("test", NodeID("n"), tmp_path),
        [
            StorageCase(of("data/"), files),
            StorageCase(of("data/a"), {"a": b"1"}),
            StorageCase(of("data/su*"), {"sub/b": b"22", "sub/empty": b""}),
            StorageCase(of("", Filter=r"/b$"), {"data/sub/b": b"22"}),
            StorageCase(of("data/", Partition={"Type": "object"}), files),
        ],
        [
            *(spec(), of("data/missing"), of("data/", VersionID="1"), of("data/", Filter="(")),
            spec(Bucket="no-such-bucket", Endpoint=s3.endpoint),
            spec(Bucket="b", Endpoint="http://169.254.169.254"),
        ],
    )


class _Careless:
    """Gives everybody the same file, in the folder of whoever came first."""

    def __init__(self, flaw):
        self.flaw = flaw
        self.made = None

    async def check(self):
        return Health(ok=self.flaw != "ill", why="no disk")

    def refuses(self, source):
        return "never" if self.flaw == "refuses" else ""

    async def fetch(self, source, target, into, logs):
        if self.flaw != "shares" or self.made is None or not self.made.exists():
            into.mkdir(parents=True)
            self.made = into / "file"
            self.made.write_bytes(b"wrong" if self.flaw == "content" else b"right")
        return Volume(self.made, "/elsewhere" if self.flaw == "target" else target, self.flaw != "writable")


class _Divided(_Careless):
    """Gives each partition one of four files: loses the last, or gives another one each time."""

    def __init__(self, flaw, files="abcd"):
        super().__init__(flaw)
        self.files = files
        self.shares = 0

    def share(self, share):
        self.shares += 1
        number = share.index if self.flaw == "loses" else self.shares % 4
        return _Divided("", "abcd" if share.count == 1 else "abcd"[number])

    async def fetch(self, source, target, into, logs):
        into.mkdir(parents=True)
        for name in self.files:
            (into / name).write_bytes(b"1")
        return Volume(into, target)


@pytest.mark.parametrize(("flaw", "said"), [("loses", "together"), ("forgets", "and then")])
async def test_the_suite_catches_a_storage_that_divides_badly(flaw, said, tmp_path):
    @asynccontextmanager
    async def opened(_):
        yield _Divided(flaw)

    case = StorageCase(spec(), dict.fromkeys("abcd", b"1"))
    with pytest.raises(AssertionError, match=said):
        await check_storage(opened, PluginContext("test", NodeID("n"), tmp_path), [case])


@pytest.mark.parametrize(
    ("flaw", "said"),
    [
        ("ill", "no disk"),
        ("refuses", "never"),
        ("content", "wrong"),
        ("target", "/elsewhere"),
        ("writable", "read_only"),
        ("shares", "took away"),
        ("broken", "should fail"),
    ],
)
async def test_the_suite_catches_a_storage_that_is(flaw, said, tmp_path):
    class Opened:
        async def __aenter__(self):
            return _Careless(flaw)

        async def __aexit__(self, *_):
            return None

    with pytest.raises(AssertionError, match=said):
        await check_storage(
            lambda _: Opened(),
            PluginContext("test", NodeID("n"), tmp_path),
            [StorageCase(spec(), b"right")],
            [spec(Broken=True)],
        )
