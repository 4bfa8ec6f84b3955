"""What a template is made of, once it is parsed. Plain data."""

from __future__ import annotations

from dataclasses import dataclass

from bacalhau_cli.gotemplate.lexer import Place


@dataclass(frozen=True, slots=True)
class Literal:
    """A string, a number, true, false, or nil."""

    place: Place
    value: str | int | float | bool | None


@dataclass(frozen=True, slots=True)
class Dot:
    """``.``."""

    place: Place


@dataclass(frozen=True, slots=True)
class Variable:
    """``$name``; the name is empty for ``$``, the data of the whole template."""

    place: Place
    name: str


@dataclass(frozen=True, slots=True)
class Call:
    """The name of a function; its arguments are the words behind it in its command."""

    place: Place
    name: str


@dataclass(frozen=True, slots=True)
class Field:
    """``of.name``."""

    place: Place
    of: Operand
    name: str


@dataclass(frozen=True, slots=True)
class Pipeline:
    """Commands, each given the value of the one before; the last value may go into variables."""

    place: Place
    commands: tuple[tuple[Operand, ...], ...]
    names: tuple[str, ...] = ()
    declares: bool = False


Operand = Literal | Dot | Variable | Call | Field | Pipeline


@dataclass(frozen=True, slots=True)
class Text:
    """What is copied as it is."""

    text: str


@dataclass(frozen=True, slots=True)
class Action:
    """``{{pipeline}}``: its value is written, unless it goes into a variable."""

    pipeline: Pipeline


@dataclass(frozen=True, slots=True)
class Branch:
    """``if``, ``with`` or ``range``."""

    kind: str
    place: Place
    pipeline: Pipeline
    body: tuple[Node, ...]
    other: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Jump:
    """``break`` or ``continue``."""

    kind: str


Node = Text | Action | Branch | Jump
