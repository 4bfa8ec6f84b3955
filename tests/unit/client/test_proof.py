"""Results are compared with what their nodes published, and a repeated fetch finds what is there."""

from __future__ import annotations

import asyncio
import io
import os
import sys
import tarfile
from pathlib import Path

import pytest

from bacalhau_nats.client import Client
from bacalhau_nats.domain.manifest import MANIFEST, Origin
from bacalhau_nats.errors import BacalhauError, BadArchive, Conflict
from bacalhau_nats.sealing import seal
from tests.support.waiting import eventually
from tests.unit.client.fake_api import Answer, Asked, FakeApi

JOB = "/api/v1/orchestrator/jobs/x"
ONE, TWO = (f"e-{n:08x}-1111-4111-8111-111111111111" for n in (1, 2))
FILES = {"stdout": "out", "stderr": "", "exitCode": "0", "data/a": "1", "data/b": "2"}


class Shelf:
    """Executions as nodes publish them, and what is done to their archives afterwards."""

    def __init__(self, api: FakeApi, folder: Path) -> None:
        self.api, self.folder, self.items = api, folder, []

    def publish(self, execution: str, files: dict[str, str], node: str = "n1") -> None:
        made = self.folder / execution
        for name, text in files.items():
            path = made / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        digest = seal(made, Origin("j-1", execution, node))
        told = {"Manifest": digest.manifest, "Outputs": digest.outputs, "Files": digest.files}
        url = f"{self.api.url}/{execution}.tar.gz"
        self.items.append(
            {
                "Type": "urlDownload",
                "Params": {"URL": url},
                "ExecutionID": execution,
                "ResultDigest": told,
            }
        )
        self.api.on(f"GET {JOB}/results", {"Items": self.items})
        self.api.on(
            f"GET {JOB}/executions",
            {"Items": [{"ID": e, "PartitionIndex": i} for i, e in enumerate((ONE, TWO))]},
        )
        self.offer(execution)

    def offer(self, execution: str) -> None:
        self.api.on(f"GET /{execution}.tar.gz", Answer(self.packed(execution)))

    def packed(self, execution: str) -> bytes:
        out = io.BytesIO()
        with tarfile.open(fileobj=out, mode="w:gz") as tar:
            tar.add(self.folder / execution, arcname=".")
        return out.getvalue()

    def fetched(self, execution: str) -> int:
        return len(self.api.of(f"GET /{execution}.tar.gz"))


@pytest.fixture
def shelf(api: FakeApi, tmp_path: Path) -> Shelf:
    return Shelf(api, tmp_path / "published")


async def get(shelf: Shelf, into: Path, **how: object) -> object:
    async with Client(shelf.api.url) as client:
        return await client.download("x", into, **how)  # type: ignore[arg-type]


def everything(folder: Path) -> dict[str, str]:
    return {
        p.relative_to(folder).as_posix(): p.read_text(errors="replace")
        for p in folder.rglob("*")
        if p.is_file()
    }


async def test_what_was_published_is_verified_and_its_manifest_comes_along(
    shelf: Shelf, tmp_path: Path
) -> None:
    shelf.publish(ONE, FILES)
    done = await get(shelf, tmp_path / "out")
    assert (done.verified, done.fetched, done.files) == (1, 1, 6)
    assert (tmp_path / "out" / MANIFEST).is_file()


@pytest.mark.parametrize(
    ("tamper", "named"),
    [
        (lambda f: (f / "data/a").write_text("9"), "data/a has SHA-256"),
        (lambda f: (f / "data/a").unlink(), "data/a is missing"),
        (lambda f: (f / "data/new").write_text("x"), "data/new should not be there"),
        (lambda f: (f / "data/a").rename(f / "data/c"), "data/a is called data/c"),
        (lambda f: (f / MANIFEST).unlink(), "manifest.json is missing"),
        (lambda f: seal(f, Origin("j-1", ONE, "n2")), "manifest.json has the digest"),
    ],
)
async def test_a_result_that_was_altered_is_refused_and_what_was_there_stays(
    shelf: Shelf, tmp_path: Path, tamper: object, named: str
) -> None:
    shelf.publish(ONE, FILES)
    into = tmp_path / "out"
    into.mkdir()
    (into / "mine").write_text("kept")
    tamper(shelf.folder / ONE)  # type: ignore[operator]
    shelf.offer(ONE)
    for raw in (False, True):
        with pytest.raises(BacalhauError, match=named) as caught:
            await get(shelf, into, raw=raw)
        assert "e-00000001: " in caught.value.message
        assert everything(into) == {"mine": "kept"}


async def test_after_a_refusal_the_right_bytes_are_fetched_anew(shelf: Shelf, tmp_path: Path) -> None:
    shelf.publish(ONE, FILES)
    shelf.publish(TWO, {"stdout": "two"})
    (shelf.folder / ONE / "stdout").write_text("lie")
    shelf.offer(ONE)
    with pytest.raises(BacalhauError):
        await get(shelf, tmp_path / "out")
    (shelf.folder / ONE / "stdout").write_text("out")
    shelf.offer(ONE)
    await get(shelf, tmp_path / "out")
    assert (tmp_path / "out/stdout").read_text() == "outtwo"
    assert (shelf.fetched(ONE), shelf.fetched(TWO)) == (2, 1)


async def test_a_damaged_archive_is_not_kept(shelf: Shelf, tmp_path: Path) -> None:
    shelf.publish(ONE, FILES)
    shelf.api.on(f"GET /{ONE}.tar.gz", Answer(b"no archive"))
    with pytest.raises(BadArchive):
        await get(shelf, tmp_path / "out")
    assert not (tmp_path / "out").exists()


async def test_verified_files_are_not_fetched_again(shelf: Shelf, tmp_path: Path) -> None:
    shelf.publish(ONE, FILES)
    shelf.publish(TWO, FILES | {"stdout": "two"})
    into = tmp_path / "out"
    await get(shelf, into)
    before = everything(into)
    done = await get(shelf, into)
    assert (done.fetched, done.verified, done.results) == (0, 2, 2)
    assert (shelf.fetched(ONE), shelf.fetched(TWO)) == (1, 1)
    (into / "e-00000001/data/a").unlink()
    await get(shelf, into)
    assert everything(into) == before
    (into / "stdout").write_text("changed")
    with pytest.raises(Conflict, match="stdout"):
        await get(shelf, into)
    assert (into / "stdout").read_text() == "changed"


async def test_several_executions_keep_a_manifest_each(shelf: Shelf, tmp_path: Path) -> None:
    shelf.publish(ONE, {"stdout": "a\n", "exitCode": "0"})
    shelf.publish(TWO, {"stdout": "b\n", "exitCode": "1"})
    done = await get(shelf, tmp_path / "out")
    found = everything(tmp_path / "out")
    assert (found["stdout"], found["exitCode"]) == ("a\nb\n", "0\n1\n")
    assert done.clashes == ()
    assert {name for name in found if name.endswith(MANIFEST)} == {
        f"e-00000001/{MANIFEST}",
        f"e-00000002/{MANIFEST}",
    }


async def test_one_path_is_verified_too(shelf: Shelf, tmp_path: Path) -> None:
    shelf.publish(ONE, FILES)
    (shelf.folder / ONE / "data/a").write_text("9")
    shelf.offer(ONE)
    with pytest.raises(BacalhauError, match="data/a has SHA-256"):
        await get(shelf, tmp_path / "out", path="data/a")


async def test_a_damaged_receipt_costs_a_download_and_no_more(shelf: Shelf, tmp_path: Path) -> None:
    shelf.publish(ONE, FILES)
    await get(shelf, tmp_path / "out")
    (tmp_path / "out/.bacalhau-get.json").write_text('{"Fetches": [7]}')
    await get(shelf, tmp_path / "out")
    assert shelf.fetched(ONE) == 2


async def test_a_fetch_that_is_killed_leaves_no_file_that_looks_complete(
    shelf: Shelf, tmp_path: Path
) -> None:
    """kill -9 while the second of two archives is on its way; the next fetch takes up the rest."""
    shelf.publish(ONE, FILES)
    shelf.publish(TWO, {"stdout": "two" * 100_000, "data/deep": os.urandom(200_000).hex()})
    data = shelf.packed(TWO)

    def serve(asked: Asked) -> Answer:
        if "range" in asked.headers:
            start = int(asked.headers["range"].removeprefix("bytes=").removesuffix("-"))
            return Answer(data[start:], 206, headers={"ETag": '"v1"'})
        return Answer(data, headers={"ETag": '"v1"'}, stall=len(data) // 2)

    shelf.api.on(f"GET /{TWO}.tar.gz", serve)
    into = tmp_path / "out"
    program = (
        "import asyncio, sys; from pathlib import Path; from bacalhau_nats.client import Client\n"
        "asyncio.run(Client(sys.argv[1]).download('x', Path(sys.argv[2])))"
    )
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", program, shelf.api.url, str(into))
    await eventually(lambda: any(p.stat().st_size > 0 for p in into.glob("raw/*.part")), within=20)
    process.kill()
    await process.wait()
    assert [p for p in into.rglob("*") if p.is_file() and p.parent.name != "raw"] == []
    await get(shelf, into)
    assert shelf.fetched(ONE) == 1
    assert "range" in shelf.api.of(f"GET /{TWO}.tar.gz")[-1].headers
    assert (into / "stdout").read_text() == "out" + "two" * 100_000
    assert not (into / "raw").exists()
