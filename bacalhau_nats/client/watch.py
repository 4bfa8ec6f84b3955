"""Watch a job: ask often at first, then less, and bear with a server that is away for a moment."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TypeVar

from bacalhau_nats.client.wire import TERMINAL_JOB_STATES, HistoryItem, Job, Page, job_state
from bacalhau_nats.errors import Unavailable

T = TypeVar("T")

PAGE = 100
"""Events asked for at once."""

PATIENCE = 15.0
"""Seconds a server that has answered before may be unreachable: it is restarted, or another takes over."""

_FIRST_LOOK = 0.02
_LAST_LOOK = 0.5


async def events(ask: Callable[[str], Awaitable[Page[HistoryItem]]]) -> AsyncIterator[HistoryItem]:
    """Give each event that ``ask`` (by paging token) has, until a page comes without a token."""
    page, pause = await ask(""), _FIRST_LOOK
    while True:
        for item in page["Items"]:
            yield item
        token = page["NextToken"]
        if not token:
            return
        pause = _FIRST_LOOK if page["Items"] else longer(pause)
        await asyncio.sleep(pause)
        page = await _patiently(lambda token=token: ask(token))  # type: ignore[misc]  # mypy cannot infer it


async def end(look: Callable[[], Awaitable[Job]]) -> Job:
    """Look at a job until it is over, and give it."""
    job, pause = await look(), _FIRST_LOOK
    while job_state(job) not in TERMINAL_JOB_STATES:
        await asyncio.sleep(pause)
        job, pause = await _patiently(look), longer(pause)
    return job


def longer(pause: float) -> float:
    """Give the next pause, in seconds."""
    return min(_LAST_LOOK, pause * 1.5)


async def _patiently(ask: Callable[[], Awaitable[T]]) -> T:
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            return await ask()
        except Unavailable:
            if time.monotonic() > deadline:
                raise
            await asyncio.sleep(_LAST_LOOK)
