"""The table of errors outward: any error of this project becomes the public API's error body.

=====================  =======  =====================  ================================
Error                  Status   Code                   Component
=====================  =======  =====================  ================================
Refusal                its own  its own                its own
InvalidSpec            400      ``BadRequest``         ``JobStore``
NotFound               404      ``NotFound``           ``Bacalhau``
Conflict               409      ``ResourceInUse``      ``Bacalhau``
Forbidden              403      ``Forbidden``          ``Authorizer``
StorageFull            429      ``ResourceExhausted``  ``Bacalhau``
other Unavailable      503      ``ServiceUnavailable`` ``Bacalhau``
anything else          500      ``InternalError``      ``Unknown``
=====================  =======  =====================  ================================
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any
from uuid import uuid4

from starlette.requests import Request
from starlette.responses import Response

from bacalhau_nats.errors import (
    BacalhauError,
    Conflict,
    Forbidden,
    InternalError,
    InvalidSpec,
    NotFound,
    StorageFull,
    Unavailable,
)
from bacalhau_nats.gateway.http.wire import JSON, encode
from bacalhau_nats.gateway.refusals import API_SERVER, JOB_STORE, Refusal

_log = logging.getLogger(__name__)

Json = dict[str, Any]

_TABLE: tuple[tuple[type[BacalhauError], int, str, str], ...] = (
    (InvalidSpec, 400, "BadRequest", JOB_STORE),
    (NotFound, 404, "NotFound", "Bacalhau"),
    (Conflict, 409, "ResourceInUse", "Bacalhau"),
    (Forbidden, 403, "Forbidden", "Authorizer"),
    (StorageFull, 429, "ResourceExhausted", "Bacalhau"),
    (Unavailable, 503, "ServiceUnavailable", "Bacalhau"),
)
_UNROUTED = {
    "Hint": "The server version may be older than this CLI version and does not support the endpoint yet.",
    "Details": {
        "cli_usage": "If you are using the CLI, try updating your server to a newer version or check if the "
        "command is supported in your server version."
    },
}


def body(
    status: int,
    message: str,
    code: str,
    component: str,
    *,
    request_id: str = "",
    hint: str = "",
    details: Mapping[str, str] | None = None,
) -> Json:
    """Write the public API's error; ``request_id`` is the one that the request came with."""
    found: Json = {
        "Status": status,
        "Message": message,
        "RequestID": request_id,
        "Code": code,
        "Component": component,
    }
    if hint:
        found["Hint"] = hint
    if details:
        found["Details"] = dict(details)
    return found


def of_error(error: BacalhauError, request_id: str = "") -> Json:
    """Look an error up in the table."""
    if isinstance(error, Refusal):
        return body(
            error.status,
            error.message,
            error.code,
            error.component,
            request_id=request_id,
            hint=error.hint,
            details=error.details,
        )
    for kind, status, code, component in _TABLE:
        if isinstance(error, kind):
            return body(
                status,
                error.message,
                code,
                component,
                request_id=request_id,
                hint=error.hint,
                details=error.details,
            )
    return internal(error, request_id)


def internal(error: BaseException, request_id: str = "") -> Json:
    """Answer a bug: the text says nothing, the id in ``Details`` is also in the log."""
    if isinstance(error, InternalError) and "id" in error.details:
        bug = error.details["id"]
    else:
        bug = uuid4().hex[:12]
    _log.error("request failed", exc_info=error, extra={"action": "request_failed", "bug": bug})
    return body(
        500,
        "Internal server error",
        "InternalError",
        "Unknown",
        request_id=request_id,
        details={"id": bug},
    )


def unrouted(request_id: str = "") -> Json:
    """Answer a path that nobody serves."""
    plain = body(
        404,
        "The requested resource/URL was not found.",
        "NotFound",
        API_SERVER,
        request_id=request_id,
    )
    return plain | _UNROUTED


def respond(request: Request, problem: Json) -> Response:
    """Send an error; HEAD requests get its status only."""
    content = b"" if request.method == "HEAD" else encode(problem)
    return Response(content, status_code=problem["Status"], media_type=JSON)
