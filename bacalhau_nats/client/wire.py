"""The JSON of the public API as a caller meets it: types for the checker, plain dicts at run time.

Names and numbers are those of Bacalhau 1.9 (`COMPUTE_STATES[9] == "Completed"`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Generic, NamedTuple, TypedDict, TypeVar
from urllib.parse import quote

from bacalhau_nats.errors import UserError

Item = TypeVar("Item")

JOBS = "/api/v1/orchestrator/jobs"

COMPUTE_STATES = (
    "Undefined",
    "New",
    "AskForBid",
    "AskForBidAccepted",
    "AskForBidRejected",
    "BidAccepted",
    "Running",
    "Publishing",
    "BidRejected",
    "Completed",
    "Failed",
    "Cancelled",
)
"""Names of ``Execution.ComputeState.StateType``, which is a number on the wire."""

TERMINAL_COMPUTE_STATES = frozenset({"AskForBidRejected", "BidRejected", "Completed", "Failed", "Cancelled"})
DESIRED_STATES = ("Pending", "Running", "Stopped")
"""Names of ``Execution.DesiredState.StateType``, which is a number on the wire."""

TERMINAL_JOB_STATES = frozenset({"Completed", "Failed", "Stopped"})


class SpecConfig(TypedDict, total=False):
    """An engine, a source, a publisher or a result: its type and its own parameters."""

    Type: str
    Params: dict[str, Any]


class ResultDigest(TypedDict, total=False):
    """Digests (``sha256:<hex>``) of a result's manifest and outputs, and how much it holds; no key of Bacalhau."""

    Manifest: str
    Outputs: str
    Files: int
    Bytes: int


class PublishedResult(SpecConfig, total=False):
    """Where a result is; whose it is and its digest, where the server is one of ours."""

    ExecutionID: str
    ResultDigest: ResultDigest


class JobStateValue(TypedDict, total=False):
    """State of a job, by name."""

    StateType: str
    Message: str


class ExecutionStateValue(TypedDict, total=False):
    """State of an execution, by number."""

    StateType: int
    Message: str
    Details: dict[str, str]


class Job(TypedDict, total=False):
    """A job as it is sent and shown. Times are unix nanoseconds."""

    ID: str
    Name: str
    Namespace: str
    Type: str
    Priority: int
    Count: int
    Constraints: list[dict[str, Any]] | None
    Meta: dict[str, str] | None
    Labels: dict[str, str] | None
    Tasks: list[dict[str, Any]]
    State: JobStateValue
    Version: int
    Revision: int
    CreateTime: int
    ModifyTime: int


class Execution(TypedDict, total=False):
    """One attempt on one node. Times are unix nanoseconds."""

    ID: str
    Namespace: str
    NodeID: str
    JobID: str
    JobVersion: int
    DesiredState: ExecutionStateValue
    ComputeState: ExecutionStateValue
    PublishedResult: SpecConfig
    ResultDigest: ResultDigest
    RunOutput: dict[str, Any] | None
    PartitionIndex: int
    Revision: int
    CreateTime: int
    ModifyTime: int


class Event(TypedDict, total=False):
    """What happened; ``Timestamp`` is RFC 3339."""

    Message: str
    Topic: str
    Timestamp: str
    Details: dict[str, str]


class HistoryItem(TypedDict, total=False):
    """One line of a job's history; ``Type`` is ``JobLevel`` or ``ExecutionLevel``."""

    SeqNum: int
    Type: str
    JobID: str
    JobVersion: int
    ExecutionID: str
    Event: Event
    Time: str


class Amounts(TypedDict, total=False):
    """Resources: cores, bytes and GPUs; what is zero is left out."""

    CPU: float
    Memory: int
    Disk: int
    GPU: int


class ComputeNodeInfo(TypedDict, total=False):
    """What a compute node can do and has free; lists are null for a node that is none."""

    ExecutionEngines: list[str] | None
    Publishers: list[str] | None
    StorageSources: list[str] | None
    MaxCapacity: Amounts
    QueueCapacity: Amounts
    AvailableCapacity: Amounts
    MaxJobRequirements: Amounts
    RunningExecutions: int
    EnqueuedExecutions: int
    address: str


class NodeInfo(TypedDict, total=False):
    """What a node says of itself; ``NodeType`` is ``Requester`` or ``Compute``."""

    NodeID: str
    NodeType: str
    Labels: dict[str, str]
    SupportedProtocols: list[str]
    ComputeNodeInfo: ComputeNodeInfo
    BacalhauVersion: dict[str, str]


class NodeConnection(TypedDict, total=False):
    """Whether a node speaks: ``CONNECTED`` or ``DISCONNECTED``, since when (RFC 3339), and why not."""

    Status: str
    LastHeartbeat: str
    ConnectedSince: str
    DisconnectedSince: str
    LastError: str


class NodeScheduling(TypedDict, total=False):
    """That a node gets nothing new (``CORDONED``, ``DRAINING``, ``DRAINED``), why, and what is still on it; by ours only."""

    State: str
    Message: str
    Remaining: list[str]
    Daemons: list[str]


class Node(TypedDict, total=False):
    """A node; ``Membership`` is ``PENDING``, ``APPROVED`` or ``REJECTED``."""

    Info: NodeInfo
    Membership: str
    Connection: str
    ConnectionState: NodeConnection
    Scheduling: NodeScheduling


class Page(TypedDict, Generic[Item]):
    """Part of a list; ``NextToken`` asks for the next part and is empty at the end."""

    NextToken: str
    Items: list[Item]


class JobDetails(TypedDict, total=False):
    """A job, with its history and executions where they were asked for."""

    Job: Job
    History: Page[HistoryItem]
    Executions: Page[Execution]


class Listing(TypedDict, total=False):
    """Which part of a list, and in which order; ``limit`` 0 is the server's default."""

    limit: int
    next_token: str
    order_by: str
    reverse: bool


class Submission(NamedTuple):
    """What the server said to a job it took; ``version`` is 0 where it does not tell."""

    job_id: str
    evaluation_id: str
    warnings: tuple[str, ...] = ()
    version: int = 0


def compute_state(execution: Execution) -> str:
    """Name the state an execution is in.

    One of an ops or daemon job is New for Bacalhau as long as it runs; a server of ours tells in a detail what it does.
    """
    state = execution.get("ComputeState", {})
    return (state.get("Details") or {}).get("State") or _name(COMPUTE_STATES, state.get("StateType", 0))


def desired_state(execution: Execution) -> str:
    """Name the state an execution should be in."""
    return _name(DESIRED_STATES, execution.get("DesiredState", {}).get("StateType", 0))


def job_state(job: Job) -> str:
    """Name the state a job is in."""
    return job.get("State", {}).get("StateType", "Undefined")


def why_failed(job: Job, executions: Sequence[Execution]) -> str:
    """Say why a job failed: the failure of its last execution where there is one, else its own message."""
    own = job.get("State", {}).get("Message", "")
    failed = [e for e in executions if compute_state(e) == "Failed"]
    said = [message for e in failed if (message := _failure(e))]
    return said[-1] if said and said[-1] not in own else own or "the server gives no reason"


def _failure(execution: Execution) -> str:
    output = execution.get("RunOutput") or {}
    return str(execution.get("ComputeState", {}).get("Message") or output.get("ErrorMsg") or "")


def _name(names: tuple[str, ...], number: int) -> str:
    return names[number] if 0 <= number < len(names) else f"state {number}"


def job_path(job: str, rest: str = "") -> str:
    """Give the address of a job, by name or id. Raises UserError when that is empty."""
    if not job.strip():
        raise UserError("the job's name or id is empty", hint="'bacalhau job list' shows them")
    return f"{JOBS}/{quote(job, safe='')}{rest}"


def page_of(found: dict[str, Any]) -> Page[Any]:
    """Read a list answer, its absent parts filled in."""
    return {"NextToken": str(found.get("NextToken") or ""), "Items": list(found.get("Items") or [])}


def submission_of(found: dict[str, Any]) -> Submission:
    """Read the answer to a submission or a rerun."""
    return Submission(
        job_id=str(found.get("JobID") or ""),
        evaluation_id=str(found.get("EvaluationID") or ""),
        warnings=tuple(found.get("Warnings") or ()),
        version=int(found.get("JobVersion") or 0),
    )
