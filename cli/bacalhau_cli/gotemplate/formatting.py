"""Values as text, as Go's fmt package writes them. Pure."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

from bacalhau_cli.gotemplate.quoting import quote

Value = Any

_VERB = re.compile(r"%(?P<flags>[-+# 0]*)(?P<width>\d*)(?:\.(?P<precision>\d*))?(?P<verb>.?)", re.DOTALL)
_WIDEST = 1_000_000
_KINDS = ((bool, "bool"), (int, "int"), (float, "float64"), (str, "string"), (Mapping, "map"))
_STRINGS, _WHOLE, _REAL = frozenset("sqxXv"), frozenset("dbocxXUqOv"), frozenset("fFeEgGv")


class Fault(Exception):
    """A function cannot work with what it was given."""


def kind_of(value: Value) -> str:
    """Name a value's type as Go does."""
    return next((name for kind, name in _KINDS if isinstance(value, kind)), "nil")


def show(value: Value) -> str:
    """Write a value as ``%v`` does."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return _shortest(value, "g")
    if isinstance(value, Mapping):
        return f"map[{' '.join(f'{key}:{value[key]}' for key in sorted(value))}]"
    return "<no value>" if value is None else str(value)


def sprint(values: Sequence[Value]) -> str:
    """Write values one behind the other, with a blank between two that are no strings."""
    parts: list[str] = []
    for index, value in enumerate(values):
        if index and not isinstance(value, str) and not isinstance(values[index - 1], str):
            parts.append(" ")
        parts.append("<nil>" if value is None else show(value))
    return "".join(parts)


def sprintf(pattern: str, values: Sequence[Value]) -> str:
    """Fill a pattern in. Raises Fault where Go would write a mark such as ``%!d(string=x)`` into the text."""
    left = list(values)

    def one(match: re.Match[str]) -> str:
        verb = match["verb"]
        if verb == "%":
            return "%"
        if not verb:
            raise Fault("a % at the end of the pattern means nothing; write %%")
        if not left:
            raise Fault(f"there is no value for {match.group()}")
        if int(match["width"] or 0) > _WIDEST or int(match["precision"] or 0) > _WIDEST:
            raise Fault(f"{match.group()} is too wide")
        return _pad(match, _format(match, left.pop(0)))

    written = _VERB.sub(one, pattern)
    if left:
        raise Fault(f"there is a value too many: {show(left[0])}")
    return written


def _format(match: re.Match[str], value: Value) -> str:
    verb, flags = match["verb"], match["flags"]
    precision = None if match["precision"] is None else int(match["precision"] or 0)
    if verb == "T":
        return "map[string]string" if isinstance(value, Mapping) else f"{kind_of(value)}"
    if verb == "v" and (isinstance(value, bool | Mapping) or value is None):
        return "<nil>" if value is None else show(value)
    if isinstance(value, bool):
        if verb == "t":
            return show(value)
    elif isinstance(value, str):
        if verb in _STRINGS:
            return _string(verb, flags, precision, value)
    elif isinstance(value, int):
        if verb in _WHOLE:
            return _whole(verb, flags, precision, value)
    elif isinstance(value, float) and verb in _REAL:
        return _sign(flags, _real(verb, precision, value))
    raise Fault(f"%{verb} cannot show the {kind_of(value)} {show(value)}")


def _string(verb: str, flags: str, precision: int | None, value: str) -> str:
    value = value if precision is None else value[:precision]
    if verb == "q" or (verb == "v" and "#" in flags):
        backquoted = (
            "#" in flags and verb == "q" and "`" not in value and all(c >= " " or c == "\t" for c in value)
        )
        return f"`{value}`" if backquoted else quote(value, ascii_only="+" in flags)
    if verb in "xX":
        data = value.encode().hex(" ") if " " in flags else value.encode().hex()
        return _case(verb, ("0x" if "#" in flags and value else "") + data)
    return value


def _whole(verb: str, flags: str, precision: int | None, value: int) -> str:
    if verb in "cq":
        character = chr(value) if 0 <= value < 0x110000 and not 0xD800 <= value < 0xE000 else "\ufffd"  # noqa: PLR2004
        return character if verb == "c" else quote(character, mark="'", ascii_only="+" in flags)
    if verb == "U":
        return f"U+{value:04X}"
    spelled = {"b": "b", "o": "o", "O": "o", "x": "x", "X": "x"}.get(verb, "d")
    digits = format(abs(value), spelled).zfill(precision or 0)
    if precision == 0 and value == 0:
        digits = ""
    prefix = (
        "0o" if verb == "O" else {"b": "0b", "o": "0", "x": "0x"}.get(spelled, "") if "#" in flags else ""
    )
    text = ("-" if value < 0 else "") + prefix + digits
    return _case(verb, _sign(flags, text))


def _case(verb: str, text: str) -> str:
    return text.upper() if verb == "X" else text


def _sign(flags: str, text: str) -> str:
    if text.startswith(("-", "+")):
        return text
    return ("+" if "+" in flags else " " if " " in flags else "") + text


def _real(verb: str, precision: int | None, value: float) -> str:
    if math.isinf(value) or math.isnan(value):
        return _shortest(value, "g")
    kind = verb.lower().replace("v", "g")
    if precision is None and kind == "g":
        return _shortest(value, verb if verb in "gG" else "g")
    text = format(value, f".{6 if precision is None else precision}{kind}")
    return text.upper() if verb in "EG" else text


def _shortest(value: float, verb: str) -> str:
    """Write a number with as few digits as tell it from others; from 1e6 on, and below 1e-4, with an exponent."""
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    sign, digits, exponent = _digits(value)
    if -5 < exponent < 6:  # noqa: PLR2004 - Go's own limits
        if exponent < 0:
            return f"{sign}0.{'0' * (-exponent - 1)}{digits}"
        padded = digits.ljust(exponent + 1, "0")
        whole, rest = padded[: exponent + 1], padded[exponent + 1 :]
        return sign + whole + (f".{rest}" if rest else "")
    tail = f".{digits[1:]}" if digits[1:] else ""
    mark = "E" if verb == "G" else "e"
    return f"{sign}{digits[0]}{tail}{mark}{'-' if exponent < 0 else '+'}{abs(exponent):02d}"


def _digits(value: float) -> tuple[str, str, int]:
    """Give sign, digits, and the power of ten of the first digit."""
    mantissa, _, power = f"{value!r}".lstrip("-").partition("e")
    whole, _, rest = mantissa.partition(".")
    digits = (whole + rest).lstrip("0")
    exponent = int(power or 0) + (
        len(whole) - 1 if whole != "0" else -1 - (len(rest) - len(rest.lstrip("0")))
    )
    return "-" if math.copysign(1, value) < 0 else "", digits.rstrip("0") or "0", exponent if digits else 0


def _pad(match: re.Match[str], text: str) -> str:
    width, flags = int(match["width"] or 0), match["flags"]
    if "-" in flags:
        return text.ljust(width)
    if "0" in flags and width > len(text):
        numeric = match["verb"] in "dboxXOfFeEgG" and text[:2] != "0x"
        sign = text[:1] if numeric and text[:1] in "+- " else ""
        return sign + text[len(sign) :].rjust(width - len(sign), "0")
    return text.rjust(width)
