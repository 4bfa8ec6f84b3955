"""Try again what may work later."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

from bacalhau_nats.clients.s3_errors import S3Failed

LONGEST_WAIT = 30.0
_MOVED = 1024 * 1024  # bytes; a try that got so far has not failed in vain
_T = TypeVar("_T")


def _still() -> int:
    return 0


@dataclass(frozen=True, slots=True)
class Patience:
    """``tries`` in all, ``wait`` seconds before the second; the pause doubles each time, up to half a minute."""

    tries: int
    wait: float

    async def until_done(
        self,
        attempt: Callable[[], Awaitable[_T]],
        say: Callable[[str], Awaitable[None]],
        progress: Callable[[], int] = _still,
    ) -> _T:
        """Call ``attempt`` until it works. Raises the S3Failed that no further try can help, or the last one.

        ``say`` is told of each failure. ``progress`` is how many bytes are there: tries that add to them do not
        count, so that a large object comes through a bad line.
        """
        failures, reached = 0, progress()
        while True:
            try:
                return await attempt()
            except S3Failed as failed:
                if not failed.again:
                    raise
                failures = 1 if progress() >= reached + _MOVED else failures + 1
                reached = max(reached, progress())
                if failures >= self.tries:
                    tries = f"{failures} tries" if failures > 1 else "one try"
                    raise S3Failed(
                        f"{failed} (gave up after {tries})", again=True, hint=failed.hint
                    ) from failed
                pause = min(self.wait * 2 ** (failures - 1), LONGEST_WAIT)
                await say(f"{failed}; trying again in {pause:g} s")
                await asyncio.sleep(pause)
