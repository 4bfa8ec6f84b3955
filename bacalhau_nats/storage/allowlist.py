"""Which folders and files of its own a node lends to jobs: globs with an access right.

An entry is a glob and, optionally, ``:ro`` (the default) or ``:rw``: ``/data/**:rw``. ``*`` and ``?`` stay within
one name, ``**`` spans any number of folders (none too, so ``/data/**`` allows ``/data``), ``[abc]`` and ``{a,b}``
work as in a shell. Bacalhau matches the path as the job wrote it, so that a link in an allowed folder leads
anywhere; here links are followed first and the place they lead to is what must match. The part of an entry
before its first wildcard is the operator's own, and may contain links.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

SETTING = "Compute.AllowListedLocalPaths"
_WILD = re.compile(r"[*?\[{]")


@dataclass(frozen=True, slots=True)
class _Entry:
    pattern: re.Pattern[str]
    writable: bool


class AllowList:
    """The entries of `SETTING`."""

    def __init__(self, entries: Sequence[str]) -> None:
        """Read the entries. Raises ValueError for one that is not an absolute path."""
        self._written = tuple(entries)
        self._entries = tuple(_parse(entry) for entry in entries)

    def refuses(self, path: str, *, write: bool) -> str:
        """Say why a job may not have ``path``, naming the list and the setting; empty when it may."""
        if not path.startswith("/"):
            return f"local path {path!r} is not absolute"
        real = str(resolve(path))
        matching = [entry for entry in self._entries if entry.pattern.fullmatch(real)]
        if any(entry.writable or not write for entry in matching):
            return ""
        seen = f"{path} (which is {real})" if real != path.rstrip("/") else path
        listed = ", ".join(self._written) or "empty"
        if matching:
            return f"local path {seen} is read-only on this node: an entry of {SETTING} must end in :rw (it is: {listed})"
        return f"local path {seen} is not allowed on this node: add it to {SETTING} (it is: {listed})"


def resolve(path: str) -> Path:
    """Follow every link in ``path``; what does not exist yet stays as written."""
    return Path(os.path.realpath(path))


def _parse(entry: str) -> _Entry:
    glob, right = entry.strip(), "ro"
    if glob.endswith((":ro", ":rw")):
        glob, right = glob[:-3], glob[-2:]
    if not glob.startswith("/"):
        raise ValueError(f"{entry!r} is not an absolute path")
    wild = _WILD.search(glob)
    cut = glob.rfind("/", 0, wild.start()) if wild else len(glob)
    fixed = os.path.realpath(glob[:cut] or "/").rstrip("/")
    try:
        return _Entry(
            re.compile(re.escape(fixed) + _translate(glob[cut:].rstrip("/")), re.DOTALL), right == "rw"
        )
    except re.error as error:
        raise ValueError(f"{entry!r} is not a glob: {error}") from None


def _translate(glob: str) -> str:
    """Turn a glob into a regular expression."""
    out, at, braces = "", 0, 0
    while at < len(glob):
        rest = glob[at:]
        if rest == "/**":
            return out + r"(?:/.*)?" + ")" * braces
        if rest.startswith("/**/"):
            out, at = out + r"/(?:.*/)?", at + 4
        elif rest.startswith("**"):
            out, at = out + ".*", at + 2
        elif rest[0] == "[" and (match := re.match(r"\[([!^]?)([^/\[\]]+)\]", rest)):
            negated, chars = match.groups()
            out += f"[{'^/' if negated else ''}{re.escape(chars).replace(chr(92) + '-', '-')}]"
            at += match.end()
        elif rest[0] == "{" and "}" in rest:
            out, at, braces = out + "(?:", at + 1, braces + 1
        elif rest[0] == "}" and braces:
            out, at, braces = out + ")", at + 1, braces - 1
        elif rest[0] == "," and braces:
            out, at = out + "|", at + 1
        else:
            out, at = out + {"*": "[^/]*", "?": "[^/]"}.get(rest[0], re.escape(rest[0])), at + 1
    return out
