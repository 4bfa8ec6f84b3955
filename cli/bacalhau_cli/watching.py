"""``job watch``: a job's state, where it runs and what it prints last, until it is over.

On a terminal it is a picture that is redrawn; anywhere else a line, or a JSON object, for each change of a state.
What is shown comes from looking again after each event, so that a watcher who missed some is right again with the
next look, through a restart of the server, too.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections import deque
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, nullcontext, suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Protocol

from bacalhau_cli import render
from bacalhau_cli.loglines import Lines
from bacalhau_cli.progress import STATE_WORDS, Picture
from bacalhau_nats.client.wire import compute_state, job_state
from bacalhau_nats.domain.ids import short
from bacalhau_nats.errors import BacalhauError, Unavailable

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from bacalhau_nats.client import Client, Execution, HistoryItem, Job, JobDetails, LogLine

_REFRESH = 0.2
_LAST_LINES_SECONDS = 2.0
_GOING_WELL = frozenset(
    {"New", "AskForBid", "AskForBidAccepted", "BidAccepted", "Running", "Publishing", "Completed"}
)
_COLOURS = ("cyan", "yellow", "green", "magenta", "blue")


class Screen(Protocol):
    """Shows a job that is watched."""

    output: bool
    """Whether it shows what the job prints."""

    def open(self) -> AbstractContextManager[Any]:
        """Show it from here to the end of the context."""
        ...

    def event(self, item: HistoryItem) -> None:
        """Take an event."""
        ...

    def look(self, job: Job, executions: Sequence[Execution]) -> None:
        """Take how things stand."""
        ...

    def piece(self, piece: LogLine) -> None:
        """Take a piece of output."""
        ...


async def watch(client: Client, details: JobDetails, *, lines: int, as_json: bool) -> str:
    """Show a job until it is over, from ``details`` on; give the state it ended in."""
    job = details["Job"]
    job_id, version = job["ID"], job.get("Version", 0)
    picture = sys.stdout.isatty() and not as_json
    screen: Screen = _Board(job, lines) if picture else _Changes(as_json=as_json)
    stale = asyncio.Event()

    async def look() -> str:
        found = await client.get(job_id, version=version, include=("executions",))
        screen.look(found["Job"], found.get("Executions", {}).get("Items") or [])
        return job_state(found["Job"])

    async def keep_looking() -> None:
        while True:
            await stale.wait()
            stale.clear()
            with suppress(Unavailable):  # away for a moment; the next event brings the next look
                await look()
            await asyncio.sleep(_REFRESH)

    async def read() -> None:
        with suppress(BacalhauError):  # what cannot be read is missed here, and told by `job logs`
            async for piece in client.logs(job_id, follow=True, version=version, every=True):
                screen.piece(piece)

    with screen.open():
        screen.look(job, details.get("Executions", {}).get("Items") or [])
        async with _beside(keep_looking()), _beside(read() if screen.output and lines else None) as reading:
            async for item in client.follow(job_id, version=version):
                screen.event(item)
                stale.set()
            if reading is not None:
                await asyncio.wait({reading}, timeout=_LAST_LINES_SECONDS)
        return await look()


@asynccontextmanager
async def _beside(work: Any) -> AsyncIterator[asyncio.Task[None] | None]:
    """Run work beside what is in the context, and end it with that."""
    if work is None:
        yield None
        return
    task: asyncio.Task[None] = asyncio.create_task(work)
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


# --- a line for each change ------------------------------------------------------------------------------


def changes(known: dict[str, str], job: Job, executions: Sequence[Execution]) -> Iterator[dict[str, str]]:
    """Give what is not as in ``known`` (state by id), and note it there. Pure but for that."""
    message = str(job.get("State", {}).get("Message") or "")
    own = {"JobID": job.get("ID", ""), "State": job_state(job), "Message": message}
    rows = [
        {
            "JobID": job.get("ID", ""),
            "ExecutionID": one.get("ID", ""),
            "NodeID": one.get("NodeID", ""),
            "State": compute_state(one),
            "Message": str(one.get("ComputeState", {}).get("Message") or ""),
        }
        for one in executions
    ]
    # What happened to executions comes before what that made of the job.
    for row in [*rows, own] if known else [own, *rows]:
        key = row.get("ExecutionID") or row["JobID"]
        if known.get(key) != row["State"]:
            known[key] = row["State"]
            yield row


class _Changes:
    output = False

    def __init__(self, *, as_json: bool) -> None:
        self._as_json = as_json
        self._known: dict[str, str] = {}

    def open(self) -> AbstractContextManager[Any]:
        return nullcontext()

    def event(self, item: HistoryItem) -> None:
        """Wait for the look that follows."""

    def piece(self, piece: LogLine) -> None:
        """Show states only."""

    def look(self, job: Job, executions: Sequence[Execution]) -> None:
        now = datetime.now(UTC)
        for row in changes(self._known, job, executions):
            if self._as_json:
                time = now.isoformat(timespec="milliseconds").replace("+00:00", "Z")
                render.raw(json.dumps({"Time": time, **row}, ensure_ascii=False) + "\n")
                continue
            where = f"{short(row['ExecutionID'])} on {short(row['NodeID'])}" if "NodeID" in row else "job"
            bad = row["State"] not in _GOING_WELL
            message = f": {' '.join(row['Message'].split())}" if row["Message"] and bad else ""
            line = f"{now:%H:%M:%S}  {where:<24}  {STATE_WORDS.get(row['State'], row['State'])}{message}"
            render.raw(render.printable(line) + "\n")


# --- the picture -----------------------------------------------------------------------------------------


class _Board:
    output = True

    def __init__(self, job: Job, lines: int) -> None:
        name = job.get("Name", "")
        self._picture = Picture(job["ID"], name="" if name == job["ID"] else name)
        self._lines = Lines()
        self._last: deque[LogLine] = deque(maxlen=max(1, lines))
        self._colours: dict[str, str] = {}

    @contextmanager
    def open(self) -> Iterator[None]:
        from rich.live import Live  # noqa: PLC0415 - only for people

        with Live(self, console=render.console(), refresh_per_second=8):
            try:
                yield
            finally:
                self._last.extend(self._lines.rest())

    def event(self, item: HistoryItem) -> None:
        self._picture.event(item)

    def look(self, job: Job, executions: Sequence[Execution]) -> None:
        self._picture.job, self._picture.executions = job, list(executions)

    def piece(self, piece: LogLine) -> None:
        self._last.extend(self._lines.feed(piece))

    def __rich__(self) -> Any:
        from rich.console import Group  # noqa: PLC0415 - only for people
        from rich.text import Text  # noqa: PLC0415

        if not self._last:
            return self._picture
        shown: list[Any] = [self._picture, Text("\n  LAST OUTPUT", "dim")]
        for line in self._last:
            colour = self._colours.setdefault(line.execution_id, _COLOURS[len(self._colours) % len(_COLOURS)])
            text = Text.assemble(
                (f"  {short(line.execution_id)} │ ", colour), no_wrap=True, overflow="ellipsis"
            )
            text.append(render.printable(line.text.rstrip("\n")), "red" if line.stream == "stderr" else "")
            shown.append(text)
        return Group(*shown)
