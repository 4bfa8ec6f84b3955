"""For tests of engine `docker`: works to run, a sink, and a look at the engine past our own code."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import docker
import docker.errors
import pytest

from bacalhau_nats.domain.ids import ExecutionID, JobID, NodeID
from bacalhau_nats.domain.resources import Resources
from bacalhau_nats.domain.spec import JobSpec, NetworkConfig, NetworkType, SpecConfig, Task
from bacalhau_nats.executors.docker import DockerExecutor, open_docker
from bacalhau_nats.executors.docker_container import Owner, container_config
from bacalhau_nats.executors.docker_home import home_of
from bacalhau_nats.executors.docker_settings import DockerSettings
from bacalhau_nats.ports import PluginContext, Stream, Volume, Work

IMAGE = "busybox:1.37"


class Sink:
    """Keeps what it is given; `first` is set by the first output."""

    def __init__(self) -> None:
        self.out = {stream: bytearray() for stream in Stream}
        self.events: list[str] = []
        self.first = asyncio.Event()

    async def write(self, stream: Stream, data: bytes) -> None:
        self.out[stream] += data
        self.first.set()

    async def event(self, message: str) -> None:
        self.events.append(message)

    @property
    def stdout(self) -> str:
        return self.out[Stream.STDOUT].decode()

    @property
    def stderr(self) -> str:
        return self.out[Stream.STDERR].decode()


class StuckSink(Sink):
    """Takes the first piece only when `go` is set."""

    def __init__(self) -> None:
        super().__init__()
        self.go = asyncio.Event()

    async def write(self, stream: Stream, data: bytes) -> None:
        self.first.set()
        await self.go.wait()
        await super().write(stream, data)


def docker_work(
    *command: str,
    image: str = IMAGE,
    network: NetworkConfig | NetworkType = NetworkType.NONE,
    env: Mapping[str, str] | None = None,
    inputs: tuple[Volume, ...] = (),
    outputs: tuple[Volume, ...] = (),
    ports: Mapping[str, int] | None = None,
    resources: Resources | None = None,
    **params: Any,
) -> Work:
    """Build work whose parameters are ``command`` and ``params``."""
    spec = SpecConfig(type="docker", params={"Image": image, "Parameters": list(command), **params})
    task = Task(
        engine=spec, network=network if isinstance(network, NetworkConfig) else NetworkConfig(type=network)
    )
    return Work(
        execution_id=ExecutionID(f"e-{uuid.uuid4()}"),
        job=JobSpec(id=JobID(f"j-{uuid.uuid4()}"), tasks=(task,)),
        task=task,
        partition=0,
        resources=resources or Resources(),
        env=env or {},
        inputs=inputs,
        outputs=outputs,
        scratch=Path("/nonexistent"),
        ports=ports or {},
    )


class Bench:
    """A node of its own on the real engine, by default also of its own name, and what the engine says of it."""

    def __init__(self, data_dir: Path, node: str = "") -> None:
        self.data_dir = data_dir
        self.cell, self.node = "test", node or f"n-{uuid.uuid4()}"
        self.owner = Owner(self.cell, self.node, home_of(data_dir))
        try:
            self.api = docker.APIClient(version="auto")
        except docker.errors.DockerException as error:
            pytest.fail(f"no Docker engine: run .ci/docker.sh, or deselect with -m 'not docker' ({error})")

    def context(self, **settings: Any) -> PluginContext:
        return PluginContext(self.cell, NodeID(self.node), self.data_dir, {"Reaper": False, **settings})

    @asynccontextmanager
    async def open(self, **settings: Any) -> AsyncIterator[DockerExecutor]:
        async with open_docker(self.context(**settings)) as executor:
            yield executor

    def create(self, work: Work) -> str:
        """Create the container of ``work``, as a process did that died right after; give its name."""
        name = self.owner.container_name(work.execution_id)
        config = container_config(work, self.owner.labels, DockerSettings())
        self.api.create_container_from_config(config, name)
        return name

    def containers(self) -> list[dict[str, Any]]:
        """List what the engine has of this node, running or not."""
        return self.api.containers(all=True, filters={"label": f"bacalhau.home={self.owner.home}"})

    async def gone(self) -> bool:
        """Say whether the engine has nothing of this node."""
        return not await asyncio.to_thread(self.containers)

    def close(self) -> None:
        for left in self.containers():
            self.api.remove_container(left["Id"], force=True, v=True)
        self.api.close()
