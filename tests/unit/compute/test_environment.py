"""The environment of an execution."""

import pytest

from bacalhau_nats.compute.environment import environment, refuses_env
from bacalhau_nats.domain.execution import Reason
from bacalhau_nats.domain.ids import ExecutionID, JobID
from bacalhau_nats.domain.spec import JobSpec, JobType, Task
from bacalhau_nats.ports import WorkFailed

NODE = {"TEST_KEY": "secret", "XTEST_KEY": "other", "HOME": "/root"}


def job(env=None, **fields):
    return JobSpec(id=JobID("j-1"), name="count", tasks=(Task(env=env or {}),), **fields)


def env_of(spec, allow=(), partition=0, **more):
    return environment(spec, ExecutionID("e-1"), partition, allow=allow, node_env=NODE, **more)


def test_the_system_says_which_part_of_which_job_this_is():
    assert env_of(job(count=3), partition=2) == {
        "BACALHAU_EXECUTION_ID": "e-1",
        "BACALHAU_JOB_ID": "j-1",
        "BACALHAU_JOB_NAME": "count",
        "BACALHAU_JOB_TYPE": "batch",
        "BACALHAU_PARTITION_INDEX": "2",
        "BACALHAU_PARTITION_COUNT": "3",
    }


@pytest.mark.parametrize("kind", [JobType.OPS, JobType.DAEMON])
def test_a_job_on_every_node_has_one_partition_there(kind):
    assert env_of(job(type=kind, count=0))["BACALHAU_PARTITION_COUNT"] == "1"


def test_system_names_win():
    assert env_of(job({"BACALHAU_JOB_ID": "forged"}))["BACALHAU_JOB_ID"] == "j-1"


def test_ports_are_named_on_both_sides():
    env = env_of(job(), host_ports={"http": 20001, "admin": 20002}, ports={"http": 80})
    assert {name: value for name, value in env.items() if "PORT" in name} == {
        "BACALHAU_HOST_PORT_http": "20001",
        "BACALHAU_PORT_http": "80",
        "BACALHAU_HOST_PORT_admin": "20002",
        "BACALHAU_PORT_admin": "20002",
    }


def test_an_allowed_variable_of_the_node_is_handed_on():
    env = env_of(job({"KEY": "env:TEST_KEY", "PLAIN": "file:x"}), allow=["TEST_*"])
    assert (env["KEY"], env["PLAIN"]) == ("secret", "file:x")


@pytest.mark.parametrize(
    ("glob", "name", "allowed"),
    [
        ("TEST_*", "TEST_KEY", True),
        ("TEST_*", "XTEST_KEY", False),  # the original's expressions match anywhere
        ("HOME", "HOME", True),
        ("HOM", "HOME", False),
        ("OME", "HOME", False),
        ("*", "HOME", True),
        ("home", "HOME", False),
        ("H?ME", "HOME", True),
        ("TEST.KEY", "TEST_KEY", False),
    ],
)
def test_allow_list_entries_are_globs_for_the_whole_name(glob, name, allowed):
    why = refuses_env(Task(env={"V": f"env:{name}"}), [glob])
    assert (why == "") is allowed
    if not allowed:
        for word in (name, glob, "Compute.Env.AllowList"):
            assert word in why


def test_what_is_refused_never_runs_and_no_value_is_shown():
    with pytest.raises(WorkFailed, match="it is: empty") as caught:
        env_of(job({"KEY": "env:TEST_KEY"}))
    assert caught.value.failure.reason is Reason.INPUT
    assert "secret" not in str(caught.value)


def test_a_variable_the_node_lacks_is_told():
    task = Task(env={"KEY": "env:NOT_THERE"})
    assert refuses_env(task, ["*"]) == ""
    assert "not set" in refuses_env(task, ["*"], NODE)
    with pytest.raises(WorkFailed, match="NOT_THERE"):
        env_of(job(task.env), allow=["*"])
