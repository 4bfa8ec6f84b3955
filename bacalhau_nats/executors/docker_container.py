"""One execution in the words of the Engine API: names, labels and the body of ``containers/create``. Pure.

Parameters of the engine are those of Bacalhau's ``docker``: ``Image`` (required), ``Entrypoint``,
``Parameters``, ``EnvironmentVariables`` (``["K=V"]``, they win over the task's), ``WorkingDirectory``. Keys are
matched without regard to case, null is absent.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bacalhau_nats.domain.execution import Reason
from bacalhau_nats.domain.ids import ExecutionID
from bacalhau_nats.domain.resources import Resources
from bacalhau_nats.domain.spec import SpecConfig
from bacalhau_nats.executors.docker_network import container_network
from bacalhau_nats.executors.docker_settings import DockerSettings
from bacalhau_nats.ports import Volume, Work, WorkFailed

_OURS = "bacalhau"
CELL_LABEL = f"{_OURS}.cell"
NODE_LABEL = f"{_OURS}.node"
HOME_LABEL = f"{_OURS}.home"
EXECUTION_LABEL = f"{_OURS}.execution"
JOB_LABEL = f"{_OURS}.job"

_RESERVED_ENV = "BACALHAU_"
_NANOS_PER_MILLI_CPU = 1_000_000
_SMALLEST_MILLI_CPU = 10  # the engine refuses less than 0.01 CPU


@dataclass(frozen=True, slots=True)
class Owner:
    """Whose containers these are. ``home`` is the identity of the data folder, see `docker_home`.

    Cell and node are for people: two clusters on one machine may well use the same names, so it is the home
    that keeps a node from touching the containers of another.
    """

    cell: str
    node: str
    home: str

    @property
    def labels(self) -> dict[str, str]:
        """The labels that all containers of the node carry."""
        return {CELL_LABEL: self.cell, NODE_LABEL: self.node, HOME_LABEL: self.home}

    def container_name(self, execution: ExecutionID) -> str:
        """Give the one name a container of this execution can have, so that it is found without being listed."""
        return f"{_OURS}-{self.home}-{execution}"


@dataclass(frozen=True, slots=True)
class DockerParams:
    """The engine's parameters; None leaves the choice to the image."""

    image: str
    entrypoint: list[str] | None
    parameters: list[str] | None
    env: Mapping[str, str]
    working_directory: str


def read_params(engine: SpecConfig) -> DockerParams:
    """Read and check the parameters. Raises WorkFailed (INVALID) naming the one that cannot be used."""
    image = _text(engine, "Image").strip()
    if not image:
        raise _invalid("Image is missing", hint="name the image to run, such as Image: ubuntu:24.04")
    directory = _text(engine, "WorkingDirectory")
    if directory and not directory.startswith("/"):
        raise _invalid(f"WorkingDirectory must be an absolute path, not {directory!r}")
    return DockerParams(
        image=image,
        entrypoint=_texts(engine, "Entrypoint") or None,
        parameters=_texts(engine, "Parameters") or None,
        env=dict(_pair(entry) for entry in _texts(engine, "EnvironmentVariables")),
        working_directory=directory,
    )


def container_config(work: Work, labels: Mapping[str, str], settings: DockerSettings) -> dict[str, Any]:
    """Write the body of ``POST /containers/create``. Raises WorkFailed when the job cannot be run as written."""
    params = read_params(work.task.engine)
    network = container_network(work.task.network, work.ports, reject_networked=settings.reject_networked)
    env = {**work.env, **params.env}
    return {
        "Image": params.image,
        "Entrypoint": params.entrypoint,
        "Cmd": params.parameters,
        "Env": [f"{name}={value}" for name, value in env.items()],
        "WorkingDir": params.working_directory,
        "Labels": {**labels, EXECUTION_LABEL: work.execution_id, JOB_LABEL: work.job.id},
        "AttachStdout": True,
        "AttachStderr": True,
        "NetworkDisabled": network.disabled,
        "ExposedPorts": dict(network.exposed),
        "HostConfig": {
            **network.host,
            **_limits(work.resources, settings),
            "Mounts": [_mount(volume) for volume in (*work.inputs, *work.outputs)],
            "LogConfig": _log_config(settings),
            # No Init: its small init process would turn "no such program" at start into exit code 127.
            "Init": False,
        },
    }


def _limits(resources: Resources, settings: DockerSettings) -> dict[str, Any]:
    limits: dict[str, Any] = {}
    if settings.pids_limit:
        limits["PidsLimit"] = settings.pids_limit
    if resources.memory:
        # Memory and swap together: without this an equal amount of swap would come on top.
        limits |= {"Memory": resources.memory, "MemorySwap": resources.memory}
    if resources.milli_cpu:
        limits["NanoCpus"] = max(resources.milli_cpu, _SMALLEST_MILLI_CPU) * _NANOS_PER_MILLI_CPU
    if resources.gpu:
        limits["DeviceRequests"] = [{"Driver": "", "Count": resources.gpu, "Capabilities": [["gpu"]]}]
    return limits


def _log_config(settings: DockerSettings) -> dict[str, Any]:
    # `json-file`, the engine's default, replaces bytes that are not UTF-8; `local` keeps them.
    return {
        "Type": "local",
        "Config": {"max-size": str(settings.log_size), "max-file": "2", "compress": "false"},
    }


def _mount(volume: Volume) -> dict[str, Any]:
    # A mount, not a bind string: a missing source is then an error instead of an empty folder.
    return {
        "Type": "bind",
        "Source": str(volume.source),
        "Target": volume.target,
        "ReadOnly": volume.read_only,
    }


def _text(engine: SpecConfig, name: str) -> str:
    value = engine.param(name, "")
    if not isinstance(value, str):
        raise _invalid(f"{name} must be a text, not {type(value).__name__}")
    return value


def _texts(engine: SpecConfig, name: str) -> list[str]:
    value = engine.param(name, [])
    if not isinstance(value, list | tuple) or not all(isinstance(item, str) for item in value):
        raise _invalid(f"{name} must be a list of texts")
    return list(value)


def _pair(entry: str) -> tuple[str, str]:
    name, equals, value = entry.partition("=")
    if not equals or not name:
        raise _invalid(f"EnvironmentVariables has {entry!r}", hint="write each one as NAME=value")
    if name.startswith(_RESERVED_ENV):
        raise _invalid(
            f"EnvironmentVariables sets {name}",
            hint=f"names that start with {_RESERVED_ENV} are the system's",
        )
    return name, value


def _invalid(message: str, hint: str = "") -> WorkFailed:
    return WorkFailed(f"docker engine: {message}", reason=Reason.INVALID, retryable=False, hint=hint)
