"""What the logic of a role asks of the world; `messaging` gives it, and so does a simulated world."""

from __future__ import annotations

from typing import Protocol

from bacalhau_nats.domain.facts import Fact, Key, Record
from bacalhau_nats.domain.ids import JobID, NodeID
from bacalhau_nats.domain.node import Heartbeat
from bacalhau_nats.messages import Bid, Decline, Offer, Wanted, WhatShouldIDo


class Records(Protocol):
    """Facts by compare-and-set. The revision is the stream sequence; 0 means: does not exist.

    Each write answers with the new revision. Raises Conflict when the record moved on (re-read, decide
    again), BusTimeout when the answer was lost and reading back did not settle it.
    """

    async def create(self, key: Key, record: Record) -> int:
        """Write the first value. For a DESIRED key: only if *no node* has this execution yet (the fence)."""
        ...

    async def update(self, key: Key, record: Record, revision: int) -> int:
        """Replace the value whose revision is ``revision``."""
        ...

    async def put(self, key: Key, record: Record) -> int:
        """Write whatever was there; for records with one writer (REPORT)."""
        ...

    async def get(self, key: Key) -> Fact | None:
        """Read the present value from the leader; None when there is none.

        A purged record is a Fact without a record for as long as its tombstone lies.
        """
        ...

    async def last_seq(self) -> int:
        """Give the sequence of the newest fact of the whole stream."""
        ...


class Sight(Protocol):
    """How far this process has followed the facts."""

    async def reached(self, seq: int, within: float) -> bool:
        """Wait until the view has folded the fact ``seq`` in; False when it has not ``within`` seconds."""
        ...


class Clock(Protocol):
    """Time, as an argument."""

    def now(self) -> float:
        """Seconds since the epoch: for what people and records see."""
        ...

    def monotonic(self) -> float:
        """Seconds that never go back: for windows and deadlines."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        ...


class RequesterBus(Protocol):
    """What a requester's logic says to others."""

    async def offer(self, node: NodeID, offer: Offer) -> None:
        """Send an Offer; the Bid or Decline comes back through the desk's `on_answer`."""
        ...

    async def nudge(self, job: JobID, seq: int, cause: str) -> None:
        """Ask any requester to look at a job."""
        ...

    async def roll_call(self) -> None:
        """Ask every node to send a heartbeat now."""
        ...


class ComputeBus(Protocol):
    """What a compute node's logic says to others."""

    async def heartbeat(self, beat: Heartbeat) -> None:
        """Send a Heartbeat."""
        ...

    async def answer(self, requester: str, answer: Bid | Decline) -> None:
        """Send a Bid or a Decline."""
        ...

    async def ask_wanted(self, question: WhatShouldIDo) -> Wanted:
        """Ask any requester what should be done: WhatShouldIDo → Wanted. Raises Unavailable."""
        ...
