"""Data on stdout: tables, csv, json, yaml. The only room, beside `progress`, that draws.

A table on a terminal is drawn with rich and wraps; anywhere else it is plain text, one line per row, so that
it can be cut and searched. Ids are shortened to eight digits and times to the second in tables, unless
``--wide``; csv, json and yaml always carry everything.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from bacalhau_cli.notices import colourful
from bacalhau_nats.domain.ids import short
from bacalhau_nats.errors import UserError

_ESCAPES = str.maketrans(
    {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026", "\u2028": "\\u2028", "\u2029": "\\u2029"}
)
_CONTROL = dict.fromkeys((*range(32), *range(127, 160)), "�") | str.maketrans("\n\t\r", "\n\t ")
_GAP = 2  # blanks between columns
_NARROWEST = 20  # a column is not folded into less
_NOBODYS_WIDTH = 10_000  # of what is no terminal and gets colours all the same
_STATES = ("STATE", "STATUS", "APPROVAL")
_STATE_COLOURS = {
    "Completed": "green",
    "CONNECTED": "green",
    "APPROVED": "green",
    "Running": "cyan",
    "BidAccepted": "cyan",
    "Failed": "red",
    "DISCONNECTED": "red",
    "REJECTED": "red",
    "Stopped": "yellow",
    "Cancelled": "yellow",
    "Queued": "yellow",
    "CORDONED": "yellow",
    "DRAINING": "yellow",
    "DRAINED": "yellow",
    "PENDING": "yellow",
}


@dataclass(frozen=True)
class Output:
    """How the user wants to see data."""

    form: str = "table"
    pretty: bool = False
    hide_header: bool = False
    no_style: bool = False
    wide: bool = False


@dataclass(frozen=True)
class Column:
    """One column: its name, its text for an item, and its short text (tables without ``--wide``)."""

    name: str
    text: Callable[[Any], str]
    brief: Callable[[Any], str] | None = None
    width: int = 0  # a table on a terminal wraps here; 0 is free


def table(items: Sequence[Any], columns: Sequence[Column], output: Output, *, data: Any = None) -> None:
    """Print a list in the wanted form; ``data`` is what json and yaml show instead of the items."""
    if output.form in ("json", "yaml"):
        document(list(items) if data is None else data, output)
    elif output.form == "csv":
        _csv(items, columns, output)
    else:
        cells = [
            [(c.brief if c.brief and not output.wide else c.text)(item) for c in columns] for item in items
        ]
        grid([c.name.upper() for c in columns], cells, output, widths=[c.width for c in columns])


def document(data: Any, output: Output) -> None:
    """Print a value as json or yaml."""
    if output.form == "yaml":
        line(_yaml(data).rstrip("\n"))
    elif output.form == "json":
        indent, separators = (2, (",", ": ")) if output.pretty else (None, (",", ":"))
        text = json.dumps(data, ensure_ascii=False, indent=indent, separators=separators)
        line(text.translate(_ESCAPES))
    else:
        raise UserError(f"this command cannot print {output.form!r}", hint="use --output json or yaml")


def grid(
    header: Sequence[str], rows: Sequence[Sequence[str]], output: Output, *, widths: Sequence[int] = ()
) -> None:
    """Print rows under a header, aligned in columns."""
    head = () if output.hide_header else header
    rows = [[printable(cell) for cell in row] for row in rows]
    if sys.stdout.isatty() or (colourful(tty=False) and not output.no_style):
        _rich_grid(head, rows, output, widths or [0] * len(header))
    else:
        for text in plain_grid(head, rows):
            line(text)


def plain_grid(header: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterable[str]:
    """Align rows with blanks; a line break inside a cell becomes a blank."""
    flat = [[" ".join(cell.split()) for cell in row] for row in rows]
    everything = [list(header), *flat] if header else flat
    widths = [max(map(len, column)) for column in zip(*everything, strict=True)]
    for row in everything:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()


def _rich_grid(
    header: Sequence[str], rows: Sequence[Sequence[str]], output: Output, widths: Sequence[int]
) -> None:
    """Draw for people. Only columns that have a width are folded; a table that is still too wide is not cut."""
    from rich.table import Table  # noqa: PLC0415 - only for people
    from rich.text import Text  # noqa: PLC0415

    made = console(no_colour=output.no_style)
    drawn = Table(
        box=None, show_header=bool(header), pad_edge=False, header_style="bold", padding=(0, _GAP, 0, 0)
    )
    titles = list(header) or [""] * len(widths)
    cells = [[title, *(row[at] for row in rows)] for at, title in enumerate(titles)]
    folds = [bool(width) and not output.wide for width in widths]
    least = [_least(column, fold=fold) for column, fold in zip(cells, folds, strict=True)]
    if sum(least) + _GAP * len(least) > made.width and not output.wide:
        folds = [True] * len(widths)  # any blank may become a line break, before a word is cut
        least = [max(map(len, " ".join(column).split(" "))) for column in cells]
    made.width = max(made.width, sum(least) + _GAP * len(least))
    for at, title in enumerate(titles):
        most = max(widths[at], least[at]) if folds[at] and widths[at] else None
        drawn.add_column(title, min_width=least[at], max_width=most, overflow="fold", no_wrap=not folds[at])
    for row in rows:
        drawn.add_row(*(Text(cell, style=_style(name, cell)) for name, cell in zip(titles, row, strict=True)))
    made.print(drawn, crop=False)


def _least(column: Sequence[str], *, fold: bool) -> int:
    """Give how wide a column must be: as its longest line, or less where it may be folded."""
    longest = max(len(line) for cell in column for line in cell.split("\n"))
    return min(longest, _NARROWEST) if fold else longest


def _style(name: str, cell: str) -> str:
    """Colour a state; of several with commas the last one says most."""
    return _STATE_COLOURS.get(cell.rpartition(",")[2], "") if name in _STATES else ""


def console(*, no_colour: bool = False, stderr: bool = False) -> Any:
    """Make a rich console that follows our rules for colour."""
    from rich.console import Console  # noqa: PLC0415 - only for people

    stream = sys.stderr if stderr else sys.stdout
    colour = colourful(tty=stream.isatty()) and not no_colour
    made = Console(file=stream, no_color=not colour, highlight=False, markup=False, force_terminal=colour)
    if not stream.isatty():
        made.width = _NOBODYS_WIDTH
    return made


def _csv(items: Sequence[Any], columns: Sequence[Column], output: Output) -> None:
    import csv  # noqa: PLC0415 - one form of four

    out = csv.writer(sys.stdout, lineterminator="\n")
    if not output.hide_header:
        out.writerow([c.name for c in columns])
    out.writerows([c.text(item) for c in columns] for item in items)


def _yaml(data: Any) -> str:
    import yaml  # noqa: PLC0415 - one form of four

    dumper = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
    text: str = yaml.dump(data, Dumper=dumper, sort_keys=True, allow_unicode=True, width=10_000)
    return text.removesuffix("...\n")


def line(text: str = "") -> None:
    """Write one line to stdout."""
    sys.stdout.write(text + "\n")


def heading(text: str) -> None:
    """Write a heading to stdout, bold on a terminal."""
    line(f"\x1b[1m{text}\x1b[0m" if colourful(tty=sys.stdout.isatty()) else text)


def raw(text: str, *, stderr: bool = False) -> None:
    """Write output of a job as it is, and at once."""
    out = sys.stderr if stderr else sys.stdout
    out.write(text)
    out.flush()


# --- values -------------------------------------------------------------------------------------------


def printable(text: str) -> str:
    """Replace control characters: a job's name could otherwise move the cursor or rename the window."""
    return text.translate(_CONTROL)


def from_ns(nanoseconds: int) -> datetime:
    """Read unix nanoseconds."""
    return datetime.fromtimestamp(nanoseconds / 1e9, UTC)


def from_text(text: str) -> datetime | None:
    """Read RFC 3339 with any number of decimals; None for Go's zero time and for what is no time."""
    whole, dot, rest = text.partition(".")
    digits = rest[: len(rest) - len(rest.lstrip("0123456789"))]
    cleaned = f"{whole}.{digits[:6]:0<6}{rest[len(digits) :]}" if dot else text
    try:
        found = datetime.fromisoformat(cleaned)
    except ValueError:
        return None
    return None if found.year <= 1 else found.astimezone(UTC)


def date_time(moment: datetime | None) -> str:
    """Write a time as people read it, UTC."""
    return moment.strftime("%Y-%m-%d %H:%M:%S") if moment else ""


def clock(moment: datetime | None) -> str:
    """Write the time of day, UTC."""
    return moment.strftime("%H:%M:%S") if moment else ""


def elapsed(moment: datetime, now: datetime) -> str:
    """Write how long ago something was, in its two largest units: ``3d2h ago``, ``7s ago``."""
    seconds = max(0, int((now - moment).total_seconds()))
    units = [
        (seconds // 86400, "d"),
        (seconds // 3600 % 24, "h"),
        (seconds // 60 % 60, "m"),
        (seconds % 60, "s"),
    ]
    first = next((index for index, (amount, _) in enumerate(units) if amount), 3)
    shown = [f"{amount}{unit}" for amount, unit in units[first : first + 2] if amount or first == 3]  # noqa: PLR2004 - the seconds
    return "".join(shown) + " ago"


def id_column(name: str, key: str, width: int = 10) -> Column:
    """Make a column of ids, shortened in tables."""
    return Column(
        name, lambda item: str(item.get(key, "")), lambda item: short(str(item.get(key, ""))), width
    )


def time_column(name: str, key: str) -> Column:
    """Make a column of unix nanoseconds, the time of day in tables."""
    return Column(
        name,
        lambda item: date_time(from_ns(item.get(key, 0))),
        lambda item: clock(from_ns(item.get(key, 0))),
        8,
    )
