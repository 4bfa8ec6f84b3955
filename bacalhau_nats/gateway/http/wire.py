"""The habits of Go's JSON and of the public server's request binding, in one place.

Out: compact (or, with ``?pretty``, indented) UTF-8 with a line feed at its end; ``<``, ``>`` and ``&``
escaped except in results. In: the first JSON value of a body counts and what follows is ignored; an empty
body or ``null`` is an empty object; query names match in any case and their first value counts.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from json import JSONDecodeError
from math import isinf
from typing import Any
from urllib.parse import parse_qsl

from starlette.requests import HTTPConnection, Request
from starlette.responses import Response

from bacalhau_nats.domain.draft import fields, text, texts
from bacalhau_nats.errors import InvalidSpec
from bacalhau_nats.gateway import refusals

Json = dict[str, Any]

JSON = "application/json"
_ESCAPES = (
    (b"<", b"\\u003c"),
    (b">", b"\\u003e"),
    (b"&", b"\\u0026"),
    ("\u2028".encode(), b"\\u2028"),
    ("\u2029".encode(), b"\\u2029"),
)
_SURROGATE = "\\ud"
_compact = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), check_circular=False).encode
_indented = json.JSONEncoder(ensure_ascii=False, indent=2, check_circular=False).encode
_TRUE = frozenset({"1", "t", "T", "TRUE", "true", "True"})
_FALSE = frozenset({"", "0", "f", "F", "FALSE", "false", "False"})
_DEEPEST = 100  # pydantic's reader refuses 200 levels, and a record of a node has the spec some levels down
_MOST_VALUES = 20_000  # checking each of a few millions would hold up everybody for half a minute
_BAD_ESCAPE = re.compile("%(?![0-9A-Fa-f]{2})")
_UINT32, _UINT64, _INT64 = (0, 2**32 - 1), (0, 2**64 - 1), (-(2**63), 2**63 - 1)


# --- out ----------------------------------------------------------------------------------------------


def encode(value: Any, *, pretty: bool = False, escape: bool = True) -> bytes:
    """Write JSON as the public server does."""
    # A lone surrogate has no UTF-8: Go would have replaced it when it read it.
    text = (_indented if pretty else _compact)(value).encode("utf-8", "replace") + b"\n"
    if escape:
        for raw, written in _ESCAPES:
            if raw in text:
                text = text.replace(raw, written)
    return text


def answer(request: Request, value: Any, *, status: int = 200, escape: bool = True) -> Response:
    """Make the response to ``request``."""
    query = request.scope["query_string"]
    pretty = b"pretty" in query and "pretty" in Query(request)
    return Response(encode(value, pretty=pretty, escape=escape), status_code=status, media_type=JSON)


def page(items: list[Json], next_token: str = "") -> Json:
    """Wrap a list as list endpoints do."""
    return {"NextToken": next_token, "Items": items}


# --- in: the query --------------------------------------------------------------------------------------


class Query:
    """A query string: names in any case, the first value counts, empty means zero.

    A part that cannot be unescaped or has a semicolon is no part at all, as in Go. ``said`` are values of a body,
    of the right types, that go before those of the query; their names are the query's without ``_`` and ``-``.
    """

    def __init__(self, request: HTTPConnection, said: Mapping[str, Any] | None = None) -> None:
        raw = request.scope["query_string"].decode("latin-1")
        if ";" in raw or _BAD_ESCAPE.search(raw):
            raw = "&".join(one for one in raw.split("&") if ";" not in one and not _BAD_ESCAPE.search(one))
        self._pairs = parse_qsl(raw, keep_blank_values=True, encoding="utf-8")
        self._said = {key.lower(): value for key, value in said.items()} if said else {}

    def __contains__(self, name: str) -> bool:
        return any(key.lower() == name for key, _ in self._pairs)

    def _instead(self, name: str) -> Any:
        return self._said.get(name.replace("_", "").replace("-", "")) if self._said else None

    def text(self, name: str) -> str:
        """Read a text."""
        said = self._instead(name)
        if said is not None:
            return str(said)
        return next((value for key, value in self._pairs if key.lower() == name), "")

    def texts(self, name: str) -> list[str]:
        """Read all values of a repeatable name."""
        return [value for key, value in self._pairs if key.lower() == name]

    def boolean(self, name: str) -> bool:
        """Read a boolean in one of Go's spellings. Raises Refusal (400)."""
        said = self._instead(name)
        if said is not None:
            return bool(said)
        value = self.text(name)
        if value not in _TRUE and value not in _FALSE:
            raise _unreadable("Bool", value, "invalid syntax")
        return value in _TRUE

    def uint32(self, name: str) -> int:
        """Read a limit. Raises Refusal (400)."""
        return self._number(name, "Uint", _UINT32)

    def uint64(self, name: str) -> int:
        """Read a version. Raises Refusal (400)."""
        return self._number(name, "Uint", _UINT64)

    def int64(self, name: str) -> int:
        """Read a number that may be negative. Raises Refusal (400)."""
        return self._number(name, "Int", _INT64)

    def _number(self, name: str, kind: str, bounds: tuple[int, int]) -> int:
        said = self._instead(name)
        return int(said) if said is not None else _integer(self.text(name), kind, bounds)


def _integer(text: str, kind: str, bounds: tuple[int, int]) -> int:
    if not text:
        return 0
    digits = text[1:] if kind == "Int" and text[:1] in "+-" else text
    if not (digits.isascii() and digits.isdigit()):
        raise _unreadable(kind, text, "invalid syntax")
    if len(digits) > len(str(bounds[1])) or not bounds[0] <= int(text) <= bounds[1]:
        raise _unreadable(kind, text, "value out of range")
    return int(text)


def _unreadable(kind: str, text: str, why: str) -> refusals.Refusal:
    return bound(f'strconv.Parse{kind}: parsing "{text}": {why}')


def bound(why: str, status: int = 400) -> refusals.Refusal:
    """Make the answer to a request that does not bind; the message nests as the public server's does."""
    inner = f", internal={why}" if status == 400 else ""  # noqa: PLR2004 - the HTTP status
    return refusals.bad_request(f"code={status}, message={why}{inner}")


# --- in: the body ---------------------------------------------------------------------------------------


ENVELOPE: dict[str, Callable[[Any, str], Any]] = {
    "Namespace": text,
    "IdempotencyToken": text,
    "Credential": fields("apimodels.HTTPCredential", {"Scheme": text, "Value": text, "Params": texts}),
}
"""What the body of every write may have beside its own fields; credentials in it are not looked at."""


def body_of(name: str, table: Mapping[str, Callable[[Any, str], Any]]) -> Callable[[Request], Any]:
    """Make the reader of a body with these keys; a missing body is an empty object."""
    decode = fields(f"apimodels.{name}", dict(table))

    async def read(request: Request) -> Json:
        raw = await request.body()
        if not raw:
            return {}
        media = request.headers.get("content-type", "").partition(";")[0].strip()
        if media != JSON:
            raise bound("Unsupported Media Type", 415)
        value = first_value(raw)
        if value is None:
            return {}
        try:
            found: Json = decode(value, "")
        except InvalidSpec as error:
            raise bound(error.message) from None
        return found

    return read


def _no_constant(name: str) -> Any:
    raise JSONDecodeError("Expecting value", name, 0)


def _finite(text: str) -> float:
    """Read a number that Go can hold. Raises ValueError."""
    number = float(text)
    if isinf(number):
        raise ValueError(text)
    return number


_decoder = json.JSONDecoder(parse_constant=_no_constant, parse_float=_finite)
_SYNTAX = (
    ("Expecting property name", "looking for beginning of object key string"),
    ("Illegal trailing comma before end of object", "looking for beginning of object key string"),
    ("Illegal trailing comma before end of array", "looking for beginning of value"),
    ("Expecting ':'", "after object key"),
    ("Expecting ','", "after object key:value pair or array element"),
    ("Invalid control character", "in string literal"),
    ("Invalid \\escape", "in string escape code"),
    ("Invalid \\uXXXX", "in \\u hexadecimal character escape"),
)


def first_value(raw: bytes) -> Any:
    """Read the first JSON value of a body. Raises Refusal (400) as the public server words it."""
    text = raw.decode("utf-8", "replace").lstrip(" \t\r\n")
    skipped = len(raw.decode("utf-8", "replace")) - len(text)
    if not text:
        raise bound("EOF")
    try:
        value = _decoder.raw_decode(text)[0]
    except JSONDecodeError as error:
        raise bound_syntax(text, error, skipped) from None
    except (ValueError, RecursionError):
        raise bound("exceeded max depth or length of a number") from None
    _check_shape(value)
    return _without_lone_surrogates(value) if _SURROGATE in text.lower() else value


def _without_lone_surrogates(value: Any) -> Any:
    """Put U+FFFD where half a character was escaped, as Go does: it has no UTF-8 and could not be stored."""
    text = _compact(value).encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return _decoder.decode(text)


def _check_shape(value: Any) -> None:
    """Walk a value level by level. Raises Refusal (400) when it nests too deep or holds too many values."""
    level, seen = [value], 0
    for _ in range(_DEEPEST):
        inner = [one for one in level if isinstance(one, dict | list)]
        level = [child for one in inner for child in (one.values() if isinstance(one, dict) else one)]
        seen += len(level)
        if not level:
            return
        if seen > _MOST_VALUES:
            raise bound(f"the JSON holds more than {_MOST_VALUES} values")
    raise bound(f"exceeded max depth: the JSON nests deeper than {_DEEPEST} levels")


def bound_syntax(text: str, error: JSONDecodeError, skipped: int) -> refusals.Refusal:
    """Word a syntax error: what character at which byte, and what was looked for."""
    at = error.pos
    while at < len(text) and text[at] in " \t\r\n":
        at += 1
    if at >= len(text) or error.msg.startswith("Unterminated string"):
        return bound("unexpected EOF")
    byte = text[at].encode("utf-8", "replace")[:1].decode("latin-1")
    shown = {"'": "\\'", '"': '"'}.get(byte, byte)
    looked_for = next(
        (words for start, words in _SYNTAX if error.msg.startswith(start)), "looking for beginning of value"
    )
    why = f"invalid character '{shown}' {looked_for}"
    offset = skipped + len(text[:at].encode("utf-8", "replace")) + 1
    return refusals.bad_request(
        f"code=400, message=Syntax error: offset={offset}, error={why}, internal={why}"
    )
