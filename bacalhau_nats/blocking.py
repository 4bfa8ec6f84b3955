"""Blocking work in a thread that ends when its caller is cancelled."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

_T = TypeVar("_T")


async def in_thread(work: Callable[[Callable[[], bool]], _T]) -> _T:
    """Run ``work(stopped)`` in a thread and give its result.

    A thread cannot be cancelled: ``work`` asks ``stopped()`` now and then, and ends soon after it says yes.
    On cancellation this waits for that end, so that nothing writes into a folder that is being removed.
    """
    stop = threading.Event()
    running = asyncio.ensure_future(asyncio.to_thread(work, stop.is_set))
    try:
        return await asyncio.shield(running)
    except asyncio.CancelledError:
        stop.set()
        with suppress(Exception):  # whatever stopping raised is no longer of interest
            await asyncio.shield(running)
        raise
