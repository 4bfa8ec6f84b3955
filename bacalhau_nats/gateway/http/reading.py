"""What a GET asks for: its query, and what a JSON body that comes with it says instead.

The public server binds the body of any method after the query, so a field that is in both is the body's. No
client sends one; a proxy that forwards `{}` must not fail for it. Fields are those of the request types of the
public API (`NextToken` in a body is `next_token` in a query).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from starlette.requests import Request

from bacalhau_nats.domain import constraints
from bacalhau_nats.domain.draft import Decoder, boolean, integer, text, unsigned
from bacalhau_nats.domain.spec import Requirement
from bacalhau_nats.errors import InvalidSpec
from bacalhau_nats.gateway import refusals
from bacalhau_nats.gateway.http.wire import Query, body_of
from bacalhau_nats.gateway.paging import Page
from bacalhau_nats.gateway.queries import Versions

ReadQuery = Callable[[Request], Awaitable[Query]]

_uint32 = integer("uint32", (0, 2**32 - 1))
_LIST: dict[str, Decoder] = {
    "Namespace": text,
    "Limit": _uint32,
    "NextToken": text,
    "OrderBy": text,
    "Reverse": boolean,
}
_VERSIONED: dict[str, Decoder] = {**_LIST, "JobVersion": unsigned, "AllJobVersions": boolean}


def _reader(name: str, table: dict[str, Decoder]) -> ReadQuery:
    read_body = body_of(name, table)

    async def read(request: Request) -> Query:
        if request.headers.get("content-length", "0") == "0":
            return Query(request)
        return Query(request, await read_body(request))

    return read


job_query = _reader(
    "GetJobRequest", {"Namespace": text, "JobVersion": unsigned, "Include": text, "Limit": _uint32}
)
list_query = _reader("BaseListRequest", _LIST)
versioned_query = _reader("BaseVersionedListRequest", _VERSIONED)
history_query = _reader(
    "ListJobHistoryRequest", {**_VERSIONED, "Since": integer(), "EventType": text, "ExecutionID": text}
)


def selector(query: Query) -> tuple[Requirement, ...]:
    """Read the label selectors of a query, all of which must hold. Raises Refusal (400)."""
    try:
        return constraints.parse(",".join(value for value in query.texts("labels") if value))
    except InvalidSpec as error:
        raise refusals.bad_request(error.message) from None


def page_of(query: Query) -> Page:
    """Read order, direction and limit, which every list must understand. Raises Refusal (400)."""
    return Page(query.text("order_by"), query.boolean("reverse"), query.uint32("limit"))


def versions_of(query: Query) -> Versions:
    """Read which versions of a job are meant. Raises Refusal (400)."""
    return Versions(query.uint64("job_version"), query.boolean("all_job_versions"))
