"""Where reading output begins, and what is read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from bacalhau_nats.messages import LogChunk

Positions = Mapping[tuple[str, str], int]
"""How many bytes of each (execution, stream) a reader has already."""


@dataclass(frozen=True, slots=True)
class LogStart:
    """From where output is wanted: all of it, unless something is said.

    ``since`` is unix nanoseconds by the clock of the node that wrote it, ``seq`` a sequence of the log stream.
    Both leave out whole chunks: what a chunk holds was printed within moments.
    """

    since: int = 0
    seq: int = 0
    positions: Positions = field(default_factory=dict)


class LogEntry(NamedTuple):
    """A chunk, and its sequence in the log stream; 0 where it was heard before it was read there."""

    seq: int
    chunk: LogChunk
