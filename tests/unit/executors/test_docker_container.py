from __future__ import annotations

from pathlib import Path

import pytest

from bacalhau_nats.domain.execution import Reason
from bacalhau_nats.domain.resources import Resources
from bacalhau_nats.domain.spec import NetworkConfig, NetworkType, Port, SpecConfig
from bacalhau_nats.errors import InvalidSettings
from bacalhau_nats.executors.docker_container import (
    Owner,
    container_config,
    read_params,
)
from bacalhau_nats.executors.docker_settings import DockerSettings, read_settings
from bacalhau_nats.ports import Volume, Work, WorkFailed
from tests.support.docker import docker_work

OWNER = Owner("c", "n", "0123456789ab")


def config(work: Work, **settings):
    return container_config(work, OWNER.labels, DockerSettings(**settings))


def params(**given):
    return read_params(SpecConfig(type="docker", params=given))


def test_a_container_says_whose_it_is():
    work = docker_work("true")
    assert config(work)["Labels"] == {
        "bacalhau.cell": "c",
        "bacalhau.node": "n",
        "bacalhau.home": "0123456789ab",
        "bacalhau.execution": work.execution_id,
        "bacalhau.job": work.job.id,
    }
    assert OWNER.container_name(work.execution_id) == f"bacalhau-0123456789ab-{work.execution_id}"


def test_parameters_are_found_whatever_their_case_and_null_is_absent():
    found = read_params(SpecConfig(params={"image": "i", "ENTRYPOINT": None, "parameters": ["a"]}))
    assert (found.image, found.entrypoint, found.parameters) == ("i", None, ["a"])


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({}, "Image"),
        ({"Image": "  "}, "Image"),
        ({"Image": 7}, "Image"),
        ({"Image": "i", "Parameters": "a b"}, "Parameters"),
        ({"Image": "i", "Entrypoint": ["a", 1]}, "Entrypoint"),
        ({"Image": "i", "WorkingDirectory": "here"}, "WorkingDirectory"),
        ({"Image": "i", "EnvironmentVariables": ["A"]}, "EnvironmentVariables"),
        ({"Image": "i", "EnvironmentVariables": ["BACALHAU_JOB_ID=x"]}, "BACALHAU_JOB_ID"),
    ],
)
def test_a_parameter_that_cannot_be_used_is_named(given, named):
    with pytest.raises(WorkFailed, match=named) as caught:
        params(**given)
    assert caught.value.failure.reason is Reason.INVALID
    assert not caught.value.failure.retryable


def test_the_engines_variables_win_over_the_tasks():
    work = docker_work(env={"A": "task", "B": "task"}, EnvironmentVariables=["A=engine", "C=x=y"])
    assert config(work)["Env"] == ["A=engine", "B=task", "C=x=y"]


def test_limits_are_written_in_the_engines_units():
    work = docker_work(resources=Resources(milli_cpu=1500, memory=64_000_000, gpu=2))
    host = config(work, pids_limit=10)["HostConfig"]
    assert host["NanoCpus"] == 1_500_000_000
    assert host["Memory"] == host["MemorySwap"] == 64_000_000
    assert host["PidsLimit"] == 10
    assert host["DeviceRequests"] == [{"Driver": "", "Count": 2, "Capabilities": [["gpu"]]}]


def test_what_is_not_asked_for_is_not_limited():
    host = config(docker_work(), pids_limit=0)["HostConfig"]
    assert {"NanoCpus", "Memory", "MemorySwap", "PidsLimit", "DeviceRequests"}.isdisjoint(host)


def test_less_cpu_than_the_engine_knows_is_rounded_up():
    host = config(docker_work(resources=Resources(milli_cpu=1)))["HostConfig"]
    assert host["NanoCpus"] == 10_000_000


def test_inputs_are_read_only_and_outputs_are_not():
    work = docker_work(
        inputs=(Volume(Path("/a"), "/in"),), outputs=(Volume(Path("/b"), "/out", read_only=False),)
    )
    mounts = config(work)["HostConfig"]["Mounts"]
    assert [(m["Source"], m["Target"], m["ReadOnly"]) for m in mounts] == [
        ("/a", "/in", True),
        ("/b", "/out", False),
    ]


@pytest.mark.parametrize(
    ("kind", "reject", "disabled", "mode"),
    [
        (NetworkType.NONE, False, True, None),
        (NetworkType.DEFAULT, False, False, "bridge"),
        (NetworkType.DEFAULT, True, True, None),
        (NetworkType.HOST, False, False, "host"),
        (NetworkType.FULL, False, False, "host"),
        (NetworkType.BRIDGE, False, False, "bridge"),
    ],
)
def test_the_network_follows_the_job_and_the_nodes_rule(kind, reject, disabled, mode):
    made = config(docker_work(network=kind), reject_networked=reject)
    assert made["NetworkDisabled"] is disabled
    assert made["HostConfig"].get("NetworkMode") == mode


def test_ports_are_bound_where_they_were_allocated():
    ports = (
        Port(name="web", target=80),
        Port(name="same", host_network="127.0.0.1"),
        Port(name="fixed", static=7000, target=70),
    )
    work = docker_work(
        network=NetworkConfig(type=NetworkType.BRIDGE, ports=ports), ports={"web": 20000, "same": 20001}
    )
    made = config(work)
    assert made["HostConfig"]["PortBindings"] == {
        "80/tcp": [{"HostIp": "0.0.0.0", "HostPort": "20000"}],
        "20001/tcp": [{"HostIp": "127.0.0.1", "HostPort": "20001"}],
        "70/tcp": [{"HostIp": "0.0.0.0", "HostPort": "7000"}],
    }
    assert set(made["ExposedPorts"]) == {"80/tcp", "20001/tcp", "70/tcp"}


def test_a_port_nobody_allocated_is_an_error_of_this_node():
    ports = (Port(name="web", target=80),)
    with pytest.raises(WorkFailed, match="'web'") as caught:
        config(docker_work(network=NetworkConfig(type=NetworkType.BRIDGE, ports=ports)))
    assert caught.value.failure.retryable


def test_a_filtered_network_is_refused_rather_than_pretended():
    with pytest.raises(WorkFailed, match="HTTP") as caught:
        config(docker_work(network=NetworkConfig(type=NetworkType.HTTP, domains=("example.com",))))
    assert caught.value.failure.reason is Reason.INVALID
    assert "None" in caught.value.failure.hint


def test_settings_are_read_in_pascal_case_and_others_ignored():
    settings = read_settings({"LostWindow": 5, "Password": "s3cret", "ManifestCache": {"Size": 1}})
    assert settings.lost_window == 5
    assert "s3cret" not in repr(settings)


def test_a_setting_that_cannot_be_used_is_named_without_its_value():
    with pytest.raises(InvalidSettings, match="LostWindow"):
        read_settings({"LostWindow": -1})
