"""What a caller can do: submit, look, wait, follow logs and events, fetch results.

::

    async with Client() as client:
        job = await client.submit(docker("busybox:1.37", "echo", "hello"))
        await job.wait(timeout=60)

`SyncClient` has the same methods without ``await``. Both speak the public HTTP API and know nothing of the bus.
Importing this is cheap: the HTTP and websocket libraries and the models are loaded at the first call that needs
them.
"""

from typing import TYPE_CHECKING, Any

from bacalhau_nats.client.client import Client
from bacalhau_nats.client.download import Progress
from bacalhau_nats.client.handle import JobHandle, Status
from bacalhau_nats.client.logs import LogLine
from bacalhau_nats.client.results import Downloaded
from bacalhau_nats.client.wire import (
    COMPUTE_STATES,
    DESIRED_STATES,
    TERMINAL_JOB_STATES,
    Execution,
    HistoryItem,
    Job,
    JobDetails,
    Node,
    Page,
    SpecConfig,
    Submission,
    compute_state,
    job_state,
)

if TYPE_CHECKING:
    from bacalhau_nats.client.jobs import docker, from_file, inline, wasm
    from bacalhau_nats.client.sync import SyncClient, SyncJob
    from bacalhau_nats.domain.job import JobState
    from bacalhau_nats.domain.spec import InputSource, JobSpec, JobType, Task

__all__ = [
    "COMPUTE_STATES",
    "DESIRED_STATES",
    "TERMINAL_JOB_STATES",
    "Client",
    "Downloaded",
    "Execution",
    "HistoryItem",
    "InputSource",
    "Job",
    "JobDetails",
    "JobHandle",
    "JobSpec",
    "JobState",
    "JobType",
    "LogLine",
    "Node",
    "Page",
    "Progress",
    "SpecConfig",
    "Status",
    "Submission",
    "SyncClient",
    "SyncJob",
    "Task",
    "compute_state",
    "docker",
    "from_file",
    "inline",
    "job_state",
    "wasm",
]

_LATE = {
    **dict.fromkeys(("InputSource", "JobSpec", "JobType", "Task"), "domain.spec"),
    "JobState": "domain.job",
    **dict.fromkeys(("docker", "from_file", "inline", "wasm"), "client.jobs"),
    **dict.fromkeys(("SyncClient", "SyncJob"), "client.sync"),
}


def __getattr__(name: str) -> Any:
    """Load what the command line does not need when it is first asked for."""
    if name not in _LATE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module  # noqa: PLC0415 - only here

    return getattr(import_module(f"bacalhau_nats.{_LATE[name]}"), name)
