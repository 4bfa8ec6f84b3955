"""The view's objects as the JSON values of the public API. Pure; texts of Go's encoder are `http/wire.py`'s.

Keys appear as Go's ``omitempty`` would have them: a zero count or an empty map is left out exactly where
the public server leaves it out. Execution states are rendered into the finer ones of the public API:

===========  ======================  ============================  ==========================
Ours         batch and service       ops and daemon                desired
===========  ======================  ============================  ==========================
assigned     AskForBidAccepted 3     New 1                         Pending 0 (Running 1)
running      BidAccepted 5           New 1                         Running 1
publishing   BidAccepted 5           New 1                         Running 1
completed    Completed 9             Completed 9                   Stopped 2
failed       Failed 10               Failed 10                     Stopped 2
cancelled    Cancelled 11            Cancelled 11                  Stopped 2
declined     AskForBidRejected 4     AskForBidRejected 4           Stopped 2
lost         Failed 10               Failed 10                     Stopped 2
===========  ======================  ============================  ==========================

An execution of an ops or daemon job stays New while it runs, as Bacalhau shows it; the detail `STATE_DETAIL` of its
state tells what it does. An execution of a service or daemon that ended by itself is shown as failed: it should not have ended.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bacalhau_nats.domain.execution import ExecutionState, Observed, Wish
from bacalhau_nats.domain.jobview import ExecutionView, JobView
from bacalhau_nats.domain.spec import JobSpec, JobType, NetworkConfig, SpecConfig, Task
from bacalhau_nats.gateway.core import evaluation_id
from bacalhau_nats.gateway.history import History, Standing, Step

Json = dict[str, Any]

_PENDING, _RUNNING, _STOPPED = 0, 1, 2
_NEW, _BID, _BID_REFUSED, _BID_ACCEPTED, _COMPLETED, _FAILED, _CANCELLED = 1, 3, 4, 5, 9, 10, 11
_UNEXPECTED = "execution completed unexpectedly"
_RUNS = "Running"
STATE_DETAIL = "State"
"""Key among the details of an execution's state; no key of Bacalhau. Clients read it: `client.wire.compute_state`."""


def state(kind: str | int, message: str = "", details: Mapping[str, str] | None = None) -> Json:
    """Render a state with its message."""
    found: Json = {"StateType": kind}
    if message:
        found["Message"] = message
    if details:
        found["Details"] = dict(details)
    return found


# --- jobs ---------------------------------------------------------------------------------------------


def job(view: JobView, history: History, version: int = 0) -> Json:
    """Render one version of a job as it stands (0: the current one)."""
    wanted = version or view.spec.version
    standing = history.standings.get(wanted)
    now = view.state_of_version(wanted)
    if standing is None or standing.state is not now:
        revision = standing.revision if standing else 1
        standing = Standing(now, "", revision, standing.modified if standing else view.modified)
    return spec(view.versions.get(wanted, view.spec), standing, view.created)


def spec(wish: JobSpec, standing: Standing, created: int = 0) -> Json:
    """Render a spec together with how it stands."""
    return {
        "ID": wish.id,
        "Name": wish.name,
        "Namespace": wish.namespace,
        "Type": wish.type.value,
        "Priority": wish.priority,
        "Count": wish.count,
        "Constraints": [
            {"Key": one.key, "Operator": one.operator, **({"Values": list(one.values)} if one.values else {})}
            for one in wish.constraints
        ],
        "Meta": wish.meta,
        "Labels": wish.labels,
        "Tasks": [task(one) for one in wish.tasks],
        "State": state(standing.state.value, standing.message),
        "Version": wish.version,
        "Revision": standing.revision,
        "CreateTime": wish.created or created,
        "ModifyTime": standing.modified,
    }


def task(wish: Task) -> Json:
    """Render a task."""
    found: Json = {
        "Name": wish.name,
        "Engine": spec_config(wish.engine),
        "Publisher": spec_config(wish.publisher),
    }
    if wish.env:
        found["Env"] = wish.env
    if wish.meta:
        found["Meta"] = wish.meta
    if wish.input_sources:
        found["InputSources"] = [
            {"Source": spec_config(one.source), "Alias": one.alias, "Target": one.target}
            for one in wish.input_sources
        ]
    if wish.result_paths:
        found["ResultPaths"] = [{"Name": one.name, "Path": one.path} for one in wish.result_paths]
    amounts, limits = wish.resources, wish.timeouts
    pairs = (("CPU", amounts.cpu), ("Memory", amounts.memory), ("Disk", amounts.disk), ("GPU", amounts.gpu))
    found["Resources"] = _given(pairs)
    found["Network"] = _network(wish.network)
    found["Timeouts"] = _given(
        (
            ("ExecutionTimeout", limits.execution_timeout),
            ("QueueTimeout", limits.queue_timeout),
            ("TotalTimeout", limits.total_timeout),
        )
    )
    return found


def _given(pairs: tuple[tuple[str, Any], ...]) -> Json:
    return {key: value for key, value in pairs if value}


def spec_config(config: SpecConfig) -> Json:
    """Render an engine, a source, a publisher or a result."""
    return {"Type": config.type, "Params": config.params} if config.params else {"Type": config.type}


def _network(wish: NetworkConfig) -> Json:
    found: Json = {"Type": wish.type.value}
    if wish.domains:
        found["Domains"] = list(wish.domains)
    if wish.ports:
        found["Ports"] = [
            {
                "Name": port.name,
                **_given(
                    (("Static", port.static), ("Target", port.target), ("HostNetwork", port.host_network))
                ),
            }
            for port in wish.ports
        ]
    return found


# --- executions -----------------------------------------------------------------------------------------


def execution(view: JobView, one: ExecutionView, history: History) -> Json:
    """Render an execution with the job as it was when the execution was created."""
    wish = view.versions.get(one.version, view.spec)
    wish_then: JobSpec = wish.but(stop=None)
    born = history.births.get(one.id, Standing(view.state, "", 1, one.created))
    desired, compute = _states(one, wish.type)
    found: Json = {
        "ID": one.id,
        "Namespace": wish.namespace,
        "EvalID": evaluation_id(view.id, wish.nonce, one.version, one.desired.attempt),
        "Name": "",
        "NodeID": one.node_id,
        "JobID": view.id,
        "Job": spec(wish_then, born, view.created),
        "JobVersion": one.version,
        "AllocatedResources": {"Tasks": {}},
        "DesiredState": desired,
        "ComputeState": compute,
        "PublishedResult": spec_config(one.observed.result) if one.observed else {"Type": ""},
        "RunOutput": _output(one.observed),
        "PreviousExecution": "",
        "NextExecution": "",
        "FollowupEvalID": "",
    }
    if one.desired.partition:
        found["PartitionIndex"] = one.desired.partition
    return (
        found
        | result_digest(one.observed)
        | {
            "Revision": _revision(one, wish.type),
            "CreateTime": one.created,
            "ModifyTime": one.modified,
        }
    )


def _states(one: ExecutionView, kind: JobType) -> tuple[Json, Json]:
    everywhere = kind.everywhere
    said = one.observed.message if one.observed else ""
    wanted = one.desired.message
    match one.state:
        case ExecutionState.COMPLETED if kind.endless:
            return state(_STOPPED, _UNEXPECTED), state(_FAILED, _UNEXPECTED)
        case ExecutionState.COMPLETED:
            return state(_STOPPED, "execution completed"), state(_COMPLETED, "" if everywhere else _RUNS)
        case ExecutionState.FAILED:
            return state(_STOPPED, "execution failed"), state(_FAILED, said)
        case ExecutionState.CANCELLED:
            return state(_STOPPED, wanted), state(_CANCELLED, wanted or said)
        case ExecutionState.DECLINED:
            return state(_STOPPED, "bid rejected"), state(_BID_REFUSED, said)
        case ExecutionState.LOST:
            return state(_STOPPED, wanted), state(_FAILED, wanted)
        case _:
            return _live_states(one, everywhere=everywhere)


def _live_states(one: ExecutionView, *, everywhere: bool) -> tuple[Json, Json]:
    started = one.state is not ExecutionState.ASSIGNED
    if everywhere:
        seen = {STATE_DETAIL: one.state.value.capitalize()} if started else None
        desired, compute = state(_RUNNING), state(_NEW, details=seen)
    elif started:
        desired, compute = state(_RUNNING, _RUNS), state(_BID_ACCEPTED, _RUNS)
    else:
        desired, compute = state(_PENDING), state(_BID)
    return (desired if one.wish is Wish.RUN else state(_STOPPED, one.desired.message)), compute


def _revision(one: ExecutionView, kind: JobType) -> int:
    if kind.everywhere:
        return 2 if one.terminal else 1
    match one.state:
        case ExecutionState.ASSIGNED | ExecutionState.DECLINED:
            return 2
        case ExecutionState.RUNNING | ExecutionState.PUBLISHING:
            return 3
        case _:
            return 4


def _output(seen: Observed | None) -> Json:
    output = seen.output if seen else None
    return {
        "Stdout": output.stdout if output else "",
        "StdoutTruncated": output.stdout_truncated if output else False,
        "stderr": output.stderr if output else "",
        "StderrTruncated": output.stderr_truncated if output else False,
        "ExitCode": output.exit_code if output else 0,
        "ErrorMsg": "",
    }


def result_digest(seen: Observed | None) -> Json:
    """Render the digest of what was published, under a key that the public API does not have; none: nothing."""
    return {"ResultDigest": seen.digest.to_wire()} if seen and seen.digest.manifest else {}


# --- history --------------------------------------------------------------------------------------------


def step(one: Step, job_id: str, time: str, *, old_client: bool) -> Json:
    """Render one step; clients of 1.4 expect an empty state beside it."""
    found: Json = {
        "SeqNum": one.seq,
        "Type": "ExecutionLevel" if one.execution_id else "JobLevel",
        "JobID": job_id,
        "JobVersion": one.version,
    }
    if one.execution_id:
        found["ExecutionID"] = one.execution_id
    event: Json = {"Message": one.message, "Topic": one.topic, "Timestamp": time}
    if one.details:
        event["Details"] = dict(one.details)
    found["Event"] = event
    if old_client:
        found["ExecutionState" if one.execution_id else "JobState"] = {}
    return found | {"Time": time}
