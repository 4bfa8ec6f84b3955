"""What is shown while something takes its time: a job that runs, results that are fetched.

Progress goes to stderr, so that stdout holds nothing but data. On a terminal it is a picture that is redrawn:
the job's state and a line for each execution. Anywhere else it is a row for each event, as it happens.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from typing import TYPE_CHECKING, Any, Protocol

from bacalhau_cli import columns, notices, render
from bacalhau_nats.client.wire import TERMINAL_COMPUTE_STATES, compute_state, job_state
from bacalhau_nats.domain.ids import short
from bacalhau_nats.errors import Unavailable

if TYPE_CHECKING:
    from bacalhau_nats.client import Client, Execution, HistoryItem, Job, Progress

_WIDTHS = (12, 10, 22)
_MAX_ROWS = 10
_REFRESH = 0.25
STATE_WORDS = {
    "New": "Waiting",
    "AskForBid": "Waiting",
    "AskForBidAccepted": "Starting",
    "AskForBidRejected": "Declined",
    "BidRejected": "Declined",
    "BidAccepted": "Running",
}
"""States of executions that people read more easily under another name."""
_STYLES = {"Running": "cyan", "Completed": "green", "Failed": "red", "Declined": "dim", "Cancelled": "yellow"}


class View(Protocol):
    """Shows a job while it runs."""

    def event(self, item: HistoryItem) -> None:
        """Take an event."""
        ...

    def close(self) -> None:
        """Show what is left to show."""
        ...


async def watch(
    client: Client,
    job_id: str,
    *,
    version: int = 0,
    endless: bool = False,
    grouped: bool = False,
    quiet: bool = False,
) -> None:
    """Show a job until it is over; one that never ends until its first execution has begun."""
    if quiet or notices.quiet():
        await _drain(client, job_id, version, _Silent(), endless=endless)
    elif notices.animated():
        await _watch_live(client, job_id, version, endless=endless)
    else:
        view = _Rows(grouped=grouped)
        try:
            await _drain(client, job_id, version, view, endless=endless)
        finally:
            view.close()


async def _drain(client: Client, job_id: str, version: int, view: View, *, endless: bool) -> None:
    async for item in client.follow(job_id, version=version):
        view.event(item)
        if endless and item.get("Type") == "ExecutionLevel":
            return


class _Silent:
    def event(self, item: HistoryItem) -> None:
        """Show nothing."""

    def close(self) -> None:
        """Show nothing."""


class _Rows:
    """A row for each event that tells something; or, grouped, for the last event of each execution."""

    def __init__(self, *, grouped: bool) -> None:
        self._grouped = grouped
        self._last: dict[str, HistoryItem] = {}
        self._begun = False

    def event(self, item: HistoryItem) -> None:
        if self._grouped:
            self._last[item.get("ExecutionID", "")] = item
        elif self._tells(item):
            self._row(item)

    def close(self) -> None:
        # The job's own row comes last: what happened to its executions made it.
        for _, item in sorted(self._last.items(), key=lambda pair: not pair[0]):
            self._row(item)

    def _tells(self, item: HistoryItem) -> bool:
        details = (item.get("Event") or {}).get("Details") or {}
        return (
            not self._begun
            or item.get("Type") == "ExecutionLevel"
            or details.get("IsError") == "true"
            or columns.topic(item) in ("Queueing", "Job Timeout")
        )

    def _row(self, item: HistoryItem) -> None:
        if not self._begun:
            self._line("TIME", "EXEC. ID", "TOPIC", "EVENT")
            self._begun = True
        event = item.get("Event") or {}
        moment = render.from_text(event.get("Timestamp", "")) or render.from_text(item.get("Time", ""))
        shown = moment.strftime("%H:%M:%S.%f")[:-3] if moment else ""
        text = " ".join(columns.event_text(item).split())
        self._line(shown, short(item.get("ExecutionID", "")), columns.topic(item), text)

    def _line(self, *cells: str) -> None:
        padded = [cell.ljust(width) for cell, width in zip(cells, _WIDTHS, strict=False)]
        notices.say("  ".join([*padded, cells[-1]]))


class Picture:
    """The job and its executions as they are now, for `rich`."""

    def __init__(self, job_id: str, *, name: str = "") -> None:
        self._job_id = job_id
        self._name = name
        self._began = time.monotonic()
        self._last: dict[str, str] = {}
        self._note = ""
        self.job: Job = {}
        self.executions: list[Execution] = []
        self.stale = True

    def event(self, item: HistoryItem) -> None:
        """Note what happened last."""
        self.stale = True
        text = " ".join(columns.event_text(item).split())
        if item.get("ExecutionID"):
            self._last[item["ExecutionID"]] = text
        else:
            self._note = text

    def close(self) -> None:
        """The last picture stays."""

    def __rich__(self) -> Any:
        from rich.console import Group  # noqa: PLC0415 - only for people
        from rich.table import Table  # noqa: PLC0415
        from rich.text import Text  # noqa: PLC0415

        state = job_state(self.job) if self.job else "Submitted"
        head = Text.assemble(
            ("Job ", "bold"), (short(self._job_id), "bold"), "  ", (state, _STYLES.get(state, "yellow"))
        )
        if self._name:
            head.append(f"  {render.printable(self._name)}", "dim")
        head.append(f"  {int(time.monotonic() - self._began)}s", "dim")
        states = Counter(state_word(execution) for execution in self.executions)
        if len(self.executions) > 1:
            head.append("  " + ", ".join(f"{count} {word.lower()}" for word, count in states.items()), "dim")
        if not self.executions or state in ("Queued", "Failed"):
            return Group(
                head, Text(f"  {self._note}", "dim"), *([self._rows(Table, Text)] if self.executions else [])
            )
        return Group(head, self._rows(Table, Text))

    def _rows(self, table: Any, text: Any) -> Any:
        rows = table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
        for name in ("  EXECUTION", "NODE", "STATE", "LAST EVENT"):
            rows.add_column(name, no_wrap=name != "LAST EVENT")
        # Those that still move come first.
        ordered = sorted(self.executions, key=lambda e: compute_state(e) in TERMINAL_COMPUTE_STATES)
        for execution in ordered[:_MAX_ROWS]:
            word = state_word(execution)
            rows.add_row(
                f"  {short(execution.get('ID', ''))}",
                short(execution.get("NodeID", "")),
                text(word, _STYLES.get(word, "")),
                text(self._last.get(execution.get("ID", ""), ""), "dim"),
            )
        if len(ordered) > _MAX_ROWS:
            rows.add_row(f"  and {len(ordered) - _MAX_ROWS} more")
        return rows


def state_word(execution: Execution) -> str:
    """Say in a word, for people, how an execution stands."""
    state = compute_state(execution)
    return STATE_WORDS.get(state, state)


async def _watch_live(client: Client, job_id: str, version: int, *, endless: bool) -> None:
    from rich.live import Live  # noqa: PLC0415 - only for people

    picture = Picture(job_id)

    async def refresh() -> None:
        picture.stale = False
        details = await client.get(job_id, include=("executions",))
        picture.job = details["Job"]
        picture.executions = details.get("Executions", {}).get("Items") or []

    async def keep_fresh() -> None:
        while True:
            if picture.stale:
                with suppress(Unavailable):  # away for a moment: the next event brings the next look
                    await refresh()
            await asyncio.sleep(_REFRESH)

    with Live(picture, console=render.console(stderr=True), refresh_per_second=8):
        refresher = asyncio.create_task(keep_fresh(), name="refresh the picture of the job")
        try:
            await _drain(client, job_id, version, picture, endless=endless)
        finally:
            refresher.cancel()
            await asyncio.gather(refresher, return_exceptions=True)
        await refresh()


def downloads() -> AbstractContextManager[Callable[[Progress], None]]:
    """Show how far each download is: bars on a terminal, nothing elsewhere."""
    return _bars() if notices.animated() else nullcontext(lambda _: None)


@contextmanager
def _bars() -> Iterator[Callable[[Progress], None]]:
    from rich.progress import BarColumn, DownloadColumn, TextColumn, TransferSpeedColumn  # noqa: PLC0415
    from rich.progress import Progress as Bars  # noqa: PLC0415

    parts = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Bars(*parts, console=render.console(stderr=True), transient=True) as bars:
        tasks: dict[str, Any] = {}

        def show(at: Progress) -> None:
            if at.name not in tasks:
                tasks[at.name] = bars.add_task(at.name)
            bars.update(tasks[at.name], completed=at.done, total=at.total or None)

        yield show
