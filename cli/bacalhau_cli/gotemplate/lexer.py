"""A template as tokens: pieces of text, and the words inside ``{{ }}``, each with its place. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from bacalhau_nats.errors import InvalidSpec

_SPACE = " \t\r\n"
_LEFT = re.compile(r"\{\{(-(?=[ \t\r\n]))?")
_COMMENT = re.compile(r"[ \t\r\n]*/\*")
_RIGHT = re.compile(r"([ \t\r\n]+-)?\}\}")
_WORD = r"[^\W\d]\w*"
_TOKEN = re.compile(
    rf"""(?P<space>[ \t\r\n]+)
    |(?P<string>"(?:[^"\\\n]|\\.)*")
    |(?P<raw>`[^`]*`)
    |(?P<char>'(?:[^'\\\n]|\\.)+')
    |(?P<number>[+-]?(?:0[xX][0-9A-Fa-f_]+|0[bB][01_]+|0[oO][0-7_]+|(?:\d[\d_]*\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)i?)
    |(?P<variable>\$(?:{_WORD})?)
    |(?P<field>\.\w+)
    |(?P<dot>\.)
    |(?P<word>{_WORD})
    |(?P<sign>:=|=|,|\||\(|\))""",
    re.VERBOSE,
)
_BEFORE_OPERAND_ENDS = frozenset({"variable", "field", "dot", "word", "number", "string", "raw", "char"})


class Place(NamedTuple):
    """Where something stands; both count from 1."""

    line: int
    column: int


class Token(NamedTuple):
    """``kind`` is text, left, right, end, or the kind of a word; ``spaced`` says that a blank stood before it."""

    kind: str
    text: str
    place: Place
    spaced: bool = False


class Source:
    """A template's text, which knows lines and columns."""

    def __init__(self, text: str, name: str) -> None:
        self.text, self._name = text, name

    def place(self, at: int) -> Place:
        """Give the line and column of an offset."""
        before = self.text.rfind("\n", 0, at)
        return Place(self.text.count("\n", 0, at) + 1, at - before)

    def error(self, at: int | Place, message: str, hint: str = "") -> InvalidSpec:
        """Make the error about a place."""
        place = self.place(at) if isinstance(at, int) else at
        return wrong(self._name, place, message, hint)


def wrong(name: str, place: Place, message: str, hint: str = "") -> InvalidSpec:
    """Make the error about a place of a template."""
    return InvalidSpec(f"{name}:{place.line}:{place.column}: template: {message}", hint=hint)


def tokens(source: Source) -> Iterator[Token]:
    """Cut a template into tokens, the last of kind ``end``. Raises InvalidSpec."""
    text, at, trim = source.text, 0, False
    while True:
        opened = _LEFT.search(text, at)
        piece = text[at : opened.start()] if opened else text[at:]
        start = source.place(at)
        if trim:
            piece = piece.lstrip(_SPACE)
        if opened and opened.group(1):
            piece = piece.rstrip(_SPACE)
        if piece:
            yield Token("text", piece, start)
        if not opened:
            yield Token("end", "", source.place(len(text)))
            return
        comment = _COMMENT.match(text, opened.end())
        if comment and (opened.group(1) or comment.end() == opened.end() + 2):
            at, trim = _comment(source, opened.start(), comment.end())
        else:
            yield Token("left", "{{", source.place(opened.start()))
            inside, at, trim = _inside(source, opened)
            yield from inside
            yield Token("right", "}}", source.place(at - 2))


def _comment(source: Source, opened: int, at: int) -> tuple[int, bool]:
    end = source.text.find("*/", at)
    if end < 0:
        raise source.error(opened, "unclosed comment", "end it with */}}")
    closed = _RIGHT.match(source.text, end + 2)
    if not closed:
        raise source.error(end, "a comment must end with */}}")
    return closed.end(), bool(closed.group(1))


def _inside(source: Source, opened: re.Match[str]) -> tuple[list[Token], int, bool]:
    """Read the words of one action; give them, where it ends, and whether the text behind it is trimmed."""
    text, at, spaced = source.text, opened.end(), True
    found: list[Token] = []
    while True:
        closed = _RIGHT.match(text, at)
        if closed:
            return found, closed.end(), bool(closed.group(1))
        match = _TOKEN.match(text, at)
        if not match:
            raise _unreadable(source, opened.start(), at)
        kind = str(match.lastgroup)
        if kind != "space":
            if found and not spaced:
                _check_neighbours(source, found[-1], kind, at)
            found.append(Token(kind, match.group(), source.place(at), spaced))
        spaced = kind == "space"
        at = match.end()


def _check_neighbours(source: Source, before: Token, kind: str, at: int) -> None:
    """Refuse two operands that touch: ``.a"b"`` or ``12ab``."""
    chained = kind == "field" and before.kind in ("field", "variable", "word", "sign")
    touching = before.kind in _BEFORE_OPERAND_ENDS and kind in _BEFORE_OPERAND_ENDS
    if touching and not chained:
        word = "number" if before.kind == "number" else "character"
        raise source.error(
            at, f"bad {word} {source.text[at]!r} behind {before.text!r}", "put a blank between them"
        )


def _unreadable(source: Source, opened: int, at: int) -> InvalidSpec:
    text = source.text
    if at >= len(text):
        return source.error(opened, "unclosed action", "end it with }}")
    character = text[at]
    if character in "\"'":
        return source.error(at, f"unterminated {'string' if character == chr(34) else 'character'}")
    if character == "`":
        return source.error(at, "unterminated raw string")
    if character in "{}":
        return source.error(at, f"unexpected {character!r} in an action", "is a }} missing before it?")
    hint = 'write a name with a dash as (index . "my-name")' if character == "-" else ""
    return source.error(at, f"unexpected {character!r} in an action", hint)
