"""What a WASM job asks for is read and laid out before anything runs."""

import os

import pytest

from bacalhau_nats.domain.execution import Reason
from bacalhau_nats.domain.spec import SpecConfig
from bacalhau_nats.executors.wasm_spec import PAGE, Preopen, plan_guest
from bacalhau_nats.ports import Volume, WorkFailed
from bacalhau_nats.testing.engine import Program, make_work

from .guests import BUILT, TARGET, work


def refusal(work):
    with pytest.raises(WorkFailed) as caught:
        plan_guest(work)
    failure = caught.value.failure
    assert failure.reason is Reason.INVALID
    assert not failure.retryable
    return f"{failure.message} | {failure.hint}"


def folder_of(tmp_path, *names):
    folder = tmp_path / "app"
    folder.mkdir()
    for name in names:
        (folder / name).write_bytes((BUILT / "noop.wasm").read_bytes())
    return folder


def from_folder(tmp_path, folder, entry):
    spec = SpecConfig(type="wasm", params={"EntryModule": entry})
    return make_work(Program(spec, (Volume(folder, "/app"),)), tmp_path)


def test_the_program_is_named_by_its_target_and_the_rest_has_defaults(tmp_path):
    plan = plan_guest(work(tmp_path, "noop", "a", "b c", env={"B": "2", "A": "1"}))
    assert plan.argv == ("main.wasm", "a", "b c")
    assert plan.env == (("A", "1"), ("B", "2"))
    assert plan.entrypoint == "_start"
    assert plan.memory == 4 * 1024**3
    assert plan.preopens == ()


def test_keys_are_matched_without_regard_to_case_and_null_is_absent(tmp_path):
    params = {"entrymodule": TARGET, "ENTRYPOINT": None, "parameters": None, "importModules": None}
    spec = SpecConfig(type="wasm", params=params)
    plan = plan_guest(make_work(Program(spec, (Volume(BUILT / "noop.wasm", TARGET),)), tmp_path))
    assert (plan.entrypoint, plan.argv, plan.libraries) == ("_start", ("main.wasm",), ())


def test_memory_is_whole_pages_within_the_limit_of_the_job(tmp_path):
    assert plan_guest(work(tmp_path, "noop", memory=10 * PAGE + 17)).memory == 10 * PAGE


def test_a_folder_with_exactly_one_module_will_do(tmp_path):
    folder = folder_of(tmp_path, "tool.wasm")
    (folder / "notes.txt").write_text("data")
    plan = plan_guest(from_folder(tmp_path, folder, "/app"))
    assert plan.entry.path == folder / "tool.wasm"
    assert plan.argv == ("tool.wasm",)
    assert plan.preopens == (Preopen(folder, "/app", writable=False),)


def test_a_module_inside_a_folder_can_be_named(tmp_path):
    folder = folder_of(tmp_path, "one.wasm", "two.wasm")
    assert plan_guest(from_folder(tmp_path, folder, "/app/two.wasm")).entry.path == folder / "two.wasm"


def test_a_folder_with_two_modules_is_refused_naming_them(tmp_path):
    folder = folder_of(tmp_path, "one.wasm", "two.wasm")
    assert "one.wasm, two.wasm" in refusal(from_folder(tmp_path, folder, "/app"))


def test_a_module_reached_through_a_link_out_of_its_folder_is_refused(tmp_path):
    folder = folder_of(tmp_path)
    (folder / "out.wasm").symlink_to(BUILT / "noop.wasm")
    assert "'/app/out.wasm' is not the Target" in refusal(from_folder(tmp_path, folder, "/app/out.wasm"))


def test_an_unknown_module_is_refused_naming_the_targets_there_are(tmp_path):
    text = refusal(work(tmp_path, "noop", EntryModule="/elsewhere.wasm"))
    assert "'/elsewhere.wasm'" in text
    assert TARGET in text


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({"EntryModule": None}, "EntryModule is missing"),
        ({"Parameters": "one"}, "Parameters must be a list of strings"),
        ({"ImportModules": [1]}, "ImportModules must be a list of strings"),
        ({"Parameters": ["a\0b"]}, "NUL"),
    ],
)
def test_a_wrong_parameter_is_refused_by_name(tmp_path, params, words):
    assert words in refusal(work(tmp_path, "noop", **params))


def test_a_single_file_is_seen_without_its_siblings_and_without_a_copy(tmp_path):
    home = tmp_path / "home"
    home.mkdir()
    (home / "wanted").write_text("data")
    (home / "secret").write_text("secret")
    plan = plan_guest(work(tmp_path, "noop", inputs=[Volume(home / "wanted", "/in/data.txt")]))
    (preopen,) = plan.preopens
    assert (preopen.guest, preopen.writable) == ("/in", False)
    assert [path.name for path in preopen.source.iterdir()] == ["data.txt"]
    assert (preopen.source / "data.txt").samefile(home / "wanted")


def test_a_file_of_another_file_system_is_copied(tmp_path, monkeypatch):
    def other_device(*_args, **_kwargs):
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(os, "link", other_device)
    (tmp_path / "wanted").write_text("data")
    readable = Volume(tmp_path / "wanted", "/in/data.txt")
    (preopen,) = plan_guest(work(tmp_path, "noop", inputs=[readable])).preopens
    assert (preopen.source / "data.txt").read_text() == "data"
    writable = Volume(tmp_path / "wanted", "/in/data.txt", read_only=False)
    assert "cannot be made writable" in refusal(work(tmp_path, "noop", inputs=[writable]))


def test_a_read_only_file_beside_a_writable_one_is_a_copy(tmp_path):
    (tmp_path / "kept").write_text("kept")
    (tmp_path / "open").write_text("open")
    inputs = [Volume(tmp_path / "kept", "/in/kept"), Volume(tmp_path / "open", "/in/open", read_only=False)]
    (preopen,) = plan_guest(work(tmp_path, "noop", inputs=inputs)).preopens
    assert preopen.writable
    assert not (preopen.source / "kept").samefile(tmp_path / "kept")
    assert (preopen.source / "open").samefile(tmp_path / "open")


def test_an_output_is_seen_at_its_path_and_at_its_name(tmp_path):
    folder = tmp_path / "report"
    folder.mkdir()
    plan = plan_guest(work(tmp_path, "noop", outputs=[Volume(folder, "/out/put", read_only=False)]))
    assert {(each.guest, each.writable) for each in plan.preopens} == {("/out/put", True), ("/report", True)}


def test_two_volumes_in_one_folder_of_the_guest_are_refused(tmp_path):
    folder = tmp_path / "folder"
    folder.mkdir()
    (tmp_path / "file").write_text("x")
    inputs = [Volume(folder, "/in"), Volume(tmp_path / "file", "/in/file")]
    assert "share the folder '/in'" in refusal(work(tmp_path, "noop", inputs=inputs))


def test_a_pipe_is_no_input(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    text = refusal(work(tmp_path, "noop", inputs=[Volume(tmp_path / "pipe", "/in/pipe")]))
    assert "neither a file nor a folder" in text
