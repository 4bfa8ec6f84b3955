"""The log stream of an execution: a websocket of text frames, one JSON object each.

The protocol is section 3 of the public API: ``{"value": {"Type": 1 | 2, "Line": …}, "error": …}``; close code
1000 is the normal end, any other close is a break. Nothing is ever sent.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from typing import NamedTuple
from urllib.parse import urlencode

from bacalhau_nats.client.transport import Transport, error_of, is_loopback, unreachable
from bacalhau_nats.errors import BacalhauError, Unavailable

_STREAMS = {1: "stdout", 2: "stderr"}
_OPEN_SECONDS = 15


class LogLine(NamedTuple):
    """A piece of output: ``stdout`` or ``stderr``, and its text, usually a line with its newline."""

    stream: str
    text: str


async def read(http: Transport, path: str, query: Mapping[str, str]) -> AsyncIterator[LogLine]:
    """Yield the pieces until the server says it is the end.

    Raises BacalhauError with the server's words for an error frame, Unavailable when the stream breaks off.
    """
    from websockets.asyncio.client import connect  # noqa: PLC0415 - loaded late: most commands need none
    from websockets.exceptions import ConnectionClosed, InvalidStatus, WebSocketException  # noqa: PLC0415

    asked = urlencode({key: value for key, value in query.items() if value})
    url = f"ws{http.base_url.removeprefix('http')}{path}{'?' if asked else ''}{asked}"
    try:
        async with connect(
            url,
            additional_headers=http.headers,
            user_agent_header=None,
            proxy=None if is_loopback(url) else True,
            compression=None,
            max_size=None,
            open_timeout=_OPEN_SECONDS,
            # A server may be too busy sending to answer a ping or a close: neither is waited for.
            ping_timeout=None,
            close_timeout=0.5,
        ) as socket:
            async for frame in socket:
                yield _parse(frame)
    except InvalidStatus as error:
        raise error_of(error.response.status_code, bytes(error.response.body or b"")) from error
    except ConnectionClosed as error:
        raise Unavailable(
            f"the log stream broke off ({error})", hint="the job goes on; read its logs again"
        ) from error
    except (OSError, TimeoutError, WebSocketException) as error:
        raise unreachable(http.base_url, str(error) or "no answer") from error


def _parse(frame: str | bytes) -> LogLine:
    try:
        found = json.loads(frame)
        failure = found.get("error")
        value = found.get("value") or {}
        line = LogLine(_STREAMS.get(int(value.get("Type") or 0), "stdout"), str(value.get("Line", "")))
    except (ValueError, TypeError, AttributeError) as error:
        raise BacalhauError(f"the server sent a log frame that cannot be read: {frame[:100]!r}") from error
    if failure:
        raise BacalhauError(f"the server cannot show the logs: {failure}")
    return line
