"""The folders of an execution: made late, put together, removed."""

import os
import shutil
import tempfile
from pathlib import Path

import pytest

from bacalhau_nats.compute.folders import ExecutionFolder, leftovers, remove_tree
from bacalhau_nats.domain.execution import Reason
from bacalhau_nats.domain.ids import ExecutionID
from bacalhau_nats.domain.manifest import Origin
from bacalhau_nats.domain.spec import ResultPath, Task
from bacalhau_nats.ports import Volume, WorkFailed
from bacalhau_nats.sealing import check

ORIGIN = Origin("j-1", "e-1", "n1")
TASK = Task(result_paths=(ResultPath(name="out", path="/out"), ResultPath(name="more", path="/more")))


@pytest.fixture
def folder(tmp_path):
    return ExecutionFolder(tmp_path, ExecutionID("e-1"))


def test_an_execution_without_results_leaves_no_trace(folder, tmp_path):
    assert folder.make(Task(), scratch=False) == ()
    folder.remove()
    assert list(tmp_path.iterdir()) == []


def test_output_folders_are_writable_for_any_user_but_private_to_the_node(folder):
    volumes = folder.make(TASK, scratch=True)
    assert volumes == (
        Volume(folder.outputs / "out", "/out", read_only=False),
        Volume(folder.outputs / "more", "/more", read_only=False),
    )
    for made in (*(volume.source for volume in volumes), folder.scratch):
        assert made.stat().st_mode & 0o777 == 0o777
    assert folder.root.stat().st_mode & 0o777 == 0o700


def test_results_hold_streams_exit_code_and_outputs_by_name(folder):
    for volume in folder.make(TASK, scratch=False):
        (volume.source / "file").write_text(volume.target)
    folder.results.mkdir()
    (folder.results / "stdout").write_text("hello")
    for _ in range(2):  # a process that dies half-way does it again
        digest = folder.assemble(TASK, -1, ORIGIN)
    results = folder.results
    manifest, wrong = check(results, digest.manifest)
    assert manifest is not None
    assert (manifest.origin, wrong) == (ORIGIN, [])
    assert (digest.files, digest.bytes) == (5, 5 + 2 + 4 + 5)
    (results / "manifest.json").unlink()
    found = {
        path.relative_to(results).as_posix(): path.read_text()
        for path in results.rglob("*")
        if path.is_file()
    }
    assert found == {
        "stdout": "hello",
        "stderr": "",
        "exitCode": "-1",
        "out/file": "/out",
        "more/file": "/more",
    }


@pytest.mark.parametrize("name", ["", "..", "a/b", "/abs", "stdout", "exitCode", "nul\0"])
def test_a_result_name_that_is_no_folder_is_invalid(name, folder, tmp_path):
    with pytest.raises(WorkFailed) as caught:
        folder.make(Task(result_paths=(ResultPath(name=name, path="/x"),)), scratch=True)
    assert caught.value.failure.reason is Reason.INVALID
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("execution", ["", "..", "a/b", "../../etc"])
def test_an_execution_id_cannot_lead_elsewhere(execution, tmp_path):
    with pytest.raises(ValueError, match="cannot be the name"):
        ExecutionFolder(tmp_path, ExecutionID(execution))


def test_leftovers_are_the_executions_with_a_folder(folder, tmp_path):
    assert leftovers(tmp_path) == []
    folder.make(TASK, scratch=False)
    ExecutionFolder(tmp_path, ExecutionID("e-0")).make(TASK, scratch=False)
    assert leftovers(tmp_path) == ["e-0", "e-1"]
    folder.remove()
    assert leftovers(tmp_path) == ["e-0"]


@pytest.fixture
def ordinary_user():
    """A folder of a user who may not do everything, and being that user."""
    user = os.geteuid() or 65_534
    folder = Path(tempfile.mkdtemp())
    if os.geteuid() == 0:
        os.chown(folder, user, -1)
        os.seteuid(user)
        try:
            yield folder
        finally:
            os.seteuid(0)
    else:
        yield folder
    remove_tree(folder)


def test_folders_that_the_work_closed_are_removed_by_an_ordinary_user(ordinary_user):
    _closed(ordinary_user)
    with pytest.raises(PermissionError):
        shutil.rmtree(ordinary_user / "top")
    remove_tree(ordinary_user / "top")
    assert not (ordinary_user / "top").exists()


def test_removing_does_not_follow_links(tmp_path):
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept/file").write_text("1")
    _closed(tmp_path)
    (tmp_path / "top/link").symlink_to(tmp_path / "kept")
    remove_tree(tmp_path / "top")
    remove_tree(tmp_path / "top")
    assert (tmp_path / "kept/file").read_text() == "1"


def _closed(tmp_path):
    (tmp_path / "top/a/b").mkdir(parents=True)
    (tmp_path / "top/a/b/file").write_text("1")
    (tmp_path / "top/a/b").chmod(0)
    (tmp_path / "top/a").chmod(0o500)
