"""The OpenAPI document: what FastAPI knows of the routes, and what is taken and given."""

from __future__ import annotations

from typing import Any, NamedTuple

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from bacalhau_nats.gateway.http.schemas import ANYTHING, SCHEMAS, TEXT, ref
from bacalhau_nats.gateway.http.wire import JSON

Json = dict[str, Any]

_JOBS = "/api/v1/orchestrator/jobs"
_NODES = "/api/v1/orchestrator/nodes"
_AGENT = "/api/v1/agent"
_AUTH = "/api/v1/auth"
_MEANING = {
    400: "The request does not parse, does not validate or is none",
    401: "Nobody knows the caller",
    403: "The caller may not, or the client is too old",
    404: "It does not exist",
    409: "It exists already, or was decided before",
    413: "The body is longer than 10,000,000 bytes",
    429: "More than 1,000 requests a second, or no room left",
    500: "The state of things does not allow it, or something is broken",
    503: "The bus is away, or it took longer than 30 seconds",
}
_ALWAYS = (400, 401, 403, 413, 429, 500, 503)


class Operation(NamedTuple):
    """What an operation gives with 200, what else it may answer, and what it takes."""

    gives: str = ""
    also: tuple[int, ...] = ()
    takes: str = ""


_ID = (404,)
_PUT = Operation("PutJobResponse", (409,), "PutJobRequest")
OPERATIONS: dict[tuple[str, str], Operation] = {
    ("put", _JOBS): _PUT,
    ("post", _JOBS): _PUT,
    ("get", _JOBS): Operation("ListJobsResponse"),
    ("put", f"{_JOBS}/diff"): Operation("DiffJobResponse", (404,), "DiffJobRequest"),
    ("get", f"{_JOBS}/{{job_id}}"): Operation("GetJobResponse", _ID),
    ("delete", f"{_JOBS}/{{job_id}}"): Operation("StopJobResponse", (404, 409), "StopJobRequest"),
    ("put", f"{_JOBS}/{{job_id}}/rerun"): Operation("RerunJobResponse", (404, 409), "RerunJobRequest"),
    ("get", f"{_JOBS}/{{job_id}}/executions"): Operation("ListJobExecutionsResponse", _ID),
    ("get", f"{_JOBS}/{{job_id}}/history"): Operation("ListJobHistoryResponse", _ID),
    ("get", f"{_JOBS}/{{job_id}}/versions"): Operation("ListJobVersionsResponse", _ID),
    ("get", f"{_JOBS}/{{job_id}}/explain"): Operation("ExplainResponse", _ID),
    ("get", f"{_JOBS}/{{job_id}}/results"): Operation("ListJobResultsResponse", _ID),
    ("get", _NODES): Operation("ListNodesResponse"),
    ("get", f"{_NODES}/{{node_id}}"): Operation("GetNodeResponse", (404, 409)),
    ("put", f"{_NODES}/{{node_id}}"): Operation("PutNodeResponse", (404, 409), "PutNodeRequest"),
    ("get", f"{_AGENT}/alive"): Operation("IsAliveResponse"),
    ("get", f"{_AGENT}/version"): Operation("BuildVersionInfo"),
    ("get", f"{_AGENT}/node"): Operation("NodeInfo"),
    ("get", f"{_AGENT}/config"): Operation("ConfigResponse"),
    ("get", f"{_AGENT}/authconfig"): Operation("AuthConfigResponse"),
    ("get", _AUTH): Operation("ListAuthnMethodsResponse"),
    ("get", f"{_AUTH}/clientkey"): Operation("Requirement"),
    ("post", f"{_AUTH}/clientkey"): Operation("AuthnResponse", takes="AuthnRequest"),
}
"""Those that answer with an object that has a schema; the others are a free object or no JSON."""


def document(app: FastAPI) -> Json:
    """Write the document of an application; once, since its routes do not change."""
    if app.openapi_schema is None:
        found = get_openapi(title=app.title, version=app.version, routes=app.routes)
        for path, operations in found["paths"].items():
            for method, operation in operations.items():
                _complete(operation, path, OPERATIONS.get((method, path), Operation()))
        found["components"] = {"schemas": SCHEMAS}
        app.openapi_schema = found
    return app.openapi_schema


def _complete(operation: Json, path: str, known: Operation) -> None:
    operation["responses"] = _answers(path, known)
    if known.takes:
        body = operation.setdefault("requestBody", {"content": {JSON: {}}})
        body["content"][JSON]["schema"] = ref(known.takes)
        body["required"] = "required" in SCHEMAS[known.takes]


def _answers(path: str, known: Operation) -> Json:
    """Describe all that may come back."""
    found: Json = {"200": {"description": "Done", "content": _content(path, known)}}
    for status in sorted({*_ALWAYS, *known.also}):
        kinds = [ref("APIError")]
        if status in (400, 403):  # the gate of client versions answers in a form of its own
            kinds.append(ref("VersionError"))
        if status == 401 and path.startswith(_AUTH):  # noqa: PLR2004 - the HTTP status
            kinds.append(ref("AuthnResponse"))
        schema = kinds[0] if len(kinds) == 1 else {"anyOf": kinds}
        content = {JSON: {"schema": schema}}
        if status in (400, 503):  # what is no HTTP, and what took too long, is said in plain words
            content["text/plain"] = {"schema": TEXT}
        found[str(status)] = {"description": _MEANING[status], "content": content}
    if path.endswith("/{file}"):
        found["404"] = {"description": _MEANING[404], "content": {"text/plain": {"schema": TEXT}}}
    elif path.endswith("/logs"):
        found["101"] = {"description": "A stream of frames, one JSON object each, closed with 1000"}
    return found


def _content(path: str, known: Operation) -> Json:
    if path.endswith("/{file}"):
        return {"application/gzip": {"schema": {"type": "string", "format": "binary"}}}
    if path.endswith("/logs"):
        return {"text/plain": {"schema": TEXT}}
    return {JSON: {"schema": ref(known.gives) if known.gives else ANYTHING}}
