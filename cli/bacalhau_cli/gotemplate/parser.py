"""Tokens become nodes; variables and functions that do not exist are found here. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from math import isinf

from bacalhau_cli.gotemplate.functions import FUNCTIONS
from bacalhau_cli.gotemplate.lexer import Place, Source, Token, tokens
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
from bacalhau_cli.gotemplate.quoting import unquote
from bacalhau_nats.errors import InvalidSpec

_BRANCHES = frozenset({"if", "with", "range"})
_JUMPS = frozenset({"break", "continue"})
_NAMED = frozenset({"define", "block", "template"})
_CONSTANTS: dict[str, bool | None] = {"true": True, "false": False, "nil": None}
_KEYWORDS = _BRANCHES | _JUMPS | _NAMED | {"else", "end"}
_MOST_VARIABLES = 2  # of a range: key and value


def parse(text: str, name: str) -> tuple[Node, ...]:
    """Parse a template; ``name`` is how errors call it. Raises InvalidSpec."""
    return _Parser(Source(text, name)).whole()


class _Parser:
    def __init__(self, source: Source) -> None:
        self._source = source
        self._tokens: Sequence[Token] = list(tokens(source))
        self._at = 0
        self._variables = [""]
        self._loops = 0

    def whole(self) -> tuple[Node, ...]:
        nodes, ended = self._nodes()
        if ended.kind != "end":
            raise self._error(ended, f"unexpected {{{{{ended.text}}}}}: nothing is open that it could end")
        return nodes

    # --- tokens ---------------------------------------------------------------------------------------

    def _peek(self) -> Token:
        return self._tokens[self._at]

    def _next(self) -> Token:
        token = self._tokens[self._at]
        self._at = min(self._at + 1, len(self._tokens) - 1)
        return token

    def _take(self, text: str) -> bool:
        token = self._peek()
        found = token.kind in ("word", "sign") and token.text == text
        self._at += found
        return found

    def _close(self, what: str) -> None:
        token = self._next()
        if token.kind != "right":
            raise self._error(token, f"unexpected {token.text!r} in {what}")

    def _error(self, at: Token | Place, message: str, hint: str = "") -> InvalidSpec:
        return self._source.error(at.place if isinstance(at, Token) else at, message, hint)

    # --- actions --------------------------------------------------------------------------------------

    def _nodes(self) -> tuple[tuple[Node, ...], Token]:
        """Parse up to an end or else, or the end of everything; give the word that ended it."""
        found: list[Node] = []
        while True:
            token = self._next()
            if token.kind == "end":
                return tuple(found), token
            if token.kind == "text":
                found.append(Text(token.text))
                continue
            word = self._peek()
            if word.kind == "word" and word.text in ("end", "else"):
                self._next()
                return tuple(found), word
            found.append(self._action(token))

    def _action(self, opened: Token) -> Node:
        word = self._peek()
        if word.kind == "word" and word.text in _BRANCHES:
            self._next()
            return self._branch(word.text, opened)
        if word.kind == "word" and word.text in _JUMPS:
            self._next()
            if not self._loops:
                raise self._error(word, f"{{{{{word.text}}}}} outside of a range")
            self._close(word.text)
            return Jump(word.text)
        if word.kind == "word" and word.text in _NAMED:
            raise self._error(word, f"{word.text} is not supported: a job file has no named templates")
        pipeline = self._pipeline(opened, "an action")
        self._close("an action")
        return Action(pipeline)

    def _branch(self, kind: str, opened: Token) -> Branch:
        known = len(self._variables)
        pipeline = self._pipeline(opened, kind)
        self._close(kind)
        self._loops += kind == "range"
        body, ended = self._nodes()
        self._loops -= kind == "range"
        other: tuple[Node, ...] = ()
        if ended.kind == "end":
            raise self._error(opened, f"{{{{{kind}}}}} is never ended", "write {{end}} behind it")
        if ended.text == "else":
            other = self._else(kind, opened)
        else:
            self._close("end")
        del self._variables[known:]
        return Branch(kind, opened.place, pipeline, body, other)

    def _else(self, kind: str, opened: Token) -> tuple[Node, ...]:
        word = self._peek()
        if word.kind == "word" and word.text == kind and kind != "range":
            self._next()
            return (self._branch(kind, opened),)
        self._close("else")
        other, ended = self._nodes()
        if ended.kind == "end":
            raise self._error(opened, f"{{{{{kind}}}}} is never ended", "write {{end}} behind it")
        if ended.text == "else":
            raise self._error(ended, f"a second {{{{else}}}} for one {{{{{kind}}}}}")
        self._close("end")
        return other

    # --- pipelines ------------------------------------------------------------------------------------

    def _pipeline(self, start: Token, what: str) -> Pipeline:
        names, declares = self._targets(what)
        commands = [self._command(what)]
        while self._take("|"):
            commands.append(self._command(what))
        for number, command in enumerate(commands[1:], 2):
            if isinstance(command[0], Literal | Dot):
                raise self._error(command[0].place, f"part {number} of the pipeline cannot take a value")
        if declares:
            self._variables.extend(names)
        return Pipeline(start.place, tuple(commands), names, declares)

    def _targets(self, what: str) -> tuple[tuple[str, ...], bool]:
        """Read ``$x :=``, ``$x =`` or, in a range, ``$k, $v :=``."""
        begin, names = self._at, []
        while self._peek().kind == "variable":
            names.append(self._next().text[1:])
            if not self._take(","):
                break
        sign = self._peek()
        if not names or sign.kind != "sign" or sign.text not in (":=", "="):
            if len(names) > 1:
                raise self._error(sign, f"expected := behind the variables of {what}")
            self._at = begin
            return (), False
        if len(names) > (_MOST_VARIABLES if what == "range" else 1):
            raise self._error(sign, f"too many variables in {what}")
        self._next()
        if sign.text == "=":
            for name in names:
                self._known(name, sign)
        return tuple(names), sign.text == ":="

    def _command(self, what: str) -> tuple[Operand, ...]:
        operands: list[Operand] = []
        while True:
            token = self._peek()
            if token.kind in ("right", "end") or (token.kind == "sign" and token.text in ("|", ")")):
                break
            if operands and not token.spaced:
                raise self._error(token, f"unexpected {token.text!r} in {what}", "put a blank before it")
            operands.append(self._operand(what))
        if not operands:
            raise self._error(self._peek(), f"missing value for {what}")
        first = operands[0]
        if isinstance(first, Literal) and first.value is None:
            raise self._error(first.place, "nil is not a command")
        if len(operands) > 1 and not isinstance(first, Call):
            shown = f".{first.name}" if isinstance(first, Field) else "a value"
            raise self._error(first.place, f"{shown} is no function, it takes no arguments")
        return tuple(operands)

    def _operand(self, what: str) -> Operand:
        token = self._next()
        found = self._term(token, what)
        while self._peek().kind == "field" and not self._peek().spaced:
            field = self._next()
            if isinstance(found, Literal):
                raise self._error(field, f"unexpected {field.text!r} behind {token.text}")
            found = Field(field.place, found, field.text[1:])
        return found

    def _term(self, token: Token, what: str) -> Operand:
        match token.kind:
            case "word":
                return self._word(token)
            case "variable":
                return Variable(token.place, self._known(token.text[1:], token))
            case "dot":
                return Dot(token.place)
            case "field":
                return Field(token.place, Dot(token.place), token.text[1:])
            case "string" | "raw" | "char":
                try:
                    return Literal(token.place, unquote(token.text))
                except ValueError as error:
                    raise self._error(token, f"{token.text} cannot be read: {error}") from None
            case "number":
                return Literal(token.place, self._number(token))
            case "sign" if token.text == "(":
                pipeline = self._pipeline(token, "a parenthesis")
                if not self._take(")"):
                    raise self._error(token, "unclosed parenthesis", "end it with )")
                return pipeline
        raise self._error(token, f"unexpected {token.text!r} in {what}")

    def _word(self, token: Token) -> Literal | Call:
        if token.text in _CONSTANTS:
            return Literal(token.place, _CONSTANTS[token.text])
        if token.text in _KEYWORDS:
            raise self._error(
                token, f"unexpected {token.text!r}: it must stand at the beginning of {{{{ }}}}"
            )
        if token.text not in FUNCTIONS:
            raise self._error(
                token,
                f"function {token.text!r} is not known",
                f"a variable is written as {{{{.{token.text}}}}}; known functions: {', '.join(sorted(FUNCTIONS))}",
            )
        return Call(token.place, token.text)

    def _known(self, name: str, token: Token) -> str:
        if name not in self._variables:
            raise self._error(token, f"variable ${name} is not known here", f"declare it with ${name} := …")
        return name

    def _number(self, token: Token) -> int | float:
        text = token.text.replace("_", "")
        if text.endswith("i") or re.fullmatch(r"[+-]?0[xX].*[pP].*", text):
            raise self._error(token, f"the number {token.text} is of a kind that is not supported")
        try:
            return _number(text)
        except ValueError:
            raise self._error(token, f"{token.text} is not a number") from None


def _number(text: str) -> int | float:
    """Read a number as Go does: ``1e3`` is a float, ``010`` is octal. Raises ValueError."""
    bare = text.lstrip("+-")
    if re.fullmatch(r"[0-9]+|0[xXbBoO].*", bare):
        number = int(text, 8 if re.fullmatch(r"0[0-9]+", bare) else 0)
        if not -(2**63) <= number < 2**63:
            raise ValueError(text)
        return number
    real = float(text)
    if isinf(real):
        raise ValueError(text)
    return real
