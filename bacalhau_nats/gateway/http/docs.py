"""What the OpenAPI document says of parameters and bodies; nothing here checks anything."""

from __future__ import annotations

from typing import Any

Json = dict[str, Any]

_PARAMETERS: dict[str, tuple[str, str]] = {
    "namespace": ("string", "Namespace; empty means all for lists and `default` for a job's name"),
    "limit": ("integer", "At most so many items; 0 means all (history: 100)"),
    "next_token": ("string", "The token of the page before"),
    "order_by": ("string", "What to sort by"),
    "reverse": ("boolean", "Sort the other way round"),
    "labels": ("string", "Label selector in the Kubernetes grammar; may be repeated"),
    "include": ("string", "`history`, `executions` or both, joined by a comma"),
    "job_version": ("integer", "A version of the job; 0 means the latest"),
    "all_job_versions": ("boolean", "All versions of the job"),
    "since": ("integer", "Only what happened since this moment, in unix seconds"),
    "event_type": ("string", "`all`, `job` or `execution`"),
    "execution_id": ("string", "Only this execution"),
    "follow": ("boolean", "Go on until the execution ends"),
    "tail": ("boolean", "Only what is printed from now on"),
    "all_executions": ("boolean", "All executions of the job, not one of them"),
    "from_time": ("string", "Only what was printed since then: `5m` ago, unix seconds, or RFC 3339"),
    "from_seq": ("integer", "Only from this sequence of the log stream on"),
    "details": ("boolean", "Say with each piece where it comes from and how far it reaches"),
    "resume": ("boolean", "The first message of the client says how far it has read"),
    "filter-approval": ("string", "`APPROVED`, `PENDING` or `REJECTED`"),
    "filter-status": ("string", "`CONNECTED` or `DISCONNECTED`"),
}


def query(*names: str) -> Json:
    """Describe query parameters."""
    return {
        "parameters": [
            {
                "name": name,
                "in": "query",
                "required": False,
                "schema": {"type": _PARAMETERS[name][0]},
                "description": _PARAMETERS[name][1],
            }
            for name in names
        ]
    }


def takes(description: str, example: Json) -> Json:
    """Describe a JSON body by an example."""
    content = {"application/json": {"schema": {"type": "object"}, "example": example}}
    return {"requestBody": {"description": description, "required": False, "content": content}}


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
