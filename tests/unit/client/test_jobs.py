"""Jobs as Python values: built, read, written, and refused where they are wrong."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bacalhau_nats.client import InputSource, JobSpec, JobType, Task, docker, from_file, inline, jobs, wasm
from bacalhau_nats.client.wire import Job
from bacalhau_nats.domain.draft import decode_job
from bacalhau_nats.domain.spec import (
    NetworkConfig,
    NetworkType,
    Requirement,
    ResourcesConfig,
    ResultPath,
    SpecConfig,
    Timeouts,
)
from bacalhau_nats.domain.validation import submission_faults
from bacalhau_nats.errors import InvalidSpec, UserError, WrongArgument

_text = st.text(max_size=8)
_texts = st.dictionaries(_text, _text, max_size=2)
_configs = st.builds(
    SpecConfig, type=_text, params=st.dictionaries(_text, _text | st.integers(0, 9), max_size=2)
)
_tasks = st.builds(
    Task,
    name=st.just("main") | _text,
    engine=_configs,
    publisher=_configs,
    env=_texts,
    input_sources=st.lists(
        st.builds(InputSource, source=_configs, alias=_text.map(str.strip), target=_text), max_size=2
    ).map(tuple),
    result_paths=st.lists(st.builds(ResultPath, name=_text, path=_text), max_size=2).map(tuple),
    resources=st.builds(ResourcesConfig, cpu=_text, gpu=_text),
    network=st.builds(
        NetworkConfig, type=st.sampled_from(NetworkType), domains=st.lists(_text, max_size=1).map(tuple)
    ),
    timeouts=st.builds(Timeouts, total_timeout=st.integers(0, 9)),
)
_specs = st.builds(
    JobSpec,
    name=_text,
    namespace=_text,
    type=st.sampled_from(JobType),
    priority=st.integers(0, 9),
    count=st.integers(0, 9),
    constraints=st.lists(
        st.builds(
            Requirement, key=_text, operator=st.sampled_from(["=", "in", "exists"]), values=st.just(("a",))
        ),
        max_size=2,
    ).map(tuple),
    labels=_texts,
    meta=_texts,
    tasks=st.lists(_tasks, max_size=2).map(tuple),
)


@given(_specs)
def test_a_server_reads_the_spec_that_was_submitted(spec: JobSpec) -> None:
    sent = jobs.wire_of(spec, {})
    read = JobSpec.model_validate({"Namespace": "default", **decode_job(sent)})
    assert read == (spec.but(count=0) if spec.type.everywhere else spec)


def test_what_is_the_servers_own_is_not_sent() -> None:
    spec = docker("img", name="n").but(version=3, created=7, nonce="x", request="r")
    assert not {"Version", "Created", "Nonce", "Request"} & jobs.wire_of(spec, {}).keys()


def test_an_image_with_everything_a_job_may_ask_for() -> None:
    spec = docker(
        "img", "sh", "-c", "a b",
        entrypoint=["/bin/x"], workdir="/w", name="n", count=2, priority=5, constraints="region=eu",
        labels={"a": "b"}, env={"K": "v,w"}, inputs=["s3://b/k:/in", inline("text", "/t")], outputs=["out:/out"],
        publisher="s3://bucket/key", cpu=0.5, memory="1Gb", gpu=1, network="http", domains=["Example.com"],
        timeout=9,
    )  # fmt: skip
    task = spec.task
    assert (spec.type, spec.count, spec.priority, spec.labels) == ("batch", 2, 5, {"a": "b"})
    assert spec.constraints == (Requirement(key="region", operator="=", values=("eu",)),)
    assert task.engine.params["Parameters"] == ["sh", "-c", "a b"]
    assert (task.engine.params["Entrypoint"], task.engine.params["WorkingDirectory"]) == (["/bin/x"], "/w")
    assert task.env == {"K": "v,w"}
    assert [(one.source.type, one.target) for one in task.input_sources] == [("s3", "/in"), ("inline", "/t")]
    assert task.result_paths == (ResultPath(name="out", path="/out"),)
    assert task.publisher == SpecConfig(type="s3", params={"bucket": "bucket", "key": "key"})
    assert task.resources == ResourcesConfig(cpu="0.5", memory="1Gb", gpu="1")
    assert task.network == NetworkConfig(type=NetworkType.HTTP, domains=("example.com",))
    assert task.timeouts.total_timeout == 9
    assert submission_faults(decode_job(jobs.wire_of(spec, {}))) == []


def test_a_module_that_is_a_file_travels_in_the_job(tmp_path: Path) -> None:
    module = tmp_path / "m.wasm"
    module.write_bytes(b"\0asm")
    spec = wasm(module, "one", target="all")
    assert (spec.type, spec.task.engine.params["EntryModule"]) == (JobType.OPS, "main.wasm")
    assert spec.task.input_sources[0].source.params["URL"].startswith("data:application/wasm;base64,")
    with pytest.raises(WrongArgument, match="neither a file here"):
        wasm("nowhere.wasm")


@pytest.mark.parametrize(
    ("wishes", "words"),
    [
        ({"workdir": "w"}, "must be absolute"),
        ({"target": "some"}, "no target 'some'"),
        ({"target": "all", "count": 2}, "count makes no sense"),
        ({"inputs": ["x"]}, "no scheme"),
        ({"inputs": ["ipfs://a", "ipfs://b"]}, "two inputs have the target"),
        ({"labels": {"-": "x"}}, "not a label"),
        ({"constraints": "a in"}, "constraints: "),
    ],
)
def test_a_wrong_argument_is_told_where_it_is_written(wishes: dict[str, Any], words: str) -> None:
    with pytest.raises(WrongArgument, match=words):
        docker("img", **wishes)


def test_a_misspelt_argument_is_a_type_error_that_lists_the_known_ones() -> None:
    with pytest.raises(TypeError, match=r"no 'cpus'; known are name, .*cpu"):
        docker("img", cpus=2)


def test_fields_go_before_those_of_the_job(tmp_path: Path) -> None:
    file = tmp_path / "job.yaml"
    file.write_text("type: ops\nname: one\ntasks: [{name: main, engine: {type: noop}}]\n")
    for job in (file, str(file), from_file(file), dict(jobs.wire_of(file, {}))):
        sent = jobs.wire_of(job, {"name": "two", "labels": {"a": "b"}})
        assert (sent["Type"], sent["Name"], sent["Labels"]) == ("ops", "two", {"a": "b"})


@pytest.mark.parametrize(
    ("fields", "field", "words"),
    [
        ({"nam": "x"}, "nam", "no field 'nam'"),
        ({"version": 3}, "version", "no field 'version'"),
        ({"type": "nope"}, "Job.type", "'batch', 'service'"),
        ({"type": "batch", "tasks": [{"Engine": {"Type": 3}}]}, "Job.tasks[0].Engine.Type", "valid string"),
        ({}, "", "no job to submit"),
    ],
)
def test_a_field_that_cannot_be_is_named(fields: dict[str, Any], field: str, words: str) -> None:
    with pytest.raises(InvalidSpec, match=words) as caught:
        jobs.wire_of(None, fields)
    assert caught.value.field == field


def test_a_refusal_that_names_no_field_is_explained_and_any_other_left_alone() -> None:
    refused: Job = {"Type": "batch", "Tasks": [{"Name": "", "Engine": {"Type": "noop"}}]}
    bad = UserError("no", hint="h", Status="400", Code="InternalError")
    found = jobs.explained(bad, refused)
    assert isinstance(found, InvalidSpec)
    assert (found.message, found.hint, found.field) == ("no", "h", "Job.Tasks[0].Name")
    assert jobs.explained(bad, {"Type": 3}).field == "Job.Type"  # type: ignore[typeddict-item]
    other = UserError("no", Status="404")
    assert jobs.explained(other, refused) is other
