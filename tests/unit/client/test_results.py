"""Downloading: what is fetched, checked, continued and put together."""

from __future__ import annotations

import base64
import hashlib
import io
import tarfile
from pathlib import Path

import pytest

from bacalhau_nats.client import Client, Progress, receipt
from bacalhau_nats.errors import BacalhauError, Conflict, NotFound, UserError
from tests.unit.client.fake_api import Answer, Asked, FakeApi

JOB = "/api/v1/orchestrator/jobs/x"
ONE, TWO = (f"e-{n:08x}-1111-4111-8111-111111111111" for n in (1, 2))


def archive(**files: str) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as tar:
        names = {parent for name in files for parent in Path(name.replace("__", "/")).parents}
        for folder in sorted(str(name) for name in names):
            entry = tarfile.TarInfo(folder)
            entry.type, entry.mode = tarfile.DIRTYPE, 0o755
            tar.addfile(entry)
        for name, text in files.items():
            entry = tarfile.TarInfo(name.replace("__", "/"))
            entry.size = len(text)
            tar.addfile(entry, io.BytesIO(text.encode()))
    return out.getvalue()


def publish(api: FakeApi, results: dict[str, bytes], *, partitions: dict[str, int] | None = None) -> None:
    """Offer archives under their executions' ids, without entity tags."""
    items = [
        {"Type": "urlDownload", "Params": {"URL": f"{api.url}/{execution}.tar.gz"}} for execution in results
    ]
    placed = [{"ID": key, "PartitionIndex": value} for key, value in (partitions or {}).items()]
    api.on(f"GET {JOB}/results", {"NextToken": "", "Items": items})
    api.on(f"GET {JOB}/executions", {"NextToken": "", "Items": placed})
    for execution, data in results.items():
        api.on(f"GET /{execution}.tar.gz", Answer(data))


async def test_one_result_is_unpacked_and_nothing_else_stays(api: FakeApi, tmp_path: Path) -> None:
    publish(api, {ONE: archive(stdout="out", exitCode="0", data__a="1")})
    seen: list[Progress] = []
    async with Client(api.url) as client:
        done = await client.download("x", tmp_path / "new", on_progress=seen.append)
    found = {p.relative_to(done.into).as_posix() for p in done.into.rglob("*")}
    assert found == {"stdout", "exitCode", "data", "data/a", receipt.NAME}
    assert (done.results, done.files, done.clashes, done.verified) == (1, 3, (), 0)
    assert seen[-1].done == seen[-1].total > 0


async def test_several_results_are_appended_in_partition_order_and_clashes_are_kept_apart(
    api: FakeApi, tmp_path: Path
) -> None:
    publish(
        api,
        {
            ONE: archive(stdout="second\n", exitCode="3", data__a="from one", data__only="1"),
            TWO: archive(stdout="first\n", exitCode="0", data__a="from two"),
        },
        partitions={ONE: 1, TWO: 0},
    )
    async with Client(api.url) as client:
        done = await client.download("x", tmp_path)
    assert (tmp_path / "stdout").read_text() == "first\nsecond\n"
    assert (tmp_path / "exitCode").read_text() == "0\n3\n"
    assert (tmp_path / "e-00000001/data/a").read_text() == "from one"
    assert (tmp_path / "e-00000002/data/a").read_text() == "from two"
    assert (tmp_path / "data/only").read_text() == "1"
    assert not (tmp_path / "data/a").exists()
    assert done.clashes == ("data/a",)


async def test_fetching_again_changes_nothing_and_a_foreign_file_is_never_overwritten(
    api: FakeApi, tmp_path: Path
) -> None:
    publish(api, {ONE: archive(stdout="out")})
    async with Client(api.url) as client:
        await client.download("x", tmp_path)
        await client.download("x", tmp_path)
        (tmp_path / "stdout").write_text("mine")
        with pytest.raises(Conflict, match="stdout"):
            await client.download("x", tmp_path)
        assert (tmp_path / "stdout").read_text() == "mine"
        await client.download("x", tmp_path, replace=True)
    assert (tmp_path / "stdout").read_text() == "out"


async def test_what_a_fetch_wrote_and_nobody_changed_may_be_replaced_by_the_next_one(
    api: FakeApi, tmp_path: Path
) -> None:
    """A job that ran again has other results."""
    async with Client(api.url) as client:
        publish(api, {ONE: archive(stdout="first", data__old="1")})
        await client.download("x", tmp_path)
        publish(api, {TWO: archive(stdout="second")})
        done = await client.download("x", tmp_path)
    assert (tmp_path / "stdout").read_text() == "second"
    assert done.left == ("data/old",)


async def test_two_fetches_into_one_folder_do_not_meet(api: FakeApi, tmp_path: Path) -> None:
    publish(api, {ONE: archive(stdout="out")})
    async with Client(api.url) as client:
        with receipt.only_fetch(tmp_path), pytest.raises(Conflict, match="another fetch"):
            await client.download("x", tmp_path)
        await client.download("x", tmp_path)


async def test_a_download_that_broke_off_goes_on_where_it_stopped(api: FakeApi, tmp_path: Path) -> None:
    data = archive(stdout="out" * 1000)
    publish(api, {ONE: data})

    def serve(asked: Asked) -> Answer:
        if "range" not in asked.headers:
            return Answer(data, headers={"ETag": '"v1"'}, cut=40)
        assert asked.headers["if-range"] == '"v1"'
        start = int(asked.headers["range"].removeprefix("bytes=").removesuffix("-"))
        assert start == 40
        return Answer(data[start:], 206, headers={"ETag": '"v1"'})

    api.on(f"GET /{ONE}.tar.gz", serve)
    async with Client(api.url) as client:
        await client.download("x", tmp_path)
    assert (tmp_path / "stdout").read_text() == "out" * 1000
    assert len(api.of(f"GET /{ONE}.tar.gz")) == 2


async def test_a_file_that_changed_meanwhile_is_fetched_anew(api: FakeApi, tmp_path: Path) -> None:
    data = archive(stdout="new")
    publish(api, {ONE: data})
    part = tmp_path / "raw" / f"127.0.0.1_{api.url.rpartition(':')[2]}_{ONE}.tar.gz.part"
    part.parent.mkdir()
    part.write_bytes(b"old bytes")
    part.with_name(f"{part.name}.tag").write_text('"v1"')
    api.on(f"GET /{ONE}.tar.gz", Answer(data, headers={"ETag": '"v2"'}))
    async with Client(api.url) as client:
        await client.download("x", tmp_path)
    assert (tmp_path / "stdout").read_text() == "new"


@pytest.mark.parametrize(
    ("extra", "words"), [({"SHA256": "0" * 64}, "SHA-256"), ({"Size": 7}, "instead of 7")]
)
async def test_what_does_not_match_its_description_is_thrown_away(
    api: FakeApi, tmp_path: Path, extra: dict[str, object], words: str
) -> None:
    data = archive(stdout="out")
    publish(api, {ONE: data})
    params = {"URL": f"{api.url}/{ONE}.tar.gz"}
    api.on(f"GET {JOB}/results", {"Items": [{"Type": "urlDownload", "Params": {**params, **extra}}]})
    async with Client(api.url) as client:
        with pytest.raises(BacalhauError, match=words):
            await client.download("x", tmp_path)
        assert not (tmp_path / "raw").exists()
        right = {"SHA256": hashlib.sha256(data).hexdigest(), "Size": len(data)}
        api.on(f"GET {JOB}/results", {"Items": [{"Type": "urlDownload", "Params": {**params, **right}}]})
        await client.download("x", tmp_path)
    assert (tmp_path / "stdout").read_text() == "out"


async def test_one_path_of_the_results_can_be_fetched_alone(api: FakeApi, tmp_path: Path) -> None:
    publish(api, {ONE: archive(stdout="out", data__a="1", data__b="2")})
    async with Client(api.url) as client:
        await client.download("x", tmp_path / "one", path="data/a")
        await client.download("x", tmp_path / "two", path="data")
        with pytest.raises(NotFound) as caught:
            await client.download("x", tmp_path / "three", path="nope")
    assert {p.name for p in (tmp_path / "one").rglob("*")} == {"data", "a"}
    assert {p.name for p in (tmp_path / "two").rglob("*")} == {"data", "a", "b"}
    assert "data, stdout" in caught.value.hint


async def test_raw_keeps_the_archive_packed(api: FakeApi, tmp_path: Path) -> None:
    data = archive(stdout="out")
    publish(api, {ONE: data})
    async with Client(api.url) as client:
        await client.download("x", tmp_path, raw=True)
    (kept,) = (tmp_path / "raw").iterdir()
    assert kept.name.endswith(f"_{ONE}.tar.gz")
    assert kept.read_bytes() == data


async def test_credentials_go_to_the_own_server_only(api: FakeApi, tmp_path: Path) -> None:
    publish(api, {ONE: archive(stdout="out")})
    other = api.url.replace("127.0.0.1", "localhost")
    items = [{"Type": "urlDownload", "Params": {"URL": f"{other}/{ONE}.tar.gz"}}]
    async with Client(api.url, token="secret") as client:
        await client.download("x", tmp_path / "a")
        api.on(f"GET {JOB}/results", {"Items": items})
        await client.download("x", tmp_path / "b")
    own, foreign = api.of(f"GET /{ONE}.tar.gz")
    assert own.headers["authorization"] == "Bearer secret"
    assert "authorization" not in foreign.headers


async def test_a_result_that_cannot_be_downloaded_and_one_that_is_gone_are_told(
    api: FakeApi, tmp_path: Path
) -> None:
    api.on(f"GET {JOB}/executions", {"Items": []})
    async with Client(api.url) as client:
        for key in ("k/", "k.tar.gz"):
            params = {"Bucket": "b", "Key": key, "Endpoint": "http://e"}
            api.on(f"GET {JOB}/results", {"Items": [{"Type": "s3", "Params": params}]})
            with pytest.raises(UserError, match="cannot be") as caught:
                await client.download("x", tmp_path / "none", environ={"HOME": str(tmp_path)})
            assert f"s3://b/{key} at http://e" in f"{caught.value.message} {caught.value.hint}"
            assert "AWS credentials in your environment" in caught.value.hint
        gone = [{"Type": "urlDownload", "Params": {"URL": f"{api.url}/gone.tar.gz"}}]
        api.on(f"GET {JOB}/results", {"Items": gone})
        with pytest.raises(NotFound):
            await client.download("x", tmp_path)
        api.on(f"GET {JOB}/results", {"Items": []})
        assert (await client.download("x", tmp_path / "none")).results == 0
    assert not (tmp_path / "none").exists()


def pre_signed(api: FakeApi, checksum: str) -> dict[str, object]:
    url = f"{api.url}/b/{ONE}.tar.gz?X-Amz-Signature=0123"
    source = {"Bucket": "b", "Key": f"{ONE}.tar.gz", "ChecksumSHA256": checksum}
    return {
        "Type": "s3PreSigned",
        "Params": {"Managed": False, "PreSignedURL": url, "SourceSpec": source},
    }


async def test_a_signed_result_is_checked_against_the_checksum_of_its_object(
    api: FakeApi, tmp_path: Path
) -> None:
    data = archive(stdout="out")
    right = base64.b64encode(hashlib.sha256(data).digest()).decode()
    api.on(f"GET {JOB}/executions", {"Items": []})
    api.on(f"GET /b/{ONE}.tar.gz", Answer(data))
    async with Client(api.url) as client:
        for checksum in (right, "", f"{right}-3"):  # the last is one of parts: nothing to compare with
            api.on(f"GET {JOB}/results", {"Items": [pre_signed(api, checksum)]})
            await client.download("x", tmp_path / f"ok-{len(checksum)}")
        wrong = base64.b64encode(bytes(32)).decode()
        api.on(f"GET {JOB}/results", {"Items": [pre_signed(api, wrong)]})
        with pytest.raises(BacalhauError, match="damaged") as caught:
            await client.download("x", tmp_path / "wrong")
    assert "Signature" not in caught.value.message


async def test_a_result_that_the_server_does_not_sign_is_signed_with_the_callers_own_credentials(
    api: FakeApi, tmp_path: Path
) -> None:
    data = archive(stdout="out")
    params = {"Bucket": "bucket", "Key": f"{ONE}.tar.gz", "Endpoint": api.url}
    api.on(f"GET {JOB}/results", {"Items": [{"Type": "s3", "Params": params}]})
    api.on(f"GET {JOB}/executions", {"Items": []})
    api.on(f"GET /bucket/{ONE}.tar.gz", Answer(data))
    environ = {"AWS_ACCESS_KEY_ID": "mine", "AWS_SECRET_ACCESS_KEY": "secret", "HOME": str(tmp_path)}
    async with Client(api.url) as client:
        await client.download("x", tmp_path / "got", environ=environ)
    assert (tmp_path / "got" / "stdout").read_text() == "out"
    (asked,) = api.of(f"GET /bucket/{ONE}.tar.gz")
    assert asked.query["X-Amz-Credential"].startswith("mine/")


def listing(*objects: tuple[str, int]) -> Answer:
    """What an S3 service says is in a bucket."""
    found = "".join(
        f"<Contents><Key>{key}</Key><Size>{size}</Size><LastModified>2026-01-01T00:00:00Z</LastModified></Contents>"
        for key, size in objects
    )
    text = f"<ListBucketResult><Name>bucket</Name><IsTruncated>false</IsTruncated>{found}</ListBucketResult>"
    return Answer(text.encode(), headers={"Content-Type": "application/xml"})


@pytest.mark.parametrize("hostile", ["../../evil", "a/../../../evil", "stdout/x"])
async def test_no_object_leads_out_of_its_folder_and_nothing_is_left(
    hostile: str, api: FakeApi, tmp_path: Path
) -> None:
    params = {"Bucket": "bucket", "Key": "k/", "Endpoint": api.url}
    api.on(f"GET {JOB}/results", {"Items": [{"Type": "s3", "Params": params}]})
    api.on(f"GET {JOB}/executions", {"Items": []})
    api.on("GET /bucket", listing(("k/stdout", 3), (f"k/{hostile}", 3)))
    for key in ("k/stdout", f"k/{hostile}"):
        api.on(f"GET /bucket/{key}", Answer(b"out"))
    environ = {"AWS_ACCESS_KEY_ID": "mine", "AWS_SECRET_ACCESS_KEY": "secret", "HOME": str(tmp_path)}
    there = tmp_path / "there"
    there.mkdir()
    async with Client(api.url) as client:
        with pytest.raises(BacalhauError, match=r"(would|cannot) be a file"):
            await client.download("x", there / "got", environ=environ)
    assert not any(there.iterdir())


async def test_a_folder_in_a_bucket_that_may_not_be_read_is_told_with_its_cause(
    api: FakeApi, tmp_path: Path
) -> None:
    params = {"Bucket": "bucket", "Key": "k/", "Endpoint": api.url}
    api.on(f"GET {JOB}/results", {"Items": [{"Type": "s3", "Params": params}]})
    api.on(f"GET {JOB}/executions", {"Items": []})
    text = "<Error><Code>AccessDenied</Code><Message>not for you</Message></Error>"
    api.on("GET /bucket", Answer(text.encode(), 403, {"Content-Type": "application/xml"}))
    environ = {"AWS_ACCESS_KEY_ID": "mine", "AWS_SECRET_ACCESS_KEY": "secret", "HOME": str(tmp_path)}
    async with Client(api.url) as client:
        with pytest.raises(BacalhauError, match=r"s3://bucket/k/ .*AccessDenied: not for you") as caught:
            await client.download("x", tmp_path / "got", environ=environ)
    assert "your environment" in caught.value.hint
    assert not (tmp_path / "got").exists()
