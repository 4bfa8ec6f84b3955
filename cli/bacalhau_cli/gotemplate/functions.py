"""The functions that every Go template has. Each takes values and gives one, or raises Fault. Pure."""

from __future__ import annotations

import html as html_entities
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import quote_plus

from bacalhau_cli.gotemplate.formatting import Fault, kind_of, show, sprint, sprintf
from bacalhau_cli.gotemplate.quoting import printable

Value = Any  # str | int | float | bool | None | Mapping[str, str]

_JS = {"\\": "\\\\", "'": "\\'", '"': '\\"', "<": "\\u003C", ">": "\\u003E", "&": "\\u0026", "=": "\\u003D"}


def truth(value: Value) -> bool:
    """Say whether a value counts as true: it is not empty and not zero."""
    return bool(value)


def _text(arguments: tuple[Value, ...]) -> str:
    return arguments[0] if len(arguments) == 1 and isinstance(arguments[0], str) else sprint(arguments)


def _html(*arguments: Value) -> str:
    escaped = html_entities.escape(_text(arguments)).replace("&quot;", "&#34;").replace("&#x27;", "&#39;")
    return escaped.replace("\0", "\ufffd")


def _js(*arguments: Value) -> str:
    return "".join(_js_character(one) for one in _text(arguments))


def _js_character(one: str) -> str:
    if one in _JS:
        return _JS[one]
    number = ord(one)
    if number < 0x20 or (number >= 0x80 and not printable(one)):  # noqa: PLR2004 - control characters; ASCII's end
        return f"\\u{number:04X}"
    return one


def _urlquery(*arguments: Value) -> str:
    return quote_plus(_text(arguments), safe="")


def _len(value: Value) -> int:
    if isinstance(value, str):
        return len(value.encode())
    if isinstance(value, Mapping):
        return len(value)
    raise Fault(f"a {kind_of(value)} has no length")


def _index(value: Value, *keys: Value) -> Value:
    for key in keys:
        if isinstance(value, Mapping):
            if not isinstance(key, str):
                raise Fault(f"the names of the variables are strings, not {kind_of(key)}")
            value = value.get(key, "")
        elif isinstance(value, str):
            data = value.encode()
            value = data[_position(key, len(data) - 1)]
        else:
            raise Fault(f"a {kind_of(value)} has no parts")
    return value


def _position(key: Value, most: int) -> int:
    if isinstance(key, bool) or not isinstance(key, int):
        raise Fault(f"a position is a whole number, not a {kind_of(key)}")
    if not 0 <= key <= most:
        raise Fault(f"position {key} is out of range")
    return key


def _slice(value: Value, *bounds: Value) -> str:
    if not isinstance(value, str):
        raise Fault(f"a {kind_of(value)} cannot be sliced")
    if len(bounds) > 2:  # noqa: PLR2004 - from, to
        raise Fault("a string has no third bound")
    data = value.encode()
    begin, end = (*(_position(one, len(data)) for one in bounds), *(0, len(data))[len(bounds) :])
    if begin > end:
        raise Fault(f"it cannot go from {begin} to {end}")
    return data[begin:end].decode("utf-8", "replace")


def _call(*_: Value) -> Value:
    raise Fault("there is no function that could be called")


def _not(value: Value) -> bool:
    return not truth(value)


def _println(*arguments: Value) -> str:
    return " ".join(show(one) for one in arguments) + "\n"


def _printf(pattern: Value, *arguments: Value) -> str:
    if not isinstance(pattern, str):
        raise Fault(f"its pattern is a string, not a {kind_of(pattern)}")
    return sprintf(pattern, arguments)


def _print(*arguments: Value) -> str:
    return sprint(arguments)


def _equal(first: Value, second: Value) -> bool:
    if first is None or second is None:
        return first is second
    if kind_of(first) != kind_of(second):
        raise Fault(f"a {kind_of(first)} and a {kind_of(second)} cannot be compared")
    if isinstance(first, Mapping):
        raise Fault("maps cannot be compared")
    return bool(first == second)


def _eq(first: Value, *others: Value) -> bool:
    if not others:
        raise Fault("there is nothing to compare with")
    return any(_equal(first, one) for one in others)


def _ne(first: Value, second: Value) -> bool:
    return not _equal(first, second)


def _less(first: Value, second: Value) -> bool:
    if kind_of(first) != kind_of(second):
        raise Fault(f"a {kind_of(first)} and a {kind_of(second)} cannot be compared")
    if not isinstance(first, str | int | float) or isinstance(first, bool):
        raise Fault(f"a {kind_of(first)} has no order")
    if isinstance(first, str):
        return first.encode() < str(second).encode()
    return bool(first < second)


def _le(first: Value, second: Value) -> bool:
    return _less(first, second) or _equal(first, second)


def _gt(first: Value, second: Value) -> bool:
    return not _le(first, second)


def _ge(first: Value, second: Value) -> bool:
    return not _less(first, second)


_MANY = 1 << 30
FUNCTIONS: Mapping[str, tuple[Callable[..., Value], int, int]] = {
    # and, or: the evaluator stops at the argument that decides, so they are not called
    "and": (_call, 1, _MANY),
    "or": (_call, 1, _MANY),
    "not": (_not, 1, 1),
    "len": (_len, 1, 1),
    "index": (_index, 1, _MANY),
    "slice": (_slice, 1, _MANY),
    "call": (_call, 1, _MANY),
    "html": (_html, 0, _MANY),
    "js": (_js, 0, _MANY),
    "urlquery": (_urlquery, 0, _MANY),
    "print": (_print, 0, _MANY),
    "printf": (_printf, 1, _MANY),
    "println": (_println, 0, _MANY),
    "eq": (_eq, 1, _MANY),
    "ne": (_ne, 2, 2),
    "lt": (_less, 2, 2),
    "le": (_le, 2, 2),
    "gt": (_gt, 2, 2),
    "ge": (_ge, 2, 2),
}
"""Each function with how many arguments it takes, at least and at most."""
