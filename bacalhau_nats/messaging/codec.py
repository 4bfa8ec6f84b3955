"""Models to bytes and back; errors to headers and back.

Every message is the compact JSON of one model. Two headers say what it is, so that a person can read the
bus and a program can refuse what it does not know: ``Bacalhau-Type`` (the model's name) and
``Bacalhau-Version`` (1). An error answer has the headers of the NATS service protocol (ADR-32), so that
``nats req`` shows it, and three of ours that bring the same exception back on the other side.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from functools import lru_cache
from typing import TypeVar, cast

from pydantic import ValidationError

from bacalhau_nats.domain.execution import Desired, Observed
from bacalhau_nats.domain.facts import Fact, Key, Kind, Record
from bacalhau_nats.domain.job import Alias, Conclusion, Waiting
from bacalhau_nats.domain.model import Model
from bacalhau_nats.domain.node import Membership, NodeReport
from bacalhau_nats.domain.spec import JobSpec
from bacalhau_nats.errors import BacalhauError, InternalError

log = logging.getLogger(__name__)
M = TypeVar("M", bound=Model)
Headers = Mapping[str, str]

TYPE = "Bacalhau-Type"
VERSION = "Bacalhau-Version"
SERVICE_ERROR = "Nats-Service-Error"
SERVICE_ERROR_CODE = "Nats-Service-Error-Code"
ERROR = "Bacalhau-Error"
HINT = "Bacalhau-Hint"
DETAILS = "Bacalhau-Details"

SCHEMA_VERSION = 1
"""Raised only when an older reader would misread a message; a new field does not need it."""

_NOTHING: Headers = {}


class MalformedMessage(Exception):
    """A message that is not what its subject promises: to be logged and dropped, never to stop a loop."""


def encode(model: Model) -> tuple[bytes, dict[str, str]]:
    """Give payload and headers; the headers are the caller's to extend."""
    return model.to_json(), {TYPE: type(model).__name__, VERSION: str(SCHEMA_VERSION)}


def decode(payload: bytes, headers: Headers | None, types: Mapping[str, type[M]]) -> M:
    """Read a message that may be one of ``types`` (by name). Raises MalformedMessage.

    Where only one type is possible the header may be missing, and an empty payload is that type with all
    defaults: a person with the ``nats`` tool then needs no ceremony.
    """
    headers = headers or _NOTHING
    name = headers.get(TYPE, "")
    if not name and len(types) == 1:
        name = next(iter(types))
    model = types.get(name)
    if model is None:
        raise MalformedMessage(f"type {name or '(none)'!r} where {' or '.join(types)} is expected")
    version = headers.get(VERSION, "1")
    if version != "1":
        raise MalformedMessage(f"{name} of schema version {version!r}; this program reads {SCHEMA_VERSION}")
    try:
        return model.model_validate_json(payload or b"{}")
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise MalformedMessage(f"{name}{'.' if where else ''}{where}: {first['msg']}") from error


def read(
    subject: str, payload: bytes, headers: Mapping[str, str] | None, types: Mapping[str, type[M]]
) -> M | None:
    """Read a model from the wire; None, and a line in the log, when it cannot be read."""
    try:
        return decode(payload, headers, types)
    except MalformedMessage as malformed:
        log_dropped(subject, malformed)
        return None


def log_dropped(subject: str, why: object) -> None:
    """Log a message that could not be read; it is dropped."""
    log.warning("dropped a malformed message on %s: %s", subject, why, extra={"action": "message_dropped"})


def by_name(*types: type[M]) -> dict[str, type[M]]:
    """Index model classes by the name they carry in the type header."""
    return {model.__name__: model for model in types}


def error_headers(error: BacalhauError) -> dict[str, str]:
    """Write an error as the headers of an answer."""
    headers = {
        SERVICE_ERROR: error.message,
        SERVICE_ERROR_CODE: error.code,
        ERROR: type(error).__name__,
    }
    if error.hint:
        headers[HINT] = error.hint
    if error.details:
        headers[DETAILS] = json.dumps(error.details)
    return headers


def error_of(headers: Headers | None) -> BacalhauError | None:
    """Read the error back; None when the answer is not an error.

    One that another program sent (no ``Bacalhau-Error``, or a name unknown here) is taken for a bug there.
    """
    if not headers or (SERVICE_ERROR not in headers and SERVICE_ERROR_CODE not in headers):
        return None
    known = {kind.__name__: kind for kind in _tree(BacalhauError)}
    kind = known.get(headers.get(ERROR, ""), InternalError)
    message = headers.get(SERVICE_ERROR, "") or headers.get(SERVICE_ERROR_CODE, "")
    return kind(message, hint=headers.get(HINT, ""), **_details(headers.get(DETAILS, "")))


def _details(text: str) -> dict[str, str]:
    try:
        found = json.loads(text or "{}")
    except ValueError:
        return {}
    if not isinstance(found, dict):
        return {}
    reserved = {"self", "message", "hint"}
    return {str(key): str(value) for key, value in found.items() if key not in reserved}


def _tree(kind: type[BacalhauError]) -> Iterator[type[BacalhauError]]:
    yield kind
    for below in kind.__subclasses__():
        yield from _tree(below)


# --- facts ------------------------------------------------------------------------------------------

SEQUENCE = "Nats-Sequence"
TIME = "Nats-Time-Stamp"
SUBJECT = "Nats-Subject"

_RECORDS: dict[Kind, dict[str, type[Model]]] = {
    Kind.SPEC: by_name(JobSpec, Alias),
    Kind.WAITING: by_name(Waiting),
    Kind.CONCLUSION: by_name(Conclusion),
    Kind.DESIRED: by_name(Desired),
    Kind.OBSERVED: by_name(Observed),
    Kind.REPORT: by_name(NodeReport),
    Kind.MEMBERSHIP: by_name(Membership),
}


def decode_fact(key: Key, payload: bytes, headers: Headers | None, *, seq: int, time: str) -> Fact:
    """Read one value of the record ``key``; an empty payload is its purge. Raises MalformedMessage."""
    record = decode(payload, headers, _RECORDS[key.kind]) if payload else None
    return Fact(key, seq, nanoseconds(time), cast("Record | None", record))


def nanoseconds(timestamp: str) -> int:
    """Read the server's RFC 3339 time (UTC, up to nine decimals) as unix nanoseconds."""
    whole, _, fraction = timestamp.rstrip("Z").partition(".")
    try:
        return _seconds(whole) * 1_000_000_000 + int(fraction.ljust(9, "0") or 0)
    except ValueError as error:
        raise MalformedMessage(f"no time: {timestamp!r}") from error


@lru_cache(maxsize=256)
def _seconds(timestamp: str) -> int:
    return int(datetime.fromisoformat(timestamp).replace(tzinfo=UTC).timestamp())
