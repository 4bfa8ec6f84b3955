"""Which columns each list has. Names and widths are those of Bacalhau 1.9."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from bacalhau_cli.render import Column, date_time, from_ns, from_text, id_column, time_column
from bacalhau_nats.client.wire import compute_state, desired_state, job_state
from bacalhau_nats.domain.ids import short


def _engine(job: Any) -> str:
    tasks = job.get("Tasks") or [{}]
    return str((tasks[0].get("Engine") or {}).get("Type", ""))


JOBS = [
    time_column("created", "CreateTime"),
    id_column("id", "ID"),
    Column("name", lambda job: job.get("Name", ""), lambda job: short(job.get("Name", "")), 40),
    Column("job", _engine, width=40),
    Column("type", lambda job: job.get("Type", "")),
    Column("state", job_state, width=20),
]

EXECUTIONS = [
    time_column("Created", "CreateTime"),
    time_column("Modified", "ModifyTime"),
    id_column("ID", "ID"),
    Column("Job Version", lambda e: str(e.get("JobVersion", ""))),
    id_column("Node ID", "NodeID"),
    Column("Rev.", lambda e: str(e.get("Revision", ""))),
    Column("State", compute_state, width=17),
    Column("Desired", desired_state, width=10),
]


def _digest(key: str) -> Callable[[Any], str]:
    return lambda e: str((e.get("ResultDigest") or {}).get(key, ""))


def _result_size(execution: Any) -> str:
    digest = execution.get("ResultDigest")
    return _size(digest.get("Bytes", 0)) if digest else ""


RESULTS = [
    Column("Files", _digest("Files")),
    Column("Size", _result_size),
    Column("Result Digest", _digest("Manifest")),
    Column("Outputs Digest", _digest("Outputs")),
]
"""What each execution published; Bacalhau has no such columns, so they are only in wide tables."""

VERSIONS = [
    Column("Created At", lambda job: date_time(from_ns(job.get("ModifyTime", 0))), width=30),
    Column("Job Version", lambda job: str(job.get("Version", ""))),
]


def event_time(item: Any) -> str:
    """Write when an event happened; the time of recording where it does not say."""
    event = item.get("Event") or {}
    return date_time(from_text(event.get("Timestamp", "")) or from_text(item.get("Time", "")))


def event_text(item: Any) -> str:
    """Write what happened, with its hint on a line of its own."""
    event = item.get("Event") or {}
    details = event.get("Details") or {}
    prefix = "Error: " if details.get("IsError") == "true" else ""
    hint = f"\nHint: {details['Hint']}" if details.get("Hint") else ""
    return f"{prefix}{event.get('Message', '')}{hint}"


def topic(item: Any) -> str:
    """Name the part of the system an event is about."""
    return str((item.get("Event") or {}).get("Topic", ""))


EVENTS = [
    Column("Time", event_time, width=20),
    Column("Topic", topic, width=15),
    Column("Event", event_text, width=90),
]

HISTORY = [
    Column("Time", event_time, width=20),
    Column("Level", lambda item: item.get("Type", ""), width=15),
    Column("Job Version", lambda item: str(item.get("JobVersion", ""))),
    id_column("Exec. ID", "ExecutionID"),
    Column("Topic", topic, width=15),
    Column("Event", event_text, width=90),
]

# --- nodes --------------------------------------------------------------------------------------------


def _info(node: Any) -> dict[str, Any]:
    return node.get("Info") or {}


def _compute(node: Any) -> dict[str, Any]:
    info = _info(node)
    return (info.get("ComputeNodeInfo") or {}) if info.get("NodeType") == "Compute" else {}


def _build(node: Any) -> dict[str, Any]:
    return _info(node).get("BacalhauVersion") or {}


def _amounts(key: str, show: Any) -> Any:
    def text(node: Any) -> str:
        compute = _compute(node)
        if not compute:
            return ""
        free, most = ((compute.get(name) or {}).get(key, 0) for name in ("AvailableCapacity", "MaxCapacity"))
        return f"{show(free)} / {show(most)}"

    return text


def _size(amount: int) -> str:
    from bacalhau_nats.domain.resources import show_bytes  # noqa: PLC0415 - the models take 60 ms to load

    return show_bytes(amount)


def _names(key: str) -> Any:
    return lambda node: " ".join(sorted(_compute(node).get(key) or []))


def _labels(node: Any, spell: Callable[[str], str] = str) -> str:
    labels = sorted((_info(node).get("Labels") or {}).items())
    return " ".join(f"{key}={spell(value)}" for key, value in labels)


def _status(node: Any) -> str:
    """Write as kubectl does, in one word: ``CONNECTED,CORDONED``."""
    connection = (node.get("ConnectionState") or {}).get("Status") or node.get("Connection", "")
    scheduling = (node.get("Scheduling") or {}).get("State", "")
    return ",".join(word for word in (connection, scheduling) if word)


NODE_ALWAYS = [
    Column(
        "id", lambda node: _info(node).get("NodeID", ""), lambda node: short(_info(node).get("NodeID", ""))
    ),
    Column("type", lambda node: _info(node).get("NodeType", "")),
    Column("approval", lambda node: node.get("Membership", "")),
    Column("status", _status),
]
NODE_GROUPS = {
    "labels": [Column("labels", _labels, lambda node: _labels(node, short), 50)],
    "version": [
        Column("version", lambda node: _build(node).get("GitVersion", "")),
        Column("architecture", lambda node: _build(node).get("GOARCH", "")),
        Column("os", lambda node: _build(node).get("GOOS", "")),
    ],
    "features": [
        Column("engines", _names("ExecutionEngines"), width=12),
        Column("inputs from", _names("StorageSources"), width=20),
        Column("outputs", _names("Publishers"), width=20),
    ],
    "capacity": [
        Column("cpu", _amounts("CPU", lambda amount: f"{amount:.1f}")),
        Column("memory", _amounts("Memory", _size)),
        Column("disk", _amounts("Disk", _size)),
        Column("gpu", _amounts("GPU", str)),
    ],
}
