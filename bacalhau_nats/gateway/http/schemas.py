"""JSON Schemas of what the API takes and gives, for its OpenAPI document.

Nothing here checks a request: `domain/draft.py` does, with the public server's habits. Answers are closed, so that
a test of the document finds a key that it does not have; requests are open, since unknown keys are ignored.
"""

from __future__ import annotations

from typing import Any

from bacalhau_nats.gateway.nodes import ACTIONS

Json = dict[str, Any]

TEXT: Json = {"type": "string"}
TRUTH: Json = {"type": "boolean"}
NUMBER: Json = {"type": "number"}
TIME: Json = {"type": "string", "format": "date-time"}
INT: Json = {"type": "integer", "minimum": -(2**63), "maximum": 2**63 - 1}
COUNT: Json = {"type": "integer", "minimum": 0}
UINT64: Json = {"type": "integer", "minimum": 0, "maximum": 2**64 - 1}
ANYTHING: Json = {"type": "object"}


def ref(name: str) -> Json:
    """Point to a schema."""
    return {"$ref": f"#/components/schemas/{name}"}


def _map(of: Json = TEXT) -> Json:
    return {"type": "object", "additionalProperties": of}


def _list(of: Json) -> Json:
    return {"type": "array", "items": of}


def _maybe(of: Json) -> Json:
    return {"anyOf": [of, {"type": "null"}]}


def _answer(always: Json, sometimes: Json | None = None) -> Json:
    """Describe an object that is given: no other keys than these, and the first of them always."""
    return {
        "type": "object",
        "properties": {**always, **(sometimes or {})},
        "required": list(always),
        "additionalProperties": False,
    }


def _request(keys: Json, *required: str) -> Json:
    """Describe an object that is taken: any key may be missing or null, but these."""
    found: Json = {
        "type": "object",
        "properties": {key: one if key in required else _maybe(one) for key, one in keys.items()},
    }
    return {**found, "required": list(required)} if required else found


def _page(of: str, key: str = "Items") -> Json:
    return _answer({"NextToken": TEXT, key: _list(ref(of))})


def _state(kind: Json) -> Json:
    return _answer({"StateType": kind}, {"Message": TEXT, "Details": _map()})


def _enum(*values: str | int) -> Json:
    return {"enum": list(values)}


_TYPES = _enum("batch", "ops", "service", "daemon")
_NETWORKS = _enum("Default", "None", "Host", "Full", "HTTP", "Bridge")
_OPERATORS = _enum("!", "=", "==", "in", "!=", "notin", "exists", "gt", "lt")
_CONNECTIONS = _enum("CONNECTED", "DISCONNECTED")
_ENVELOPE: Json = {
    "Namespace": TEXT,
    "IdempotencyToken": TEXT,
    "Credential": _request({"Scheme": TEXT, "Value": TEXT, "Params": _map(_maybe(TEXT))}),
}

_JOB: Json = {
    "ID": TEXT, "Name": TEXT, "Namespace": TEXT, "Type": _TYPES, "Priority": INT, "Count": COUNT,
    "Constraints": _list(ref("Constraint")), "Meta": _map(), "Labels": _map(), "Tasks": _list(ref("Task")),
    "State": ref("JobState"), "Version": UINT64, "Revision": UINT64, "CreateTime": INT, "ModifyTime": INT,
}  # fmt: skip
_TASK: Json = {
    "Env": _map(), "Meta": _map(), "InputSources": _list(ref("InputSource")),
    "ResultPaths": _list(ref("ResultPath")),
}  # fmt: skip
_REQUESTED: Json = {"CPU": TEXT, "Memory": TEXT, "Disk": TEXT, "GPU": TEXT}
_TIMEOUTS: Json = {"ExecutionTimeout": COUNT, "QueueTimeout": COUNT, "TotalTimeout": COUNT}
_PORT: Json = {"Static": COUNT, "Target": COUNT, "HostNetwork": TEXT}

SCHEMAS: dict[str, Json] = {
    # --- errors
    "APIError": _answer(
        {"Status": COUNT, "Message": TEXT, "RequestID": TEXT, "Code": TEXT, "Component": TEXT},
        {"Hint": TEXT, "Details": _map()},
    ),
    "VersionError": _answer({"Error": TEXT}, {"MinVersion": TEXT, "ClientVersion": TEXT, "ServerVersion": TEXT}),
    # --- jobs, as they are given
    "Job": _answer(_JOB),
    "JobState": _state(_enum("Undefined", "Pending", "Queued", "Running", "Completed", "Failed", "Stopped")),
    "Constraint": _answer({"Key": TEXT, "Operator": TEXT}, {"Values": _list(TEXT)}),
    "SpecConfig": _answer({"Type": TEXT}, {"Params": ANYTHING}),
    "InputSource": _answer({"Source": ref("SpecConfig"), "Alias": TEXT, "Target": TEXT}),
    "ResultPath": _answer({"Name": TEXT, "Path": TEXT}),
    "Port": _answer({"Name": TEXT}, _PORT),
    "Task": _answer(
        {
            "Name": TEXT, "Engine": ref("SpecConfig"), "Publisher": ref("SpecConfig"),
            "Resources": _answer({}, _REQUESTED), "Timeouts": _answer({}, _TIMEOUTS),
            "Network": _answer({"Type": _NETWORKS}, {"Domains": _list(TEXT), "Ports": _list(ref("Port"))}),
        },
        _TASK,
    ),
    "Execution": _answer(
        {
            "ID": TEXT, "Namespace": TEXT, "EvalID": TEXT, "Name": TEXT, "NodeID": TEXT, "JobID": TEXT,
            "Job": ref("Job"), "JobVersion": UINT64, "AllocatedResources": _answer({"Tasks": _map(ANYTHING)}),
            "DesiredState": _state(_enum(0, 1, 2)), "ComputeState": _state(_enum(*range(12))),
            "PublishedResult": ref("SpecConfig"), "RunOutput": ref("RunOutput"), "PreviousExecution": TEXT,
            "NextExecution": TEXT, "FollowupEvalID": TEXT, "Revision": UINT64, "CreateTime": INT,
            "ModifyTime": INT,
        },
        {"PartitionIndex": COUNT, "ResultDigest": ANYTHING},
    ),
    "RunOutput": _answer(
        {"Stdout": TEXT, "StdoutTruncated": TRUTH, "stderr": TEXT, "StderrTruncated": TRUTH, "ExitCode": INT,
         "ErrorMsg": TEXT},
    ),
    "JobHistory": _answer(
        {
            "SeqNum": UINT64, "Type": _enum("JobLevel", "ExecutionLevel"), "JobID": TEXT, "JobVersion": UINT64,
            "Event": _answer({"Message": TEXT, "Topic": TEXT, "Timestamp": TIME}, {"Details": _map()}),
            "Time": TIME,
        },
        {"ExecutionID": TEXT, "JobState": ANYTHING, "ExecutionState": ANYTHING},
    ),
    "GetJobResponse": _answer(
        {"Job": ref("Job")},
        {"History": ref("ListJobHistoryResponse"), "Executions": ref("ListJobExecutionsResponse")},
    ),
    "ListJobsResponse": _page("Job"),
    "ListJobVersionsResponse": _page("Job"),
    "ListJobHistoryResponse": _page("JobHistory"),
    "ListJobExecutionsResponse": _page("Execution"),
    "JobResult": _answer({"Type": TEXT}, {"Params": ANYTHING, "ExecutionID": TEXT, "ResultDigest": ANYTHING}),
    "ListJobResultsResponse": _page("JobResult"),
    "ExplainResponse": _answer(
        {
            "JobID": TEXT, "JobName": TEXT, "JobVersion": UINT64, "State": TEXT, "Message": TEXT,
            "Nodes": _list(ref("NodeExplanation")),
        }
    ),
    "NodeExplanation": _answer(
        {
            "NodeID": TEXT, "Verdict": TEXT, "Reason": TEXT, "CouldRunNow": TRUTH, "WhyNotNow": TEXT,
            "Executions": _list(_answer({"ID": TEXT, "State": TEXT, "Message": TEXT})),
            "Answers": _list(
                _answer(
                    {"ExecutionID": TEXT, "Time": TIME, "Bid": TRUTH, "Reason": TEXT, "Never": TRUTH,
                     "Free": ref("Resources")}
                )
            ),
        }
    ),
    "PutJobResponse": _answer({"JobID": TEXT, "EvaluationID": TEXT, "Warnings": _maybe(_list(TEXT))}),
    "DiffJobResponse": _answer({"Diff": TEXT, "Warnings": _maybe(_list(TEXT))}),
    "StopJobResponse": _answer({"EvaluationID": TEXT}),
    "RerunJobResponse": _answer(
        {"JobID": TEXT, "JobVersion": UINT64, "EvaluationID": TEXT, "Warnings": _maybe(_list(TEXT))}
    ),
    # --- jobs, as they are taken
    "PutJobRequest": _request({"Job": ref("JobRequest"), "Force": TRUTH, **_ENVELOPE}, "Job"),
    "DiffJobRequest": _request({"Job": ref("JobRequest"), **_ENVELOPE}, "Job"),
    "RerunJobRequest": _request({"JobVersion": UINT64, "Reason": TEXT, **_ENVELOPE}),
    "StopJobRequest": _request({"reason": TEXT, **_ENVELOPE}),
    "JobRequest": _request(
        {
            "ID": TEXT, "Name": TEXT, "Namespace": TEXT, "Type": _TYPES, "Priority": INT, "Count": COUNT,
            "Constraints": _list(
                _request({"Key": TEXT, "Operator": _OPERATORS, "Values": _list(_maybe(TEXT))}, "Key")
            ),
            "Meta": _map(_maybe(TEXT)), "Labels": _map(_maybe(TEXT)),
            "Tasks": {**_list(ref("TaskRequest")), "minItems": 1},
        },
        "Type", "Tasks",
    ),
    "TaskRequest": _request(
        {
            "Name": {**TEXT, "minLength": 1}, "Engine": ref("SpecConfigRequest"),
            "Publisher": _request({"Type": TEXT, "Params": ANYTHING}), "Env": _map(_maybe(TEXT)),
            "Meta": _map(_maybe(TEXT)),
            "InputSources": _list(
                _request({"Source": ref("SpecConfigRequest"), "Alias": TEXT, "Target": TEXT}, "Source", "Target")
            ),
            "ResultPaths": _list(_request({"Name": TEXT, "Path": TEXT}, "Name", "Path")),
            "Resources": _request(_REQUESTED),
            "Network": _request(
                {"Type": _NETWORKS, "Domains": _list(TEXT), "Ports": _list(_request({"Name": TEXT, **_PORT}, "Name"))}
            ),
            "Timeouts": _request(_TIMEOUTS),
        },
        "Name", "Engine",
    ),
    "SpecConfigRequest": _request({"Type": {**TEXT, "minLength": 1}, "Params": ANYTHING}, "Type"),
    # --- nodes and agent
    "BuildVersionInfo": _answer(
        {"GitVersion": TEXT, "GitCommit": TEXT, "BuildDate": TIME, "GOOS": TEXT, "GOARCH": TEXT},
        {"Major": TEXT, "Minor": TEXT},
    ),
    "Resources": _answer({}, {"CPU": NUMBER, "Memory": UINT64, "Disk": UINT64, "GPU": UINT64, "GPUs": _list(ANYTHING)}),
    "ComputeNodeInfo": _answer(
        {
            "ExecutionEngines": _maybe(_list(TEXT)), "Publishers": _maybe(_list(TEXT)),
            "StorageSources": _maybe(_list(TEXT)), "MaxCapacity": ref("Resources"),
            "QueueCapacity": ref("Resources"), "AvailableCapacity": ref("Resources"),
            "MaxJobRequirements": ref("Resources"), "RunningExecutions": COUNT, "EnqueuedExecutions": COUNT,
            "address": TEXT,
        }
    ),
    "NodeInfo": _answer(
        {
            "NodeID": TEXT, "NodeType": _enum("Requester", "Compute"), "Labels": _map(),
            "SupportedProtocols": _list(TEXT), "ComputeNodeInfo": ref("ComputeNodeInfo"),
            "BacalhauVersion": ref("BuildVersionInfo"),
        }
    ),
    "NodeState": _answer(
        {
            "Info": ref("NodeInfo"), "Membership": _enum("PENDING", "APPROVED", "REJECTED"),
            "Connection": _CONNECTIONS,
            "ConnectionState": _answer(
                {"Status": _CONNECTIONS, "LastHeartbeat": TIME, "ConnectedSince": TIME, "DisconnectedSince": TIME},
                {"LastComputeSeqNum": UINT64, "LastOrchestratorSeqNum": UINT64, "LastError": TEXT},
            ),
        },
        {
            "Scheduling": _answer(
                {"State": _enum("CORDONED", "DRAINING", "DRAINED")},
                {"Remaining": _list(TEXT), "Daemons": _list(TEXT), "Message": TEXT},
            )
        },
    ),
    "ListNodesResponse": _page("NodeState", "Nodes"),
    "GetNodeResponse": _answer({"Node": ref("NodeState")}),
    "PutNodeRequest": _request(
        {"Action": _enum(*ACTIONS), "Message": TEXT, "NodeID": TEXT, "IgnoreDaemons": TRUTH, **_ENVELOPE}, "Action"
    ),
    "PutNodeResponse": _answer({"Success": TRUTH}, {"Error": TEXT}),
    "IsAliveResponse": _answer({"Status": _enum("OK")}),
    "ConfigResponse": _answer({"config": ANYTHING}),
    "AuthConfigResponse": _answer({"Version": TEXT, "Config": ANYTHING}),
    # --- authentication
    "Requirement": _answer({"type": TEXT, "params": ANYTHING}),
    "ListAuthnMethodsResponse": _answer({"NextToken": TEXT, "Methods": _map(ref("Requirement"))}),
    "AuthnRequest": _request(
        {"Name": TEXT, "MethodData": {**TEXT, "contentEncoding": "base64"}, "Namespace": TEXT}, "MethodData"
    ),
    "AuthnResponse": _answer({"Authentication": _answer({"success": TRUTH}, {"token": TEXT, "reason": TEXT})}),
}  # fmt: skip
"""By name; names are those of the public API's types where it has one."""
