"""Waiting for something to become true, with a deadline instead of a sleep."""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable
from typing import Any


async def eventually(check: Callable[[], Any | Awaitable[Any]], within: float = 5.0) -> Any:
    """Ask again and again until ``check`` gives something true, and give that; fail after ``within`` seconds.

    An AssertionError inside ``check`` counts as "not yet" and is what the failure shows.
    """
    deadline = time.monotonic() + within
    while True:
        try:
            result = check()
            if inspect.isawaitable(result):
                result = await result
            if result:
                return result
            problem = AssertionError(f"not true within {within} s: {check}")
        except AssertionError as error:
            problem = error
        if time.monotonic() > deadline:
            raise problem
        await asyncio.sleep(0.005)
