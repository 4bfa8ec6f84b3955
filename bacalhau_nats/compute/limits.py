"""How long an execution may take."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from bacalhau_nats.domain.scheduling.common import go_duration
from bacalhau_nats.domain.spec import Task

T = TypeVar("T")


class TimedOut(Exception):
    """An execution took longer than it may."""


async def timed(run: Coroutine[Any, Any, T], task: Task) -> T:
    """Run for at most the task's time. Fetching inputs does not count, an image pull does."""
    limit = task.timeouts.effective_execution_timeout
    if not limit:
        return await run
    deadline = asyncio.timeout(limit)
    try:
        async with deadline:
            return await run
    except TimeoutError:
        if not deadline.expired():
            raise
        raise TimedOut(f"Execution timed out after {go_duration(limit)}") from None
