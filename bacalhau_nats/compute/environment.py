"""The environment variables of an execution: the task's own, the node's where allowed, and the system's.

A task value ``env:NAME`` stands for the variable NAME of the node, if an entry of ``Compute.Env.AllowList``
matches it. Entries are globs for the whole name (``AWS_*``); in the original they are unanchored regular
expressions, so that ``TEST_*`` also lets ``XTEST`` out. Any other ``prefix:`` is literal. System names win.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase

from bacalhau_nats.domain.execution import Reason
from bacalhau_nats.domain.ids import ExecutionID
from bacalhau_nats.domain.spec import JobSpec, Task
from bacalhau_nats.ports import WorkFailed

SETTING = "Compute.Env.AllowList"
_FORWARD = "env:"


def refuses_env(task: Task, allow: Iterable[str], node_env: Mapping[str, str] | None = None) -> str:
    """Say why this node will not give the variables ``task`` asks for; empty when it will.

    With ``node_env`` also when it does not have them. Values are never part of the answer.
    """
    allowed = tuple(allow)
    for name, value in task.env.items():
        if not value.startswith(_FORWARD):
            continue
        wanted = value.removeprefix(_FORWARD)
        if not any(fnmatchcase(wanted, glob) for glob in allowed):
            listed = ", ".join(allowed) or "empty"
            return (
                f"variable {name} asks for {wanted} of the node, which is not allowed: "
                f"add it to {SETTING} (it is: {listed})"
            )
        if node_env is not None and wanted not in node_env:
            return f"variable {name} asks for {wanted} of the node, which is not set there"
    return ""


def environment(
    job: JobSpec,
    execution: ExecutionID,
    partition: int,
    *,
    allow: Iterable[str],
    node_env: Mapping[str, str],
    host_ports: Mapping[str, int] | None = None,
    ports: Mapping[str, int] | None = None,
) -> dict[str, str]:
    """Give the variables of one execution.

    ``host_ports`` is the port on the node by name, ``ports`` the one the work listens on; a name missing in the
    latter listens on the host port, as with host networking. Raises WorkFailed (reason INPUT) when a
    variable of the node cannot be had.
    """
    task, allowed = job.task, tuple(allow)
    if why := refuses_env(task, allowed, node_env):
        raise WorkFailed(why, reason=Reason.INPUT)
    env = {name: _value(value, node_env) for name, value in task.env.items()}
    env |= {
        "BACALHAU_EXECUTION_ID": execution,
        "BACALHAU_JOB_ID": job.id,
        "BACALHAU_JOB_NAME": job.name,
        "BACALHAU_JOB_TYPE": job.type.value,
        "BACALHAU_PARTITION_INDEX": str(partition),
        # On each matching node there is one partition, whatever the count says.
        "BACALHAU_PARTITION_COUNT": str(1 if job.type.everywhere else job.count),
    }
    for name, port in (host_ports or {}).items():
        env[f"BACALHAU_HOST_PORT_{name}"] = str(port)
        env[f"BACALHAU_PORT_{name}"] = str((ports or {}).get(name, port))
    return env


def _value(value: str, node_env: Mapping[str, str]) -> str:
    return node_env[value.removeprefix(_FORWARD)] if value.startswith(_FORWARD) else value
