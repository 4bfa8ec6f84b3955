"""Identities: who is called what, and why two writers agree on it.

Ids that two processes may have to invent at the same time are derived, not drawn: racing writers then
want the same subject and the compare-and-set there is the fence.

* a named job: ``j-`` + UUIDv5 of namespace, name and incarnation
* an execution: ``e-`` + UUIDv5 of job, its nonce, version, partition (ops and daemon: the node), attempt
"""

from __future__ import annotations

import re
from typing import NewType
from uuid import UUID, uuid5

JobID = NewType("JobID", str)
ExecutionID = NewType("ExecutionID", str)
NodeID = NewType("NodeID", str)

_SPACE = UUID("7f1b7b52-5b0c-5d3e-9a55-6d3c8f2b9c11")
_FULL = re.compile(r"^([a-z]-)?[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$", re.IGNORECASE)
_SHORT_LENGTH = 8


def _derive(*parts: object) -> UUID:
    # The separator cannot occur in a part: names are checked to hold no NUL.
    return uuid5(_SPACE, "\0".join(str(part) for part in parts))


def named_job_id(namespace: str, name: str, incarnation: int = 0) -> JobID:
    """Give the id of the job called ``name``; ``incarnation`` counts purges of that name."""
    return JobID(f"j-{_derive('job', namespace, name, incarnation)}")


def token_job_id(token: str) -> JobID:
    """Give the id of an unnamed job that carries an idempotency token."""
    return JobID(f"j-{_derive('token', token)}")


def execution_id(job: str, nonce: str, version: int, slot: str, attempt: int) -> ExecutionID:
    """Give the id of one attempt. ``slot`` is the partition index, or the node for ops and daemon jobs."""
    return ExecutionID(f"e-{_derive('execution', job, nonce, version, slot, attempt)}")


def is_full(text: str) -> bool:
    """Tell a whole id (optionally ``x-`` before the UUID) from a prefix of one."""
    return _FULL.match(text) is not None


def short(text: str) -> str:
    """Shorten an id as people see it: prefix and the first 8 hex digits; other names stay whole."""
    if not is_full(text):
        return text
    head = 2 if text[1:2] == "-" else 0
    return text[: head + _SHORT_LENGTH]
