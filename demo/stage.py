"""What the demo prints: steps, commands, lines of output. In colour on a terminal, plain when piped."""

from __future__ import annotations

import itertools
import shlex
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

WIDTH = 106
_ROOM = 24  # columns that an option's value may still need
_COLOURS = ("cyan", "magenta", "yellow", "green", "blue")


class Stage:
    """One console, and how things look on it."""

    def __init__(self, *, record: bool = False) -> None:
        self.console = Console(highlight=False, soft_wrap=False, record=record)
        self.console.width = (
            WIDTH if record or not self.console.is_terminal else min(WIDTH, self.console.width)
        )
        self._speakers: dict[str, str] = {}
        self._steps = 0

    def cast(self, *speakers: str) -> None:
        """Give speakers their colours, in this order."""
        for name, colour in zip(speakers, itertools.cycle(_COLOURS), strict=False):
            self._speakers[name] = colour

    def coloured(self, speaker: str) -> Text:
        """Write a speaker's name in its colour."""
        return Text(speaker, style=self._speakers.get(speaker, ""))

    def title(self, text: str) -> None:
        """Begin."""
        self.console.print(Text(text, style="bold"))

    def step(self, heading: str) -> None:
        """Begin a numbered step."""
        self._steps += 1
        self.console.print()
        self.console.rule(Text(f"{self._steps} {heading}", style="bold cyan"), align="left", style="cyan")

    def say(self, text: str, style: str = "") -> None:
        """Say something, wrapped at the width."""
        self.console.print(Text(text, style=style))

    def good(self, text: str) -> None:
        """Say that something is as it should be."""
        self.console.print(Text.assemble(("✓ ", "bold green"), text))

    def skip(self, text: str) -> None:
        """Say that something is left out, and why."""
        self.console.print(Text.assemble(("- ", "bold yellow"), text))

    def bad(self, text: str) -> None:
        """Say what went wrong."""
        self.console.print(Text.assemble(("✗ ", "bold red"), text))

    def command(self, words: Sequence[str]) -> None:
        """Show a command as one would type it, broken before its options where it is long."""
        lines: list[list[str]] = [[]]
        ours = True  # what follows a "--" belongs to the job's own command
        for word in words:
            ours = ours and word != "--"
            long = len(shlex.join([*lines[-1], word])) > self.console.width - _ROOM
            if ours and word.startswith("-") and long:
                lines.append([])
            lines[-1].append(word)
        text = " \\\n    ".join(" ".join(_quoted(word) for word in line) for line in lines)
        self.console.print(Text.assemble(("$ ", "dim"), (text, "bold")))

    def output(self, text: str) -> None:
        """Show what a command printed; a line that is too long is cut."""
        for line in text.rstrip("\n").splitlines():
            self.console.print(Text(line.rstrip()), no_wrap=True, overflow="ellipsis", crop=True)

    def line(self, speaker: str, text: str) -> None:
        """Show one line of somebody's output, with the name in front."""
        said = Text.assemble(self.coloured(speaker), (" │ ", "dim"), text)
        self.console.print(said, no_wrap=True, overflow="ellipsis")

    def show(self, what: RenderableType) -> None:
        """Show a table."""
        self.console.print(what)

    def save(self, prefix: Path) -> None:
        """Write what was shown to ``prefix``.svg and ``prefix``.txt."""
        plain = self.console.export_text(clear=False)
        prefix.with_suffix(".txt").write_text("\n".join(line.rstrip() for line in plain.splitlines()) + "\n")
        svg = self.console.export_svg(title="make demo")
        # Some viewers drop leading spaces, even hard ones, unless told otherwise.
        svg = svg.replace("<text ", '<text xml:space="preserve" ')
        prefix.with_suffix(".svg").write_text("\n".join(line.rstrip() for line in svg.splitlines()) + "\n")


def plain_table(*headings: str) -> Table:
    """Make a table without lines."""
    made = Table(box=None, pad_edge=False, padding=(0, 3, 0, 0), header_style="bold")
    for heading in headings:
        made.add_column(heading, no_wrap=True, overflow="ellipsis")
    return made


def _quoted(word: str) -> str:
    # What the shell would put in is shown as one writes it.
    return f'"{word}"' if word.startswith("$(") else shlex.quote(word)
