"""From what a client sent to the spec that is stored."""

import pytest
from hypothesis import given

from bacalhau_nats.domain.draft import decode_job
from bacalhau_nats.domain.intake import (
    JobDefaults,
    TypeDefaults,
    difference,
    fill,
    normalise,
    same_wish,
    sanitise,
    to_spec,
)
from bacalhau_nats.domain.spec import JobType, ResourcesConfig, SpecConfig
from bacalhau_nats.domain.validation import stored_faults, submission_faults
from bacalhau_nats.errors import InvalidSpec
from tests.unit.domain.drafts import a_draft, jobs


def a_spec(**changes):
    draft, _ = sanitise(normalise(decode_job(a_draft(**changes))))
    return to_spec(fill(draft, JobDefaults()))


@given(jobs)
def test_normalising_twice_is_normalising_once_and_keeps_a_valid_job_valid(raw):
    draft = decode_job(raw)
    assert submission_faults(draft) == []
    once = normalise(draft)
    assert normalise(once) == once
    assert submission_faults(once) == []


@given(jobs)
def test_a_valid_submission_becomes_a_spec_that_survives_the_bus(raw):
    draft, _ = sanitise(normalise(decode_job(raw)))
    spec = to_spec(fill(draft, JobDefaults()), id="j-1", name=draft["Name"] or "j-1")
    assert stored_faults(spec) == []
    assert type(spec).model_validate_json(spec.to_json()) == spec
    assert len(spec.tasks) == 1
    assert not any(key.startswith("bacalhau.org/") for key in spec.meta)
    assert same_wish(spec, spec.but(version=7, id="other"))
    assert difference(spec, spec) == ""


def test_keys_match_in_any_case_nulls_are_absent_and_unknown_keys_are_ignored():
    raw = {
        "NAME": "x",
        "type": "batch",
        "count": None,
        "Unknown": [1],
        "tasks": [{"name": "main", "engine": {"TYPE": "WASM", "params": {"entrymodule": "/m"}}, "Env": None}],
    }
    draft = decode_job(raw)
    assert draft == {
        "Name": "x",
        "Type": "batch",
        "Tasks": [{"Name": "main", "Engine": {"Type": "WASM", "Params": {"entrymodule": "/m"}}}],
    }


def test_the_last_of_two_spellings_of_a_key_wins():
    assert decode_job({"Name": "first", "name": "second"})["Name"] == "second"


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        ("text", "expected=models.job, got=string, field=Job"),
        ({"Type": 5}, "expected=string, got=number, field=Job.Type"),
        ({"Count": "1"}, "expected=int, got=string, field=Job.Count"),
        ({"Count": 1.0}, "expected=int, got=number 1.0, field=Job.Count"),
        ({"Count": True}, "expected=int, got=bool, field=Job.Count"),
        ({"Count": 10**20}, f"expected=int, got=number {10**20}, field=Job.Count"),
        ({"Version": -1}, "expected=uint64, got=number -1, field=Job.Version"),
        ({"Tasks": {}}, "expected=[]*models.Task, got=object, field=Job.Tasks"),
        ({"Labels": ["a"]}, "expected=map[string]string, got=array, field=Job.Labels"),
        ({"Labels": {"a": 1}}, "expected=string, got=number, field=Job.Labels.a"),
        (
            {"Tasks": [{"Engine": "docker"}]},
            "expected=models.SpecConfig, got=string, field=Job.Tasks[0].Engine",
        ),
        ({"State": {"StateType": 3}}, "expected=models.JobStateType, got=number, field=Job.State.StateType"),
    ],
)
def test_a_value_of_the_wrong_type_is_refused_with_its_place(raw, message):
    with pytest.raises(InvalidSpec) as caught:
        decode_job(raw)
    assert caught.value.message == f"Unmarshal type error: {message}"
    assert caught.value.details["field"] == message.rpartition("=")[2]


@pytest.mark.parametrize("kind", ["wifi", ""])
def test_an_unknown_network_is_refused(kind):
    with pytest.raises(InvalidSpec, match=f"unknown type '{kind}'"):
        decode_job({"Tasks": [{"Network": {"Type": kind}}]})


@pytest.mark.parametrize(
    ("kind", "given", "stored"),
    [("batch", {}, 1), ("service", {}, 1), ("batch", {"Count": 0}, 0), ("batch", {"Count": None}, 1),
     ("ops", {}, 0), ("ops", {"Count": 1}, 0), ("daemon", {"Count": 1}, 0)],
)  # fmt: skip
def test_count_is_one_unless_said_and_means_nothing_for_jobs_that_run_everywhere(kind, given, stored):
    assert a_spec(Type=kind, **given).count == stored


def test_everything_that_a_submission_cannot_set_is_dropped_with_a_warning():
    draft, warnings = sanitise(
        normalise(
            decode_job(
                a_draft(
                    ID="j-1",
                    Version=4,
                    Revision=5,
                    CreateTime=6,
                    ModifyTime=7,
                    State={"StateType": "Running"},
                    Meta={"bacalhau.org/x": "1", "fine": "2"},
                    Tasks=a_draft()["Tasks"] * 2,
                )
            )
        )
    )
    assert warnings == [
        "job state is ignored when submitting a job",
        "job revision is ignored when submitting a job",
        "job version is ignored when submitting a job",
        "job create time is ignored when submitting a job",
        "job modify time is ignored when submitting a job",
        "job ID is ignored when submitting a batch job",
        "only one task is supported per job",
        'job meta key "bacalhau.org/x" is reserved and will be ignored',
    ]
    assert draft.keys() == {"Name", "Type", "Tasks", "Count", "Namespace", "Meta"}
    assert draft["Meta"] == {"fine": "2"}
    assert len(draft["Tasks"]) == 1


def test_what_the_go_client_always_sends_causes_no_warning():
    _, warnings = sanitise(
        normalise(decode_job(a_draft(State={"StateType": "Undefined"}, Version=0, Revision=0, CreateTime=0)))
    )
    assert warnings == []


def test_a_name_is_taken_from_an_id_that_is_then_dropped_and_a_service_keeps_its_id():
    assert (a_spec(Name="", ID="own").id, a_spec(Name="", ID="own").name) == ("", "own")
    assert a_spec(Type="service", Name="", ID="own").id == "own"


def test_defaults_fill_what_is_open_and_what_was_given_wins():
    defaults = JobDefaults(
        batch=TypeDefaults(
            priority=7,
            resources=ResourcesConfig(cpu="200m", memory="64Mb"),
            publisher=SpecConfig(type="local"),
            execution_timeout=300,
            total_timeout=600,
        )
    )
    bare = to_spec(fill(normalise(decode_job(a_draft())), defaults))
    assert (bare.priority, bare.task.publisher.type) == (7, "local")
    assert (bare.task.resources.cpu, bare.task.resources.memory) == ("200m", "64mb")
    assert (bare.task.timeouts.execution_timeout, bare.task.timeouts.total_timeout) == (300, 600)
    full = a_draft(
        Priority=1,
        task={
            "Publisher": {"Type": "noop"},
            "Resources": {"CPU": "100m"},
            "Timeouts": {"ExecutionTimeout": 30},
        },
    )
    spec = to_spec(fill(normalise(decode_job(full)), defaults))
    assert (spec.priority, spec.task.publisher.type, spec.task.resources.cpu) == (1, "noop", "100m")
    assert spec.task.timeouts.execution_timeout == 30


def test_endless_jobs_have_no_default_timeouts_or_publisher():
    given = TypeDefaults(publisher=SpecConfig(type="local"), total_timeout=9)
    defaults = JobDefaults(service=given)
    spec = to_spec(fill(normalise(decode_job(a_draft(Type="service"))), defaults))
    assert (spec.task.publisher.type, spec.task.timeouts.total_timeout) == ("", 0)
    assert defaults.of(JobType.SERVICE) is given


def test_the_wasm_parameters_of_old_clients_become_inputs():
    module = {"source": {"Type": "inline", "Params": {"URL": "data:,x"}}}
    params = {
        "EntryModule": module,
        "EntryPoint": "_start",
        "Parameters": ["a"],
        "ImportModules": [module, {**module, "Target": "/lib.wasm"}],
        "EnvironmentVariables": {"A": "b"},
    }
    draft = decode_job(a_draft(task={"Engine": {"Type": "wasm", "Params": params}}))
    task = draft["Tasks"][0]
    assert task["Engine"]["Params"] == {
        "EntryModule": "/wasm/entry.wasm",
        "Entrypoint": "_start",
        "Parameters": ["a"],
        "ImportModules": ["/wasm/imports/module_0.wasm", "/lib.wasm"],
    }
    assert [source["Target"] for source in task["InputSources"]] == [
        "/wasm/entry.wasm",
        "/wasm/imports/module_0.wasm",
        "/lib.wasm",
    ]
    assert submission_faults(draft) == []


def test_new_wasm_parameters_stay_as_they_were_sent():
    params = {"entrymodule": "/entry.wasm", "entryPoint": "_start", "ImportModules": None}
    draft = decode_job(a_draft(task={"Engine": {"Type": "WASM", "Params": params}}))
    assert draft["Tasks"][0]["Engine"]["Params"] == params


def test_only_what_counts_is_a_change():
    plain = a_spec()
    spelled_out = a_spec(
        task={"Resources": {"CPU": "500M", "Memory": "512 MB"}}, Count=1, Namespace="default"
    )
    assert same_wish(plain, spelled_out)
    assert same_wish(plain, plain.but(meta={"bacalhau.org/x": "y"}))
    for changed in (
        a_spec(task={"Resources": {"CPU": "0.5"}}),
        a_spec(Meta={"m": "x"}),
        a_spec(Labels={"a": "1"}),
        a_spec(Priority=2),
    ):
        assert not same_wish(plain, changed)


def test_a_difference_marks_what_went_and_what_came():
    text = difference(a_spec(Labels={"a": "1"}), a_spec(Labels={"a": "2"}))
    assert '-    "a": "1"\n' in text
    assert '+    "a": "2"\n' in text
