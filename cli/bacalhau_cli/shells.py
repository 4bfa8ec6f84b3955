"""Completion for bash, zsh and fish: the script for each shell, and what it is told at each press of Tab.

A script sets `VARIABLE` and calls the program again with what was typed so far. Whatever goes wrong then is
not said: nobody wants an error in the middle of a line.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import click
from click.shell_completion import (
    BashComplete,
    CompletionItem,
    FishComplete,
    ShellComplete,
    ZshComplete,
    split_arg_string,
)

from bacalhau_cli import exits, render
from bacalhau_cli.main import PROGRAM, VARIABLE

if TYPE_CHECKING:
    from bacalhau_cli.context import Caller

_TELL = "BACALHAU_COMPLETION_DESCRIPTIONS"

# A key of the configuration is completed with its "=", after which no blank is wanted.
_BASH = """\
%(complete_func)s() {
    local type value
    COMPREPLY=()
    while IFS=, read -r type value; do
        case $type in
            dir) compopt -o dirnames 2>/dev/null ;;
            file) compopt -o default 2>/dev/null ;;
            plain)
                COMPREPLY+=("$value")
                [[ $value == *= ]] && compopt -o nospace 2>/dev/null ;;
        esac
    done < <(COMP_WORDS="${COMP_WORDS[*]}" COMP_CWORD=$COMP_CWORD %(complete_var)s=bash_complete "$1" 2>/dev/null)
    return 0
}

# Before 4.4 it sorts always.
complete -o nosort -F %(complete_func)s %(prog_name)s 2>/dev/null || complete -F %(complete_func)s %(prog_name)s
"""


class _Bash(BashComplete):
    source_template = _BASH

    @staticmethod
    def _check_version() -> None:
        """Ask nobody: the bash that is found here may be another than the one that will read the script."""


_SHELLS: dict[str, type[ShellComplete]] = {"bash": _Bash, "zsh": ZshComplete, "fish": FishComplete}


def script(shell: str, *, descriptions: bool) -> str:
    """Write the script that makes a shell complete the program's command lines."""
    text = _SHELLS[shell](_NOBODY, {}, PROGRAM, VARIABLE).source()
    return text if descriptions else text.replace("(env ", f"(env {_TELL}=0 ")


def answer(root: click.Command, caller: Caller, instruction: str) -> int:
    """Print what may come next, as the shell named by ``instruction`` wants it; nothing when that fails."""
    shell = instruction.removesuffix("_complete")
    with contextlib.suppress(Exception), contextlib.redirect_stderr(io.StringIO()):
        form = _SHELLS[shell](root, {"obj": caller}, PROGRAM, VARIABLE)
        args, incomplete = typed(shell, caller.environ)
        items = fitted(shell, incomplete, form.get_completions(args, incomplete))
        if caller.environ.get(_TELL) == "0":
            items = [CompletionItem(item.value, item.type) for item in items]
        for item in items:
            render.line(form.format_completion(item))
    return exits.OK


def typed(shell: str, environ: Mapping[str, str]) -> tuple[list[str], str]:
    """Give the words before the cursor, without the program, and the one that is being typed."""
    words = split_arg_string(environ["COMP_WORDS"])
    if shell == "fish":
        incomplete = (split_arg_string(environ["COMP_CWORD"]) or [""])[0]
        before = words[1:]
        return (before[:-1] if incomplete and before[-1:] == [incomplete] else before), incomplete
    at = int(environ["COMP_CWORD"])
    joined = _joined([*words[1:at], words[at] if at < len(words) else ""])
    return joined[:-1], joined[-1]


def _joined(words: Sequence[str]) -> list[str]:
    """Join what bash has taken apart at each ``=``."""
    out: list[str] = []
    for word in words:
        if out and (word == "=" or out[-1].endswith("=")):
            out[-1] += word
        else:
            out.append(word)
    return out


def fitted(shell: str, incomplete: str, items: Sequence[CompletionItem]) -> list[CompletionItem]:
    """Write values so that they replace what the shell takes for the word: bash begins it anew after a ``=``."""
    head, equals, _ = incomplete.partition("=")
    head += equals
    if not equals or (shell == "bash") is incomplete.startswith("-"):
        return list(items)
    if shell == "bash":
        cut = [(item, item.value.removeprefix(head)) for item in items]
    elif incomplete.startswith("-"):
        cut = [(item, head + item.value) for item in items if item.type == "plain"]
    else:
        return list(items)
    return [CompletionItem(value, item.type, item.help) for item, value in cut if value]


_NOBODY = click.Command(PROGRAM)
