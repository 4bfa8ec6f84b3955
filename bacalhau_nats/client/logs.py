"""The log stream of a job: a websocket of text frames, one JSON object each.

The protocol is section 3 of the public API: ``{"value": {"Type": 1 | 2, "Line": …}, "error": …}``; close code
1000 is the normal end, any other close is a break. A server of ours is asked for ``details``: each frame then
says how far it reaches, so that a reader who follows can go on there after a break, with nothing lost and
nothing twice. A public server ignores that; its breaks are told to the caller.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncGenerator, Mapping
from typing import Any, NamedTuple, TypedDict
from urllib.parse import urlencode

from bacalhau_nats.client.transport import Transport, error_of, is_loopback, unreachable
from bacalhau_nats.client.watch import PATIENCE
from bacalhau_nats.errors import BacalhauError, Unavailable, UserError

_STREAMS = {1: "stdout", 2: "stderr"}
_OPEN_SECONDS = 15
_OURS = ("all_executions", "from_time", "from_seq")
_PAUSE = 0.2  # seconds between two tries


class LogLine(NamedTuple):
    """A piece of output: ``stdout`` or ``stderr``, and its text, usually a line with its newline.

    ``time`` is unix nanoseconds, ``seq`` the sequence in the log stream; 0 where the server does not say. A
    public server never says these, nor the execution.
    """

    stream: str
    text: str
    execution_id: str = ""
    time: int = 0
    seq: int = 0


class LogQuery(TypedDict, total=False):
    """What of a job's output is wanted.

    ``follow`` goes on until the execution ends, through a restart of the server, too; ``tail`` leaves out what was
    printed before. ``every`` reads all executions of the version. ``since`` is a time (``5m`` ago, unix seconds,
    RFC 3339), ``from_seq`` a sequence of the log stream; a public server knows none of the three.
    """

    execution_id: str
    follow: bool
    tail: bool
    version: int
    namespace: str
    every: bool
    since: str
    from_seq: int


_SPELLED = {"version": "job_version", "every": "all_executions", "since": "from_time"}


class _Reached:
    """How far the reading of one log got, by what the frames said."""

    def __init__(self, query: Mapping[str, str]) -> None:
        self._query = dict(query)
        self._positions: dict[str, dict[str, int]] = {}
        self.known = False

    def take(self, frame: Mapping[str, Any], line: LogLine) -> None:
        """Note what a frame says. Raises UserError when the server did not understand what only ours do."""
        if not self.known and "Since" not in frame and any(self._query.get(name) for name in _OURS):
            raise UserError(
                "the server cannot read all executions together, nor from a time or a sequence on",
                hint="it is none of bacalhau-nats: read one execution, whole",
            )
        if "Since" in frame:  # the first frame: what the server understood, to be said again
            self.known = True
            self._query.pop("tail", None)
            if frame["Since"]:
                self._query["from_time"] = str(int(frame["Since"]))
            if frame.get("ExecutionID"):
                self._query["execution_id"] = str(frame["ExecutionID"])
        if "Next" in frame:
            self._positions.setdefault(line.execution_id, {})[line.stream] = int(frame["Next"])

    def again(self) -> tuple[dict[str, str], str]:
        """Give the query and the first message with which to go on."""
        return {**self._query, "resume": "true"}, json.dumps(self._positions)


async def read(http: Transport, path: str, query: LogQuery) -> AsyncGenerator[LogLine, None]:
    """Yield the pieces until the server says it is the end.

    Who follows and loses the connection is connected again for 15 seconds, if the server tells positions.
    Raises BacalhauError with the server's words for an error frame, Unavailable when the stream breaks off.
    """
    given = {_SPELLED.get(key, key): value for key, value in query.items() if value}
    asked = {key: "true" if value is True else str(value) for key, value in given.items()} | {
        "details": "true"
    }
    first, deadline = "", 0.0
    reached = _Reached(asked)
    while True:
        try:
            with _translating(http.base_url):
                async with _connect(http, path, asked) as socket:
                    if first:
                        await socket.send(first)
                    async for raw in socket:
                        frame, line = _parse(raw)
                        deadline = 0.0
                        reached.take(frame, line)
                        if line.text:
                            yield line
        except Unavailable:
            deadline = deadline or time.monotonic() + PATIENCE
            if not (query.get("follow") and reached.known) or time.monotonic() > deadline:
                raise
        else:
            return
        await asyncio.sleep(_PAUSE)
        asked, first = reached.again()


def _connect(http: Transport, path: str, query: Mapping[str, str]) -> Any:
    from websockets.asyncio.client import connect  # noqa: PLC0415 - loaded late: most commands need none

    url = f"ws{http.base_url.removeprefix('http')}{path}?{urlencode(query)}"
    return connect(
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
    )


class _translating:  # noqa: N801 - used as a statement, like contextlib's
    """Turn what the websocket library raises into our errors."""

    def __init__(self, url: str) -> None:
        self._url = url

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        from websockets.exceptions import ConnectionClosed, InvalidStatus, WebSocketException  # noqa: PLC0415

        match error:
            case InvalidStatus():
                raise error_of(error.response.status_code, bytes(error.response.body or b"")) from error
            case ConnectionClosed():
                raise Unavailable(
                    f"the log stream broke off ({error})", hint="the job goes on; read its logs again"
                ) from error
            case OSError() | TimeoutError() | WebSocketException():
                raise unreachable(self._url, str(error) or "no answer") from error


def _parse(raw: str | bytes) -> tuple[dict[str, Any], LogLine]:
    try:
        frame = json.loads(raw)
        failure = frame.get("error")
        value = frame.get("value") or {}
        line = LogLine(
            _STREAMS.get(int(value.get("Type") or 0), "stdout"),
            str(value.get("Line", "")),
            str(frame.get("ExecutionID", "")),
            int(frame.get("Time") or 0),
            int(frame.get("Seq") or 0),
        )
    except (ValueError, TypeError, AttributeError) as error:
        raise BacalhauError(f"the server sent a log frame that cannot be read: {raw[:100]!r}") from error
    if failure:
        raise BacalhauError(f"the server cannot show the logs: {failure}")
    return frame, line
