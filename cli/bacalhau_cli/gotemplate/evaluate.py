"""Nodes and values become text. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any, assert_never

from bacalhau_cli.gotemplate.formatting import Fault, kind_of, show
from bacalhau_cli.gotemplate.functions import FUNCTIONS, truth
from bacalhau_cli.gotemplate.lexer import Place, wrong
from bacalhau_cli.gotemplate.nodes import (
    Action,
    Branch,
    Call,
    Dot,
    Field,
    Jump,
    Literal,
    Node,
    Operand,
    Pipeline,
    Text,
    Variable,
)
from bacalhau_nats.errors import InvalidSpec

Value = Any  # str | int | float | bool | None | Mapping[str, str]

_NOTHING: Any = object()  # no value comes down the pipeline
_MOST_CHARACTERS = 16 * 1024 * 1024
_MOST_ROUNDS = 1_000_000


def evaluate(nodes: Sequence[Node], values: Mapping[str, str], name: str) -> str:
    """Write a template with these values. Raises InvalidSpec."""
    writer = _Writer(name, values)
    writer.walk(nodes, values)
    return "".join(writer.written)


class _Break(Exception):
    """Leave the loop."""


class _Continue(Exception):
    """Go to the next round."""


class _Writer:
    def __init__(self, name: str, values: Mapping[str, str]) -> None:
        self._name = name
        self._variables: list[tuple[str, Value]] = [("", values)]
        self._size = 0
        self._rounds = 0
        self.written: list[str] = []

    def walk(self, nodes: Sequence[Node], dot: Value) -> None:
        for node in nodes:
            match node:
                case Text():
                    self._write(node.text, Place(1, 1))
                case Action():
                    value = self._value(node.pipeline, dot)
                    if not node.pipeline.names:
                        self._write(show(value), node.pipeline.place)
                case Branch():
                    self._branch(node, dot)
                case Jump():
                    raise _Break if node.kind == "break" else _Continue
                case _:
                    assert_never(node)

    def _write(self, text: str, place: Place) -> None:
        self._size += len(text)
        if self._size > _MOST_CHARACTERS:
            raise self._error(place, f"it writes more than {_MOST_CHARACTERS} characters")
        self.written.append(text)

    def _error(self, place: Place, message: str, hint: str = "") -> InvalidSpec:
        return wrong(self._name, place, message, hint)

    # --- branches -------------------------------------------------------------------------------------

    def _branch(self, node: Branch, dot: Value) -> None:
        known = len(self._variables)
        if node.kind == "range":
            self._range(node, dot)
        else:
            value = self._value(node.pipeline, dot)
            inner = value if node.kind == "with" else dot
            self.walk(*((node.body, inner) if truth(value) else (node.other, dot)))
        del self._variables[known:]

    def _range(self, node: Branch, dot: Value) -> None:
        names, declares = node.pipeline.names, node.pipeline.declares
        over = self._value(node.pipeline, dot)
        if isinstance(over, int) and not isinstance(over, bool) and len(names) > 1:
            raise self._error(node.place, f"range over the number {over} has one variable, not two")
        known, some = len(self._variables), False
        for key, value in self._items(node, over):
            some = True
            self._rounds += 1
            if self._rounds > _MOST_ROUNDS:
                raise self._error(node.place, f"range goes round more than {_MOST_ROUNDS} times")
            given = (value,) if len(names) == 1 else (key, value)
            for name, one in zip(names, given, strict=False):
                self._set(name, one, declares=declares)
            try:
                self.walk(node.body, value)
            except _Continue:
                pass
            except _Break:
                break
            finally:
                del self._variables[known:]
        if not some:
            with suppress(_Break):  # in an else, too, it is this range that is left
                self.walk(node.other, dot)

    def _items(self, node: Branch, over: Value) -> Iterator[tuple[Value, Value]]:
        if isinstance(over, Mapping):
            yield from sorted(over.items())
        elif isinstance(over, int) and not isinstance(over, bool):
            yield from ((number, number) for number in range(over))
        else:
            raise self._error(node.place, f"range cannot go over a {kind_of(over)}")

    def _set(self, name: str, value: Value, *, declares: bool) -> None:
        if declares:
            self._variables.append((name, value))
            return
        at = next(i for i in reversed(range(len(self._variables))) if self._variables[i][0] == name)
        self._variables[at] = (name, value)

    # --- values ---------------------------------------------------------------------------------------

    def _value(self, pipeline: Pipeline, dot: Value) -> Value:
        value: Value = _NOTHING
        for command in pipeline.commands:
            value = self._command(command, dot, value)
        for name in pipeline.names:
            self._set(name, value, declares=pipeline.declares)
        return value

    def _command(self, command: Sequence[Operand], dot: Value, piped: Value) -> Value:
        first, *arguments = command
        if isinstance(first, Call):
            return self._call(first, arguments, dot, piped)
        if piped is not _NOTHING:
            raise self._error(first.place, "a value is piped into what is no function")
        return self._operand(first, dot)

    def _call(self, call: Call, arguments: Sequence[Operand], dot: Value, piped: Value) -> Value:
        function, least, most = FUNCTIONS[call.name]
        count = len(arguments) + (piped is not _NOTHING)
        if not least <= count <= most:
            wanted = str(least) if least == most else f"at least {least}"
            raise self._error(call.place, f"{call.name} takes {wanted} arguments, not {count}")
        if call.name in ("and", "or"):
            return self._until(call.name == "or", arguments, dot, piped)
        given = [self._operand(one, dot) for one in arguments]
        if piped is not _NOTHING:
            given.append(piped)
        try:
            found = function(*given)
        except Fault as fault:
            raise self._error(call.place, f"{call.name}: {fault}") from None
        if isinstance(found, str) and len(found) > _MOST_CHARACTERS:
            raise self._error(call.place, f"{call.name} makes more than {_MOST_CHARACTERS} characters")
        return found

    def _until(self, decided: bool, arguments: Sequence[Operand], dot: Value, piped: Value) -> Value:
        """Give the first value that decides, else the last; what comes behind it is not looked at."""
        value: Value = _NOTHING
        for one in arguments:
            value = self._operand(one, dot)
            if truth(value) is decided:
                return value
        return value if piped is _NOTHING else piped

    def _operand(self, operand: Operand, dot: Value) -> Value:
        match operand:
            case Literal():
                return operand.value
            case Dot():
                return dot
            case Variable():
                return next(value for name, value in reversed(self._variables) if name == operand.name)
            case Field():
                return self._field(operand, dot)
            case Pipeline():
                known = len(self._variables)
                value = self._value(operand, dot)
                del self._variables[known:]
                return value
            case Call():
                return self._call(operand, [], dot, _NOTHING)
            case _:
                assert_never(operand)

    def _field(self, field: Field, dot: Value) -> Value:
        of = self._operand(field.of, dot)
        if not isinstance(of, Mapping):
            raise self._error(field.place, f".{field.name}: a {kind_of(of)} has no fields")
        if field.name not in of:
            raise self._error(
                field.place,
                f"there is no value for {field.name!r}",
                f"give one with --template-vars {field.name}=VALUE, or --template-envs {field.name}; "
                "--no-template leaves {{ }} as they are",
            )
        return of[field.name]
