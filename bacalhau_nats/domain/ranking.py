"""Which of the nodes that could run an execution shall be asked first."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from zlib import crc32

from bacalhau_nats.domain import constraints
from bacalhau_nats.domain.ids import NodeID
from bacalhau_nats.domain.resources import Resources
from bacalhau_nats.domain.spec import Requirement


@dataclass(frozen=True, slots=True)
class Candidate:
    """A node that could run it, with what speaks for and against it.

    ``siblings`` counts live executions of the same job there, ``failures`` earlier attempts of the same
    slot that ended badly there, ``held`` the bytes of its inputs that lie there already.
    """

    node_id: NodeID
    free: Resources
    capacity: Resources
    siblings: int = 0
    failures: int = 0
    held: int = 0
    labels: Mapping[str, str] = field(default_factory=dict)


def rank(
    candidates: Iterable[Candidate],
    needs: Resources,
    *,
    salt: str,
    favours: tuple[Requirement, ...] = (),
) -> list[Candidate]:
    """Sort best first: not where it failed before, not beside siblings, favoured labels, its data, most room left.

    Bytes held count by their order of magnitude (powers of two), so that nodes that hold as good as the same
    share the load. ``salt`` (the execution's id) breaks ties, so that equal nodes share the load.
    """

    def score(candidate: Candidate) -> tuple[int, int, int, int, int, int]:
        liked = sum(
            constraints.match((r.but(key=r.key.removeprefix("favour_")),), candidate.labels) for r in favours
        )
        return (
            candidate.failures,
            candidate.siblings,
            -liked,
            -candidate.held.bit_length(),
            -_room_left(needs, candidate),
            crc32(f"{salt} {candidate.node_id}".encode()),
        )

    return sorted(candidates, key=score)


def _room_left(needs: Resources, candidate: Candidate) -> int:
    """Give the scarcest share left after placing, in tenths: coarse, so that near-equal nodes tie."""
    pairs = (
        (needs.milli_cpu, candidate.free.milli_cpu, candidate.capacity.milli_cpu),
        (needs.memory, candidate.free.memory, candidate.capacity.memory),
    )
    return min((10 * (free - need) // whole for need, free, whole in pairs if whole), default=0)
