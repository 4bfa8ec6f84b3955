"""What a node saw of its executions, stored by compare-and-set, however long the bus is away."""

from __future__ import annotations

import logging
from dataclasses import dataclass

from bacalhau_nats.domain.execution import TERMINAL, Desired, ExecutionState, Observed, Reason, Wish
from bacalhau_nats.domain.facts import observed_key
from bacalhau_nats.domain.ids import NodeID
from bacalhau_nats.errors import Conflict, Unavailable
from bacalhau_nats.ports import Clock, Records

log = logging.getLogger(__name__)
_RETRY = 0.5  # seconds between tries


@dataclass(slots=True)
class Reporter:
    """The one writer of this node's observed records."""

    me: NodeID
    instance: str
    records: Records
    clock: Clock
    completed: int = 0
    """How many executions of this life have completed."""
    _count: int = 0

    async def begin(self, first: Observed) -> int:
        """Create the first record of an execution and give its revision.

        0 means: do not start it, an earlier life of this node began it. Raises Unavailable when it is not
        certain that the record is stored: not started either; catching up settles what became of it.
        """
        while True:
            try:
                return await self.records.create(observed_key(first.execution_id, self.me), first)
            except Conflict:
                return 0
            except Unavailable as error:
                if first.state not in TERMINAL:
                    raise
                log.warning("cannot report %s yet: %s", first.execution_id, error.message)
                await self.clock.sleep(_RETRY)

    async def store(self, record: Observed, revision: int) -> int:
        """Replace this node's record of an execution; give the new revision.

        0 means that it cannot be replaced (any more): it is terminal, or another life of this node wrote it.
        """
        key = observed_key(record.execution_id, self.me)
        self.completed += record.state is ExecutionState.COMPLETED
        while True:
            try:
                return await self.records.update(key, record, revision)
            except Conflict:
                settled, revision = await self._moved_on(record, revision)
                if settled:
                    return revision
            except Unavailable as error:
                log.warning("cannot report %s yet: %s", record.execution_id, error.message)
            await self.clock.sleep(_RETRY)

    async def _moved_on(self, record: Observed, revision: int) -> tuple[bool, int]:
        """Find out who moved the record on: whether that settles it, and the revision to go on from."""
        try:
            fact = await self.records.get(observed_key(record.execution_id, self.me))
        except Unavailable:
            return False, revision
        if fact is None or not isinstance(fact.record, Observed):
            return True, 0
        if fact.record.nonce == record.nonce:
            return True, fact.seq  # an earlier try was stored, only its answer was lost
        if fact.record.instance == self.instance and fact.record.state not in TERMINAL:
            return False, fact.seq  # an earlier step of ours was stored, and its answer was not waited for
        log.warning("%s was reported by another life of this node", record.execution_id)
        return True, 0

    def seen(
        self,
        desired: Desired,
        state: ExecutionState,
        reason: Reason = Reason.NONE,
        message: str = "",
        *,
        retryable: bool = False,
    ) -> Observed:
        """Build a record of what was seen."""
        return Observed(
            execution_id=desired.execution_id,
            job_id=desired.job_id,
            node_id=self.me,
            instance=self.instance,
            state=state,
            reason=reason,
            message=message,
            retryable=retryable,
            nonce=self.nonce(),
        )

    def nonce(self) -> str:
        """Give a word that no other write has."""
        self._count += 1
        return f"{self.instance}-{self._count}"

    def declined(self, desired: Desired, reason: Reason, message: str) -> Observed:
        """Say that an assignment could not be taken; it counts as no attempt."""
        return self.seen(desired, ExecutionState.DECLINED, reason, message, retryable=True)

    def cancelled(self, desired: Desired) -> Observed:
        """Say that an execution was stopped on request."""
        message = desired.message if desired.wish is not Wish.RUN else ""
        return self.seen(desired, ExecutionState.CANCELLED, Reason.STOPPED, message or "stopped on request")

    def lost_at_restart(self, desired: Desired, message: str) -> Observed:
        """Say that an execution did not survive this node's restart; another try is worth it."""
        return self.seen(desired, ExecutionState.FAILED, Reason.LOST_AT_RESTART, message, retryable=True)
