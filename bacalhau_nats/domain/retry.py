"""May we try again, and when.

What a job does wrong is tried ``max_attempts`` times with a growing pause. What happens to a job (its
node went away or restarted) is not its fault: such attempts have a limit of their own, wide enough for a
rolling restart of a cluster, and no pause. A failure that no other try can mend ends it at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from bacalhau_nats.domain.execution import ExecutionState, Reason
from bacalhau_nats.domain.jobview import ExecutionView

_SECOND = 1_000_000_000
_PATIENCE = 3  # declined assignments in a row that are tried again without a pause


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """Limits; ``backoff`` and ``backoff_limit`` in seconds, the pause doubles from one to the other."""

    max_attempts: int = 3
    max_losses: int = 20
    backoff: float = 1.0
    backoff_limit: float = 60.0


class Answer(StrEnum):
    """What to do about a slot whose attempts so far did not succeed."""

    NOW = "now"
    LATER = "later"
    NEVER = "never"


@dataclass(frozen=True, slots=True)
class Retry:
    """``at`` is unix seconds, for LATER; ``cause`` is the attempt that decided, for NEVER."""

    answer: Answer
    at: float = 0.0
    cause: ExecutionView | None = None


def lost(execution: ExecutionView) -> bool:
    """Say whether the attempt ended through no fault of the job: its node went away, or it was taken back."""
    observed = execution.observed
    return execution.state in (ExecutionState.LOST, ExecutionState.CANCELLED) or (
        execution.state is ExecutionState.FAILED
        and observed is not None
        and observed.reason is Reason.LOST_AT_RESTART
    )


def counts(execution: ExecutionView) -> bool:
    """Say whether an ended attempt was one: a declined assignment was not."""
    return execution.terminal and execution.state is not ExecutionState.DECLINED


def decide(ended: Sequence[ExecutionView], policy: RetryPolicy, now: float, *, endless: bool) -> Retry:
    """Decide from the ended attempts of one slot, oldest first. An endless job never gives up on exits."""
    tries = [e for e in ended if counts(e)]
    declines = len(ended) - max((n for n, e in enumerate(ended, 1) if counts(e)), default=0)
    if declines >= _PATIENCE:
        # A node that bids and then has no room after all must not be asked as fast as auctions run.
        return _not_before(ended[-1], policy, declines - _PATIENCE, now)
    faults = [e for e in tries if not lost(e)]
    if not tries:
        return Retry(Answer.NOW)
    hopeless = next((e for e in faults if _hopeless(e)), None)
    if hopeless is not None:
        return Retry(Answer.NEVER, cause=hopeless)
    if len(tries) - len(faults) >= policy.max_losses:
        return Retry(Answer.NEVER, cause=tries[-1])
    if faults and not endless and len(faults) >= policy.max_attempts:
        return Retry(Answer.NEVER, cause=faults[-1])
    if not faults or lost(tries[-1]):
        return Retry(Answer.NOW)
    return _not_before(faults[-1], policy, len(faults) - 1, now)


def _not_before(last: ExecutionView, policy: RetryPolicy, doublings: int, now: float) -> Retry:
    pause = min(policy.backoff_limit, policy.backoff * 2 ** min(doublings, 16))
    at = last.modified / _SECOND + pause
    return Retry(Answer.NOW) if at <= now else Retry(Answer.LATER, at=at)


def _hopeless(execution: ExecutionView) -> bool:
    return (
        execution.state is ExecutionState.FAILED
        and execution.observed is not None
        and not execution.observed.retryable
    )
