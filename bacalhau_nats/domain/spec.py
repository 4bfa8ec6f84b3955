"""What a user wishes for: the job and its parts.

Names and defaults follow the public API of Bacalhau 1.9. The rules for refusing a spec are in
``validation``; what its strings mean is in ``resources`` and ``constraints``.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any

from pydantic import Field

from bacalhau_nats.domain.ids import JobID
from bacalhau_nats.domain.model import Model

RESERVED_META = "bacalhau.org/"
"""Meta keys with this prefix are the system's; a submission cannot set them."""

BUS_PUBLISHER = "nats"
"""The publisher that keeps results in an object store on the bus; nothing else has to be reachable."""


class JobType(StrEnum):
    """How many executions a job wants, and where."""

    BATCH = "batch"  # `count` partitions, each completed once, anywhere
    SERVICE = "service"  # `count` partitions kept running, anywhere
    OPS = "ops"  # once on every matching node
    DAEMON = "daemon"  # kept running on every matching node

    @property
    def everywhere(self) -> bool:
        """Say whether the job runs on each matching node instead of `count` times."""
        return self in (JobType.OPS, JobType.DAEMON)

    @property
    def endless(self) -> bool:
        """Say whether the job is never done by itself."""
        return self in (JobType.SERVICE, JobType.DAEMON)


class NetworkType(StrEnum):
    """What network an execution sees."""

    DEFAULT = "Default"  # docker: bridge, or none where the node refuses networked jobs
    NONE = "None"
    HOST = "Host"
    FULL = "Full"  # deprecated name of Host
    HTTP = "HTTP"  # only the listed domains
    BRIDGE = "Bridge"


class SpecConfig(Model):
    """A plugin by name with its own parameters: an engine, a source or a publisher."""

    type: str = ""
    params: dict[str, Any] = Field(default_factory=dict)

    @property
    def kind(self) -> str:
        """The type as it is looked up: trimmed and lower-case."""
        return self.type.strip().lower()

    def param(self, name: str, default: Any = None) -> Any:
        """Read one parameter, its key matched without regard to case; null counts as absent."""
        found = self.params.get(name)
        if found is None:
            wanted = name.lower()
            found = next((v for k, v in self.params.items() if k.lower() == wanted and v is not None), None)
        return default if found is None else found


class InputSource(Model):
    """Data that must lie at ``target`` inside the execution before it starts."""

    source: SpecConfig = SpecConfig()
    alias: str = ""
    target: str = ""


class ResultPath(Model):
    """A folder of the execution whose content is a result, published under ``name``."""

    name: str = ""
    path: str = ""


class ResourcesConfig(Model):
    """Resources as the user wrote them; see ``resources.parse``."""

    cpu: str = ""
    memory: str = ""
    disk: str = ""
    gpu: str = ""


class Port(Model):
    """A port an execution wants; ``static`` 0 means any free one."""

    name: str = ""
    static: int = 0
    target: int = 0
    host_network: str = ""


class NetworkConfig(Model):
    """The network an execution wants."""

    type: NetworkType = NetworkType.DEFAULT
    domains: tuple[str, ...] = ()
    ports: tuple[Port, ...] = ()


class Timeouts(Model):
    """Limits in whole seconds; 0 means none."""

    execution_timeout: int = 0
    queue_timeout: int = 0
    total_timeout: int = 0

    @property
    def effective_execution_timeout(self) -> int:
        """The limit of one execution: its own, or else the total."""
        return self.execution_timeout or self.total_timeout


class Task(Model):
    """What one execution of the job does."""

    name: str = "main"
    engine: SpecConfig = SpecConfig()
    publisher: SpecConfig = SpecConfig()
    env: dict[str, str] = Field(default_factory=dict)
    meta: dict[str, str] = Field(default_factory=dict)
    input_sources: tuple[InputSource, ...] = ()
    result_paths: tuple[ResultPath, ...] = ()
    resources: ResourcesConfig = ResourcesConfig()
    network: NetworkConfig = NetworkConfig()
    timeouts: Timeouts = Timeouts()

    @property
    def effective_publisher(self) -> SpecConfig:
        """Where results go: as asked, or kept on the bus when there are results and no publisher is named."""
        if self.result_paths and self.publisher.kind == "":
            return SpecConfig(type=BUS_PUBLISHER)
        return self.publisher


class Requirement(Model):
    """One label requirement: ``operator`` is one of ``= == != in notin exists ! gt lt``."""

    key: str = ""
    operator: str = "="
    values: tuple[str, ...] = ()


class StopRequest(Model):
    """Somebody asked for the job to end. A flag on the wish, not a new version of it."""

    reason: str = ""
    at: int = 0  # unix nanoseconds


class Cause(StrEnum):
    """Why this version of the job exists."""

    SUBMITTED = "submitted"
    UPDATED = "updated"
    RERUN = "rerun"


class JobSpec(Model):
    """The wish as it is stored in ``job.<id>.spec``; gateways write it, by compare-and-set.

    ``version`` rises with update and rerun only. ``nonce`` is drawn when the job is created and goes
    into its execution ids, so that a purged and re-created job never meets its old executions.
    ``created`` and ``submitted`` (of this version) are unix nanoseconds. ``request`` marks the request that
    wrote this version, where it carried an idempotency token: sent again, it is answered and not repeated.
    """

    id: JobID = JobID("")
    name: str = ""
    namespace: str = "default"
    type: JobType = JobType.BATCH
    priority: int = 0
    count: int = 1
    constraints: tuple[Requirement, ...] = ()
    meta: dict[str, str] = Field(default_factory=dict)
    labels: dict[str, str] = Field(default_factory=dict)
    tasks: tuple[Task, ...] = ()
    version: int = 1
    created: int = 0
    submitted: int = 0
    cause: Cause = Cause.SUBMITTED
    stop: StopRequest | None = None
    incarnation: int = 0
    nonce: str = ""
    request: str = ""

    @property
    def task(self) -> Task:
        """The one task of the job (further ones are dropped at submission)."""
        return self.tasks[0]


def lookup(params: Mapping[str, Any], name: str) -> Any:
    """Read ``name`` from ``params`` without regard to case; None when absent or null."""
    return SpecConfig(params=dict(params)).param(name)
