"""What the OpenAPI document says of parameters and bodies; nothing here checks anything."""

from __future__ import annotations

from typing import Any

Json = dict[str, Any]

_TEXT: Json = {"type": "string"}
_TRUTH: Json = {"type": "boolean"}
_UINT32: Json = {"type": "integer", "minimum": 0, "maximum": 2**32 - 1}
_UINT64: Json = {"type": "integer", "minimum": 0, "maximum": 2**64 - 1}
_PARAMETERS: dict[str, tuple[Json, str]] = {
    "namespace": (_TEXT, "Namespace; empty means all for lists and `default` for a job's name"),
    "limit": (_UINT32, "At most so many items; 0 means all (history: 100)"),
    "next_token": (_TEXT, "The token of the page before"),
    "order_by": (_TEXT, "What to sort by"),
    "reverse": (_TRUTH, "Sort the other way round"),
    "labels": (_TEXT, "Label selector in the Kubernetes grammar; may be repeated"),
    "include": (_TEXT, "`history`, `executions` or both, joined by a comma"),
    "job_version": (_UINT64, "A version of the job; 0 means the latest"),
    "all_job_versions": (_TRUTH, "All versions of the job"),
    "since": (
        {"type": "integer", "minimum": 0, "maximum": 2**63 - 1},
        "Only what happened since this moment, in unix seconds",
    ),
    "event_type": (_TEXT | {"enum": ["", "all", "job", "execution"]}, "`all`, `job` or `execution`"),
    "execution_id": (_TEXT, "Only this execution"),
    "follow": (_TRUTH, "Go on until the execution ends"),
    "tail": (_TRUTH, "Only what is printed from now on"),
    "all_executions": (_TRUTH, "All executions of the job, not one of them"),
    "from_time": (_TEXT, "Only what was printed since then: `5m` ago, unix seconds, or RFC 3339"),
    "from_seq": (_UINT64, "Only from this sequence of the log stream on"),
    "details": (_TRUTH, "Say with each piece where it comes from and how far it reaches"),
    "resume": (_TRUTH, "The first message of the client says how far it has read"),
    "filter-approval": (_TEXT, "`APPROVED`, `PENDING` or `REJECTED`"),
    "filter-status": (_TEXT, "`CONNECTED` or `DISCONNECTED`"),
}


def query(*names: str) -> Json:
    """Describe query parameters."""
    return {
        "parameters": [
            {
                "name": name,
                "in": "query",
                "required": False,
                "schema": _PARAMETERS[name][0],
                "description": _PARAMETERS[name][1],
            }
            for name in names
        ]
    }


def takes(description: str, example: Json) -> Json:
    """Describe a JSON body by an example; its schema is `document.py`'s."""
    return {
        "requestBody": {"description": description, "content": {"application/json": {"example": example}}}
    }


AN_ECHO: Json = {
    "Job": {
        "Name": "hello",
        "Type": "batch",
        "Tasks": [
            {
                "Name": "main",
                "Engine": {"Type": "docker", "Params": {"Image": "busybox", "Parameters": ["echo", "hi"]}},
            }
        ],
    }
}
