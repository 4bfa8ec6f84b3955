"""A time in the past, as an option."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import click

from bacalhau_cli.options import seconds_of


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
