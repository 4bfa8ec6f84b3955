"""What goes into the gateway's writing use cases, what comes out, and what a spec must be to be stored."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from bacalhau_nats.domain.draft import Draft
from bacalhau_nats.domain.faults import message_of
from bacalhau_nats.domain.ids import JobID, token_job_id
from bacalhau_nats.domain.spec import JobSpec
from bacalhau_nats.domain.validation import stored_faults
from bacalhau_nats.gateway import refusals
from bacalhau_nats.gateway.core import evaluation_id

LARGEST_SPEC = 900_000
"""Bytes. A message holds 1 MiB, and what is written for a node carries the spec with more around it."""


@dataclass(frozen=True, slots=True)
class Submission:
    """A job to store, and ``size``, the bytes it came in.

    ``client`` is reserved meta about who sent it, without its prefix.
    """

    job: Draft | None
    force: bool = False
    token: str = ""
    size: int = 0
    client: tuple[tuple[str, str], ...] = ()

    @property
    def mark(self) -> str:
        """What a spec keeps of the token; empty without one."""
        return mark_of(self.token)


class Accepted(NamedTuple):
    """What was stored: the job, the evaluation it led to, its version, and what was ignored."""

    job_id: JobID
    evaluation_id: str
    version: int
    warnings: list[str]


def mark_of(token: str) -> str:
    """Give what a spec keeps of an idempotency token; empty without one."""
    return token_job_id(token)[2:] if token else ""


def check_stored(spec: JobSpec) -> None:
    """Raise Refusal when a completed spec is invalid."""
    faults = stored_faults(spec)
    if faults:
        raise refusals.invalid_job(message_of(faults))


def accepted(spec: JobSpec, warnings: list[str]) -> Accepted:
    """Answer for a spec that is stored."""
    return Accepted(spec.id, evaluation_id(spec.id, spec.nonce, spec.version), spec.version, warnings)


def check_size(spec: JobSpec, submission: Submission) -> None:
    """Raise Refusal when a spec is too large for a message, its long inline content apart."""
    if submission.size <= LARGEST_SPEC:
        return  # a spec is not longer than what it came in, give or take its defaults
    size = len(spec.to_json())
    if size > LARGEST_SPEC:
        raise refusals.bad_request(
            f"the job has {size} bytes beside its inline content; at most {LARGEST_SPEC} can be stored",
            hint="move long values into inputs",
        )
