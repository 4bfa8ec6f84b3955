"""Output of jobs on its way to the screen: as it is, or line by line with where and when it was printed.

Pieces of several executions come mixed, and a piece need not end where a line does, so lines are put together
for each execution and stream before anything is written in front of them.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from bacalhau_cli import notices, render
from bacalhau_nats.domain.ids import short

if TYPE_CHECKING:
    from bacalhau_nats.client import LogLine

_MOST = 64 * 1024
"""Characters of a line that never ends; then it is cut."""
_COLOURS = (36, 33, 32, 35, 34, 96, 93, 92, 95, 94)


@dataclass
class Lines:
    """Puts lines together. Pure."""

    _open: dict[tuple[str, str], LogLine] = field(default_factory=dict)

    def feed(self, piece: LogLine) -> Iterator[LogLine]:
        """Take a piece; give each line that it ends, with its line feed. A line has the time of its beginning."""
        row = (piece.execution_id, piece.stream)
        begun = self._open.pop(row, None)
        for text in _split(piece.text):
            whole = begun._replace(text=begun.text + text) if begun else piece._replace(text=text)
            if text.endswith("\n"):
                yield whole
                begun = None
            elif len(whole.text) > _MOST:
                yield whole._replace(text=whole.text + "\n")
                begun = None
            else:
                begun = whole
        if begun:
            self._open[row] = begun

    def rest(self) -> Iterator[LogLine]:
        """Give the lines that were not ended, each with a line feed."""
        for line in self._open.values():
            yield line._replace(text=line.text + "\n")
        self._open.clear()


def _split(text: str) -> list[str]:
    """Split behind each line feed; a carriage return (a progress bar's) ends no line."""
    parts = text.split("\n")
    return [*(f"{part}\n" for part in parts[:-1]), *([parts[-1]] if parts[-1] else [])]


def _writer(show: Callable[[LogLine], None]) -> Printer:
    lines = Lines()

    def take(piece: LogLine) -> None:
        for line in lines.feed(piece):
            show(line)

    def close() -> None:
        for line in lines.rest():
            show(line)

    return Printer(take, close)


@dataclass(frozen=True)
class Printer:
    """Writes pieces of output; ``close`` writes what is left."""

    take: Callable[[LogLine], None]
    close: Callable[[], None] = lambda: None


def printer(*, prefix: bool = False, timestamps: bool = False, as_json: bool = False) -> Printer:
    """Make the printer for how output is wanted: as it is, or with its execution, or its time, or as JSON lines."""
    if as_json:
        return _writer(_json)
    if not (prefix or timestamps):
        return Printer(lambda piece: render.raw(piece.text, stderr=piece.stream == "stderr"))
    colours: dict[str, int] = {}

    def show(line: LogLine) -> None:
        stderr = line.stream == "stderr"
        head = f"{_time(line.time)} " if timestamps else ""
        if prefix:
            colour = colours.setdefault(line.execution_id, _COLOURS[len(colours) % len(_COLOURS)])
            name = f"{short(line.execution_id)} | "
            out = sys.stderr if stderr else sys.stdout
            coloured = notices.colourful(tty=out.isatty())
            head = f"\x1b[{colour}m{name}\x1b[0m{head}" if coloured else name + head
        render.raw(head + line.text, stderr=stderr)

    return _writer(show)


def _json(line: LogLine) -> None:
    found: dict[str, object] = {
        "ExecutionID": line.execution_id,
        "Stream": line.stream,
        "Time": _time(line.time),
        "Line": line.text.removesuffix("\n"),
    }
    if line.seq:
        found["Seq"] = line.seq
    render.raw(json.dumps(found, ensure_ascii=False) + "\n")


def _time(nanoseconds: int) -> str:
    """Write a time to the millisecond, in UTC."""
    return f"{render.from_ns(nanoseconds):%Y-%m-%dT%H:%M:%S}.{nanoseconds // 1_000_000 % 1000:03d}Z"
