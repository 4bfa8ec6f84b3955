"""A sealed folder tells of everything that is done to it afterwards."""

import os

import pytest

from bacalhau_nats.domain.manifest import MANIFEST, Origin
from bacalhau_nats.sealing import Stopped, check, seal, take_stock

ORIGIN = Origin("j-1", "e-1", "n1")


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "data/deep").mkdir(parents=True)
    (tmp_path / "stdout").write_text("hello")
    (tmp_path / "data/deep/a").write_bytes(bytes(3 * 1024 * 1024))
    (tmp_path / "data/link").symlink_to("/etc/passwd")
    (tmp_path / "data/folder").symlink_to(tmp_path)
    os.mkfifo(tmp_path / "data/pipe")
    return tmp_path


def told(folder, digest):
    return [str(one) for one in check(folder, digest)[1]]


def test_only_regular_files_are_part_of_a_result_and_no_link_is_followed(folder):
    digest = seal(folder, ORIGIN)
    manifest, wrong = check(folder, digest.manifest)
    assert wrong == []
    assert [entry.path for entry in manifest.files] == ["data/deep/a", "stdout"]
    assert (digest.files, digest.bytes) == (2, 5 + 3 * 1024 * 1024)


def test_sealing_again_changes_nothing(folder):
    assert seal(folder, ORIGIN) == seal(folder, ORIGIN)


def test_every_file_that_differs_is_named(folder):
    digest = seal(folder, ORIGIN).manifest
    with (folder / "data/deep/a").open("r+b") as file:
        file.seek(2_000_000)
        file.write(b"!")
    (folder / "stdout").rename(folder / "stdout2")
    (folder / "data/new").write_text("new")
    changed, new, renamed = told(folder, digest)
    assert changed.startswith("data/deep/a has SHA-256 ")
    assert new == "data/new should not be there"
    assert renamed == "stdout is called stdout2"


@pytest.mark.parametrize("how", ["gone", "changed", "a link"])
def test_a_manifest_that_is_not_the_reported_one_is_not_believed(folder, how):
    digest = seal(folder, ORIGIN).manifest
    path = folder / MANIFEST
    data = path.read_bytes()
    path.unlink()
    if how == "changed":
        (folder / "stdout").write_text("other")
        seal(folder, ORIGIN)  # a manifest that fits the files, and not the record
    elif how == "a link":
        (folder / "elsewhere").write_bytes(data)
        path.symlink_to(folder / "elsewhere")
    manifest, (wrong,) = check(folder, digest)
    assert manifest is None
    assert wrong.path == MANIFEST


def test_it_stops_when_nobody_waits(folder):
    with pytest.raises(Stopped):
        take_stock(folder, lambda: True)
