"""Who a node is: its id stays, each start of it is another instance."""

import os
import socket

import pytest

import bacalhau_nats
from bacalhau_nats.errors import InvalidSettings, StartFailed
from bacalhau_nats.node.identity import build_info, who_am_i
from bacalhau_nats.settings import Settings


def load(folder, *overrides):
    return Settings.load((), {"HOME": "/home/ada"}, (f"DataDir={folder}", *overrides))


def test_a_drawn_id_is_kept_and_each_start_is_a_new_instance(tmp_path):
    folder = tmp_path / "not" / "there yet"
    first, second = (who_am_i(load(folder), None) for _ in range(2))
    assert first.node_id.startswith("n-")
    assert first.node_id == second.node_id
    assert first.instance < second.instance, "they sort by time"
    assert [p.name for p in folder.iterdir()] == ["node_id"]
    assert folder.stat().st_mode & 0o777 == 0o700


def test_two_data_folders_are_two_nodes(tmp_path):
    ids = {who_am_i(load(tmp_path / name), None).node_id for name in "ab"}
    assert len(ids) == 2


def test_a_given_name_is_the_id_and_nothing_is_kept(tmp_path):
    assert who_am_i(load(tmp_path), "gpu.example.com").node_id == "gpu.example.com"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["a b", "x" * 129, "new\nline", "nul\0"])
def test_a_name_that_cannot_be_one_is_refused(tmp_path, name):
    with pytest.raises(InvalidSettings, match="invalid node name") as caught:
        who_am_i(load(tmp_path), name)
    assert "no blanks" in caught.value.hint


def test_the_name_may_come_from_the_host_or_be_drawn_each_time(tmp_path):
    assert who_am_i(load(tmp_path, "NameProvider=hostname"), None).node_id == socket.gethostname()
    drawn = {who_am_i(load(tmp_path, "NameProvider=uuid"), None).node_id for _ in range(2)}
    assert len(drawn) == 2
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("provider", ["aws", "gcp"])
def test_clouds_are_not_asked(tmp_path, provider):
    with pytest.raises(InvalidSettings, match=f"NameProvider {provider} is not supported"):
        who_am_i(load(tmp_path, f"NameProvider={provider}"), None)


def test_a_data_folder_that_cannot_be_made_says_so_and_what_to_do(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StartFailed, match="Not a directory") as caught:
        who_am_i(load(tmp_path / "file" / "data"), None)
    assert str(tmp_path / "file" / "data") in caught.value.message
    assert "--data-dir" in caught.value.hint


def test_a_data_folder_that_cannot_be_written_says_so_though_nothing_has_to_be_kept():
    """Not even root can write there."""
    with pytest.raises(StartFailed, match="cannot be used"):
        who_am_i(load(f"/proc/{os.getpid()}"), "named")


def test_the_build_is_described_as_the_public_api_does():
    build = build_info()
    version = bacalhau_nats.__version__
    assert build.git_version == f"v{version}"
    assert f"{build.major}.{build.minor}." in f"{version}."
    assert build.goos == "linux"
    assert build.goarch in {"amd64", "arm64", "arm"}
    assert build.build_date.endswith("Z")
