"""What is said on stderr: errors, warnings, notes. One line each, coloured only for people.

Everything that is data goes to stdout, through `render`.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping

_RED, _YELLOW, _GREEN, _BOLD, _RESET = "\x1b[31m", "\x1b[33m", "\x1b[32m", "\x1b[1m", "\x1b[0m"
_environ: dict[str, str] = {}
_hushed: list[bool] = []


def set_up(environ: Mapping[str, str]) -> None:
    """Tell which environment decides on colours (NO_COLOR, FORCE_COLOR, TERM)."""
    _hushed.clear()
    _environ.clear()
    _environ.update({key: environ.get(key, "") for key in ("NO_COLOR", "FORCE_COLOR", "TERM")})


def hush(*, wanted: bool) -> None:
    """Say nothing but errors from now on (``--quiet``)."""
    if wanted:
        _hushed.append(True)


def quiet() -> bool:
    """Say whether nothing but errors is wanted on stderr."""
    return bool(_hushed)


def animated() -> bool:
    """Say whether stderr is a terminal where something that moves is wanted."""
    return sys.stderr.isatty() and _environ.get("TERM") != "dumb" and not quiet()


def colourful(*, tty: bool) -> bool:
    """Say whether colours are wanted on a stream."""
    if _environ.get("FORCE_COLOR", "") not in ("", "0"):
        return True
    if _environ.get("NO_COLOR") or _environ.get("TERM") == "dumb":
        return False
    return tty


def error(message: str, *, hint: str = "") -> None:
    """Say what went wrong and, if known, what to do."""
    _write(_labelled("Error:", _RED, message))
    if hint:
        _write(_labelled("Hint:", _GREEN, hint))


def warn(message: str) -> None:
    """Say what the user should know although it worked."""
    say(_labelled("Warning:", _YELLOW, message))


def say(line: str = "") -> None:
    """Write one line to stderr, unless only errors are wanted."""
    if not quiet():
        _write(line)


def _write(line: str) -> None:
    sys.stderr.write(line + "\n")
    sys.stderr.flush()


def bold(text: str) -> str:
    """Make a text stand out on stderr, where that is possible."""
    return f"{_BOLD}{text}{_RESET}" if colourful(tty=sys.stderr.isatty()) else text


def _labelled(label: str, colour: str, message: str) -> str:
    if colourful(tty=sys.stderr.isatty()):
        return f"{colour}{_BOLD}{label}{_RESET} {message}"
    return f"{label} {message}"
