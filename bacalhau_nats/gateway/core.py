"""What every use case of the gateway works with, and how a job is found.

The gateway writes wishes (specs, stops, decisions about nodes) and reads the view; it decides nothing.
**Read your writes**: a read waits until the view has the last write of this gateway. Before it says that
something does not exist, it asks the stream for its last sequence, waits for the view and looks again, so
that what another gateway has just stored is found, too.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol
from uuid import UUID, uuid5

from bacalhau_nats.domain.explain import Answer
from bacalhau_nats.domain.ids import ExecutionID, JobID, NodeID, is_full
from bacalhau_nats.domain.intake import JobDefaults
from bacalhau_nats.domain.jobview import JobView
from bacalhau_nats.domain.node import BuildInfo, Heartbeat, NodeReport
from bacalhau_nats.domain.spec import SpecConfig
from bacalhau_nats.domain.view import View
from bacalhau_nats.gateway import refusals
from bacalhau_nats.ports import Blobs, LogEntry, LogStart, Records

DEFAULT_NAMESPACE = "default"
_EVALUATIONS = UUID("2f0c31c1-9d19-5c0b-8c6a-f3c3b4f0a7d2")


@dataclass(frozen=True, slots=True)
class Identity:
    """Who this gateway is: the node that people see as the orchestrator."""

    node_id: NodeID
    instance: str = ""
    installation: str = ""
    build: BuildInfo = field(default_factory=BuildInfo)
    report: NodeReport = field(default_factory=NodeReport)


@dataclass(frozen=True, slots=True)
class GatewaySettings:
    """The gateway's slice of the settings.

    ``inline_limit`` is how many characters of inline content ride in a spec; longer content goes into the
    object store. ``manual_approval``: nodes wait for somebody to approve them.
    """

    defaults: JobDefaults = field(default_factory=JobDefaults)
    inline_limit: int = 16 * 1024
    manual_approval: bool = False


@dataclass(frozen=True, slots=True)
class Presence:
    """Whether a node speaks, as this process hears it; times are unix seconds, 0 where unknown."""

    connected: bool
    heard: float = 0.0
    since: float = 0.0
    lost: float = 0.0
    beat: Heartbeat | None = None


class Logs(Protocol):
    """Reads the output of executions from the log stream."""

    def __call__(
        self, job_id: JobID, execution_ids: Sequence[ExecutionID], *, follow: bool, start: LogStart
    ) -> AsyncGenerator[LogEntry]:
        """Give the chunks stored from ``start`` on, in order; with ``follow`` go on until they have ended.

        No execution named stands for all of the job, those to come too. Raises UserError for a start behind
        the end.
        """
        ...


Until = Callable[[JobID, Callable[[JobView | None], bool]], Awaitable[None]]
"""Waits until something is true of a job as the view shows it."""


Signed = Callable[[SpecConfig], Awaitable[SpecConfig]]
"""Gives a result as its reader needs it. Raises InvalidSettings or Unavailable."""


async def _as_it_is(result: SpecConfig) -> SpecConfig:
    """Sign nothing: this gateway has no credentials for anything."""
    return result


async def _at_once(_job: JobID, _holds: Callable[[JobView | None], bool]) -> None:
    """Wait for nothing: the view of this gateway is always up to date."""


Answers = Callable[[Sequence[ExecutionID]], Awaitable[list[Answer]]]
"""Gives what nodes last answered when they were asked about executions, as far as it is kept."""


async def _nothing_kept(_executions: Sequence[ExecutionID]) -> list[Answer]:
    """Know of no answers."""
    return []


@dataclass(slots=True)
class Gateway:
    """The collaborators of the use cases in `submit`, `nodes`, `queries` and `explain`.

    ``nudge`` asks any requester to look at a job. ``view_reached`` returns once the view has applied a
    sequence. ``presence`` says what is heard of a node. ``signed`` gives a result in a bucket a URL. ``now`` is unix
    nanoseconds.
    """

    view: View
    records: Records
    nudge: Callable[[JobID, int, str], Awaitable[None]]
    blobs: Blobs
    results: Blobs
    settings: GatewaySettings
    identity: Identity
    view_reached: Callable[[int], Awaitable[None]]
    presence: Callable[[NodeID], Presence | None]
    logs: Logs
    now: Callable[[], int]
    config: Callable[[], Mapping[str, Any]] = dict
    debug: Callable[[], Mapping[str, Any]] = dict
    until: Until = _at_once
    answers: Answers = _nothing_kept
    signed: Signed = _as_it_is
    last_write: int = 0

    def wrote(self, seq: int) -> None:
        """Remember that this gateway has written ``seq``."""
        self.last_write = max(self.last_write, seq)

    async def caught_up(self) -> None:
        """Wait until the view has everything that this gateway wrote."""
        if self.view.seq < self.last_write:
            await self.view_reached(self.last_write)

    async def up_to_date(self) -> None:
        """Wait until the view has everything that anybody wrote before now."""
        last = await self.records.last_seq()
        if self.view.seq < last:
            await self.view_reached(last)

    async def find_job(self, text: str, namespace: str = "") -> JobView:
        """Find a job by its name in ``namespace``, its id, or a prefix of its id. Raises Refusal."""
        await self.caught_up()
        job = _find(self.view, text, namespace or DEFAULT_NAMESPACE)
        if job is None:
            await self.up_to_date()
            job = _find(self.view, text, namespace or DEFAULT_NAMESPACE)
        if job is None:
            raise refusals.job_not_found(text)
        return job


def _find(view: View, text: str, namespace: str) -> JobView | None:
    named = view.named(namespace, text)
    job = view.job(named or text)
    if job is not None or is_full(text) or not text:
        return job
    found = view.with_prefix(text)
    if len(found) > 1:
        raise refusals.several_jobs(text)
    return view.job(found[0]) if found else None


def evaluation_id(job_id: str, nonce: str, version: int, what: object = 0) -> str:
    """Name an evaluation as the public API does; derived, since nudges have no ids.

    ``what`` is the attempt that it led to (0: the first, which a submission answers with), or "stop".
    """
    return str(uuid5(_EVALUATIONS, "\0".join((job_id, nonce, str(version), str(what)))))
