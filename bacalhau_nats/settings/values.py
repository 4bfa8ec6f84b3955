"""Kinds of value a key can have: durations, sizes and choices, read from text and printed back.

A duration is written in Go's syntax (``1m30s``, ``24h``; a bare number is seconds) and held as float
seconds. A size is written as ``512MB`` (powers of 1000) or ``1GiB`` (powers of 1024) and held as bytes.
"""

from __future__ import annotations

import re
from decimal import Decimal, InvalidOperation
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, PlainSerializer, WithJsonSchema

from bacalhau_nats.domain.resources import parse_bytes, parse_cpu, parse_gpu
from bacalhau_nats.domain.times import NANOSECONDS, duration_of
from bacalhau_nats.errors import InvalidSpec

_SECOND = 1_000_000_000
_SIZE_UNITS = tuple(
    sorted(
        [(f"{letter}iB", 1024**power) for power, letter in enumerate("KMGTPE", 1)]
        + [(f"{letter}B", 1000**power) for power, letter in enumerate("kMGTPE", 1)],
        key=lambda unit: -unit[1],
    )
)


def parse_duration(value: object) -> float:
    """Read ``1m30s``, ``-5s``, ``24h`` or plain seconds as seconds.

    Raises ValueError for anything else. The syntax is that of Go's ``time.ParseDuration``, plus plain
    numbers.
    """
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise ValueError(f"{value!r} is no duration")  # noqa: TRY004 - pydantic reads ValueError only
    if not isinstance(value, str):
        return _finite(Decimal(repr(value)), value)
    text = value.strip()
    sign, body = (-1, text[1:]) if text.startswith("-") else (1, text.removeprefix("+"))
    nanoseconds = duration_of(body)
    if nanoseconds is not None:
        return float(sign * nanoseconds / _SECOND)
    try:
        return sign * _finite(Decimal(body), value)
    except InvalidOperation:
        raise ValueError(f"{value!r} is no duration") from None


def _finite(seconds: Decimal, value: object) -> float:
    if not seconds.is_finite():
        raise ValueError(f"{value!r} is no duration")
    return float(seconds)


def format_duration(seconds: float) -> str:
    """Print seconds as Go prints a duration: ``1m30s``, ``24h0m0s``, ``1.5s``, ``250ms``, ``0s``."""
    total = int((Decimal(repr(seconds)) * _SECOND).to_integral_value())
    sign, total = ("-", -total) if total < 0 else ("", total)
    if total == 0:
        return "0s"
    if total < _SECOND:
        unit = next(unit for unit in ("ms", "µs", "ns") if total >= NANOSECONDS[unit])
        return f"{sign}{_plain(Decimal(total) / NANOSECONDS[unit])}{unit}"
    whole, fraction = divmod(total, _SECOND)
    minutes, rest = divmod(whole, 60)
    hours, minutes = divmod(minutes, 60)
    text = f"{_plain(rest + Decimal(fraction) / _SECOND)}s"
    if hours or minutes:
        text = f"{minutes}m{text}"
    return f"{sign}{hours}h{text}" if hours else f"{sign}{text}"


def _plain(number: Decimal) -> str:
    text = f"{number:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def parse_size(value: object) -> int:
    """Read ``512MB``, ``1GiB`` or bare bytes as bytes. Raises ValueError for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise ValueError(f"{value!r} is no size")  # noqa: TRY004 - pydantic reads ValueError only
    if isinstance(value, int):
        if value < 0:
            raise ValueError(f"{value!r} is no size")
        return value
    try:
        return parse_bytes(value)
    except InvalidSpec as error:
        raise ValueError(error.message) from None


def format_size(size: int) -> str:
    """Print bytes with the largest unit that keeps them exact: ``1GiB``, ``512MB``, ``1500``."""
    if size:
        for unit, factor in _SIZE_UNITS:
            if size % factor == 0:
                return f"{size // factor}{unit}"
    return str(size)


def check_amount(resource: str, text: str) -> None:
    """Check an amount of ``cpu``, ``memory``, ``disk`` or ``gpu``. Raises ValueError that says how to write it."""
    try:
        {"cpu": parse_cpu, "gpu": parse_gpu}.get(resource, parse_bytes)(text)
    except InvalidSpec as error:
        raise ValueError(f"{error.message}; {error.hint}") from None


def _trimmed(value: Any) -> Any:
    return value.strip() if isinstance(value, str) else value


def _lower(value: Any) -> Any:
    return value.strip().lower() if isinstance(value, str) else value


def _server_url(value: str) -> str:
    url = value if "://" in value else f"nats://{value}"
    scheme, _, rest = url.partition("://")
    if scheme not in ("nats", "tls", "ws", "wss") or not rest or re.search(r"[\s,;]", rest):
        raise ValueError("expected the URL of a NATS server such as nats://host:4222")
    return url


Duration = Annotated[
    float,
    BeforeValidator(parse_duration),
    PlainSerializer(format_duration, return_type=str, when_used="json"),
    WithJsonSchema({"type": "string", "format": "duration"}),
]
"""Seconds; written and printed in Go's syntax."""

Size = Annotated[
    int,
    BeforeValidator(parse_size),
    PlainSerializer(format_size, return_type=str, when_used="json"),
    WithJsonSchema({"type": "string", "format": "size"}),
]
"""Bytes; written and printed with a unit."""

Text = Annotated[str, BeforeValidator(_trimmed)]
Lower = BeforeValidator(_lower)
"""Before a `Literal`: the choice is matched without regard to case."""

ServerURL = Annotated[str, BeforeValidator(_trimmed), AfterValidator(_server_url)]
"""Where a NATS server listens; ``nats://`` is added when no scheme is given."""
