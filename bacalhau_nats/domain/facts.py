"""The records everybody may follow: who writes which, under which key.

==============  ==========================================  ==========  ===============================
Kind            Key (after ``bacalhau.<cell>.``)             Writer      Rule
==============  ==========================================  ==========  ===============================
SPEC            ``job.<job>.spec``                           gateway     compare-and-set
WAITING         ``job.<job>.waiting.<version>``              requester   create once
CONCLUSION      ``job.<job>.conclusion.<version>``           requester   create once
DESIRED         ``execution.<execution>.desired.<node>``     requester   create once over all nodes, then
                                                                         run → stop → abandoned
OBSERVED        ``execution.<execution>.observed.<node>``    that node   compare-and-set, see `execution`
REPORT          ``node.<node>.report``                       that node   on change, last write wins
MEMBERSHIP      ``node.<node>.membership``                   gateway     compare-and-set
==============  ==========================================  ==========  ===============================

A `Key` names one record; a `Fact` is one accepted value of it. The stream sequence is the revision.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

from bacalhau_nats.domain.execution import Desired, Observed
from bacalhau_nats.domain.ids import NodeID
from bacalhau_nats.domain.job import Alias, Conclusion, Waiting
from bacalhau_nats.domain.model import Model
from bacalhau_nats.domain.node import Membership, NodeReport
from bacalhau_nats.domain.spec import JobSpec


class Kind(StrEnum):
    """Which record a fact is a value of."""

    SPEC = "spec"
    WAITING = "waiting"
    CONCLUSION = "conclusion"
    DESIRED = "desired"
    OBSERVED = "observed"
    REPORT = "report"
    MEMBERSHIP = "membership"


Record = JobSpec | Alias | Waiting | Conclusion | Desired | Observed | NodeReport | Membership

RECORD_TYPES: dict[str, type[Model]] = {
    model.__name__: model
    for model in (JobSpec, Alias, Waiting, Conclusion, Desired, Observed, NodeReport, Membership)
}
"""By the name that a message carries in its type header."""


class Key(NamedTuple):
    """One record: its kind, whose it is, and the last token where there is one (a node or a version)."""

    kind: Kind
    owner: str  # a job, execution or node id
    part: str = ""  # node id for DESIRED and OBSERVED, version for WAITING and CONCLUSION


@dataclass(frozen=True, slots=True)
class Fact:
    """A value that the state stream has accepted.

    ``seq`` is the stream sequence and the record's revision; ``time`` is when the stream stored it, in
    unix nanoseconds. ``record`` is None when the record was purged. ``raw`` is the payload as it was
    stored, so that a finished job can be kept small without being written out again.
    """

    key: Key
    seq: int
    time: int
    record: Record | None
    raw: bytes = field(default=b"", compare=False, repr=False)


def spec_key(job: str) -> Key:
    """Name the wish of a job."""
    return Key(Kind.SPEC, job)


def conclusion_key(job: str, version: int) -> Key:
    """Name the conclusion of one version of a job."""
    return Key(Kind.CONCLUSION, job, str(version))


def waiting_key(job: str, version: int) -> Key:
    """Name the note that one version of a job had to queue."""
    return Key(Kind.WAITING, job, str(version))


def desired_key(execution: str, node: str) -> Key:
    """Name what is wanted of an execution on a node."""
    return Key(Kind.DESIRED, execution, node)


def observed_key(execution: str, node: str) -> Key:
    """Name what a node saw of an execution."""
    return Key(Kind.OBSERVED, execution, node)


def report_key(node: NodeID | str) -> Key:
    """Name what a node says of itself."""
    return Key(Kind.REPORT, node)


def membership_key(node: NodeID | str) -> Key:
    """Name what was decided about a node."""
    return Key(Kind.MEMBERSHIP, node)
