"""Label selectors: the Kubernetes grammar, and what a requirement means.

The text form is that of ``k8s.io/apimachinery/pkg/labels`` (the ``labels`` query of the public API, the
``--constraints`` flag): requirements joined by commas, all of which must hold.

=====================  ==============  ==========================================================
Text                   Operator        Holds when
=====================  ==============  ==========================================================
``k=v``  ``k==v``      ``=``           the label is there and has the value
``k!=v``               ``!=``          the label is absent or has another value
``k in (a,b)``         ``in``          the label is there and has one of the values
``k notin (a,b)``      ``notin``       the label is absent or has none of the values
``k``                  ``exists``      the label is there
``!k``                 ``!``           the label is absent
``k>5``  ``k<5``       ``gt`` ``lt``   the label is there, an integer, and greater or less
=====================  ==============  ==========================================================

A requirement of a job that has no operator, or one that is not in the table, counts as ``=``: the public
API accepts it so.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from bacalhau_nats.domain.spec import Requirement
from bacalhau_nats.errors import InvalidSpec

_SPECIAL = frozenset("=!(),><")
_SYMBOLS = frozenset({")", ",", "!", "==", "=", "!=", "(", ">", "<"})
_BINARY = {"in": "in", "notin": "notin", "=": "=", "==": "=", "!=": "!=", ">": "gt", "<": "lt"}
_WORDS = {"=": "=", "!=": "!=", "gt": ">", "lt": "<"}
_NAME = re.compile(r"^([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]$")
_SUBDOMAIN = re.compile(r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$")
_INTEGER = re.compile(r"^[+-]?[0-9]+$")
_MAX_NAME = 63
_MAX_PREFIX = 253
_END = ""


# --- what a requirement means ---------------------------------------------------------------------


def match(requirements: Iterable[Requirement], labels: Mapping[str, str]) -> bool:
    """Say whether ``labels`` satisfy every requirement."""
    return all(holds(requirement, labels) for requirement in requirements)


def holds(requirement: Requirement, labels: Mapping[str, str]) -> bool:
    """Say whether ``labels`` satisfy one requirement."""
    value = labels.get(requirement.key)
    match requirement.operator:
        case "in":
            return value is not None and value in requirement.values
        case "!=" | "notin":
            return value is None or value not in requirement.values
        case "exists":
            return value is not None
        case "!":
            return value is None
        case "gt" | "lt":
            return _compares(requirement, value)
        case _:
            return value is not None and value in requirement.values


def _compares(requirement: Requirement, value: str | None) -> bool:
    if value is None or len(requirement.values) != 1:
        return False
    bound = requirement.values[0]
    if not (_INTEGER.match(value) and _INTEGER.match(bound)):
        return False
    return int(value) > int(bound) if requirement.operator == "gt" else int(value) < int(bound)


# --- text out -----------------------------------------------------------------------------------------


def canonical(requirements: Iterable[Requirement]) -> str:
    """Write requirements as a selector, as the public clients do; `parse` reads it back."""
    return ",".join(_canonical(requirement) for requirement in requirements)


def _canonical(requirement: Requirement) -> str:
    match requirement.operator:
        case "exists":
            return requirement.key
        case "!":
            return f"!{requirement.key}"
        case "in" | "notin":
            # A single empty value would read as "no values": "(,)" says it.
            values = ",".join(sorted(set(requirement.values))) or ","
            return f"{requirement.key} {requirement.operator} ({values})"
        case _:
            sign = _WORDS.get(requirement.operator, "=")
            return f"{requirement.key}{sign}{requirement.values[0] if requirement.values else ''}"


def show(requirements: Iterable[Requirement]) -> str:
    """Write requirements for people, as messages of the public API do: ``[zone in mars]``."""
    parts = (f"{one.key} {one.operator} {','.join(one.values)}" for one in requirements)
    return f"[{' '.join(parts)}]"


# --- text in --------------------------------------------------------------------------------------------


def parse(text: str) -> tuple[Requirement, ...]:
    """Read a selector. Raises InvalidSpec with what was found and what was expected."""
    return _Parser(_tokens(text)).requirements()


def _tokens(text: str) -> list[str]:
    tokens: list[str] = []
    at = 0
    while at < len(text):
        if text[at].isspace():
            at += 1
        elif text[at] in _SPECIAL:
            size = 2 if text[at : at + 2] in _SYMBOLS else 1
            tokens.append(text[at : at + size])
            at += size
        else:
            start = at
            while at < len(text) and text[at] not in _SPECIAL and not text[at].isspace():
                at += 1
            tokens.append(text[start:at])
    return tokens


def _is_word(word: str) -> bool:
    return word != _END and word not in _SYMBOLS


class _Parser:
    """Recursive descent over the tokens, with the error texts of the Go parser."""

    def __init__(self, tokens: list[str]) -> None:
        self._tokens = tokens
        self._at = 0

    def _look(self) -> str:
        return self._tokens[self._at] if self._at < len(self._tokens) else _END

    def _take(self) -> str:
        word = self._look()
        self._at += 1
        return word

    def requirements(self) -> tuple[Requirement, ...]:
        found: list[Requirement] = []
        while (word := self._look()) != _END:
            if not _is_word(word) and word != "!":
                raise InvalidSpec(f"found '{word}', expected: !, identifier, or 'end of string'")
            try:
                found.append(self._requirement())
            except InvalidSpec as error:
                raise InvalidSpec(f"unable to parse requirement: {error.message}") from None
            word = self._take()
            if word == _END:
                break
            if word != ",":
                raise InvalidSpec(f"found '{word}', expected: ',' or 'end of string'")
            following = self._look()
            if not _is_word(following) and following != "!":
                raise InvalidSpec(f"found '{following}', expected: identifier after ','")
        return tuple(found)

    def _requirement(self) -> Requirement:
        absent = self._look() == "!"
        if absent:
            self._take()
        key = self._take()
        if not _is_word(key):
            raise InvalidSpec(f"found '{key}', expected: identifier")
        _check_key(key)
        if absent or self._look() in (_END, ","):
            return Requirement(key=key, operator="!" if absent else "exists")
        word = self._take()
        operator = _BINARY.get(word)
        if operator is None:
            raise InvalidSpec(f"found '{word}', expected: in, notin, =, ==, !=, gt, lt")
        values = self._values() if operator in ("in", "notin") else (self._exact_value(),)
        _check_values(key, operator, values)
        return Requirement(key=key, operator=operator, values=values)

    def _exact_value(self) -> str:
        if self._look() in (_END, ","):
            return ""
        word = self._take()
        if not _is_word(word):
            raise InvalidSpec(f"found '{word}', expected: identifier")
        return word

    def _values(self) -> tuple[str, ...]:
        word = self._take()
        if word != "(":
            raise InvalidSpec(f"found '{word}' expected: '('")
        values: set[str] = set()
        expect_value = True  # a comma, or the end, where a value could stand means the empty value
        while (word := self._take()) != ")":
            if word == ",":
                if expect_value:
                    values.add("")
                expect_value = True
            elif not _is_word(word):
                raise InvalidSpec(f"found '{word}', expected: ',', or identifier")
            elif not expect_value:
                raise InvalidSpec(f"found '{word}', expected: ',' or ')'")
            else:
                values.add(word)
                expect_value = False
        if expect_value:
            values.add("")
        return tuple(sorted(values))


def _check_key(key: str) -> None:
    prefix, slash, name = key.rpartition("/")
    if slash and (not _SUBDOMAIN.match(prefix) or len(prefix) > _MAX_PREFIX):
        raise InvalidSpec(
            f'<nil>: Invalid value: "{key}": prefix part must be a lowercase RFC 1123 subdomain of at most '
            f"{_MAX_PREFIX} characters"
        )
    if len(name) > _MAX_NAME:
        raise InvalidSpec(f'<nil>: Invalid value: "{key}": name part must be no more than 63 characters')
    if not _NAME.match(name):
        raise InvalidSpec(
            f"<nil>: Invalid value: \"{key}\": name part must consist of alphanumeric characters, '-', '_' "
            "or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  "
            "or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')"
        )


def _check_values(key: str, operator: str, values: tuple[str, ...]) -> None:
    if operator in ("in", "notin") and not values:
        raise InvalidSpec("values: Invalid value: []: for 'in', 'notin' operators, values set can't be empty")
    for index, value in enumerate(values):
        if operator in ("gt", "lt") and not _INTEGER.match(value):
            raise InvalidSpec(
                f"values[{index}]: Invalid value: \"{value}\": for 'Gt', 'Lt' operators, the value must be "
                "an integer"
            )
        if len(value) > _MAX_NAME:
            raise InvalidSpec(
                f'values[{index}][{key}]: Invalid value: "{value}": must be no more than 63 characters'
            )
        if value and not _NAME.match(value):
            raise InvalidSpec(
                f'values[{index}][{key}]: Invalid value: "{value}": a valid label must be an empty string or '
                "consist of alphanumeric characters, '-', '_' or '.', and must start and end with an "
                "alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for "
                "validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')"
            )
