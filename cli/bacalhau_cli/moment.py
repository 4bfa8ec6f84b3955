"""Durations, and times in the past, as people write them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import click

from bacalhau_nats.domain.times import duration_of
from bacalhau_nats.errors import UserError


def seconds_of(text: str) -> float | None:
    """Read a duration as Go writes it, such as ``5m0s``; None when it is none."""
    nanoseconds = duration_of(text)
    return None if nanoseconds is None else float(nanoseconds) / 1e9


def seconds(text: str, what: str) -> float:
    """Read a duration. Raises UserError that begins with ``what`` it is."""
    found = seconds_of(text)
    if found is None:
        raise UserError(f"{what}: {text!r} is not a duration", hint="write it as 300s or 5m0s")
    return found


class Moment(click.ParamType[str]):
    """A time in the past: how long ago (``10m``), unix seconds, or RFC 3339 (UTC where it names no zone)."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Check it; the server, whose clock counts, reads it."""
        text = str(value).strip()
        if text and not text.isdecimal() and seconds_of(text) is None:
            try:
                moment = datetime.fromisoformat(text)
            except ValueError:
                self.fail(
                    f"{value!r} is not a time; write it as 10m, 2026-01-31T10:20:30Z or unix seconds",
                    param,
                    ctx,
                )
            return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).isoformat()
        return text
