"""What somebody perhaps meant, said alike for commands, options and keys: ``did you mean --limit?``."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

import click

_MOST = 3


class Unknown(click.UsageError):
    """A word on the command line that nobody knows; ``hint`` names what was perhaps meant."""

    def __init__(self, message: str, ctx: click.Context | None, hint: str) -> None:
        super().__init__(message, ctx)
        self.hint = hint


def near(word: str, known: Iterable[str]) -> list[str]:
    """List the known words that are spelled nearly as ``word``, nearest first."""
    words = list(dict.fromkeys(known))
    lower = {one.lower(): one for one in reversed(words)}
    found = difflib.get_close_matches(word.lower(), lower, n=_MOST, cutoff=0.6)
    begun = [one for one in words if len(word) > 1 and one.lower().startswith(word.lower())]
    return list(dict.fromkeys([*(lower[one] for one in found), *begun]))[:_MOST]


def did_you_mean(words: Iterable[str]) -> str:
    """Ask whether one of ``words`` was meant; empty when there is none."""
    meant = list(words)[:_MOST]
    return f"did you mean {' or '.join(meant)}?" if meant else ""
