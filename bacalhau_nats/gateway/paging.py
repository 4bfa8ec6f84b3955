"""Paging tokens of the public API: base64url without padding of ``SortBy:R:Limit:Offset``."""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass

from bacalhau_nats.gateway import refusals

_PARTS = 4
_LIMIT_BITS, _OFFSET_BITS = 32, 32


@dataclass(frozen=True, slots=True)
class Page:
    """Where a list goes on. A limit of 0 means all."""

    order_by: str = ""
    reverse: bool = False
    limit: int = 0
    offset: int = 0

    def token(self) -> str:
        """Write this page as a token."""
        text = f"{self.order_by}:{'Y' if self.reverse else 'N'}:{self.limit}:{self.offset}"
        return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def read_token(token: str) -> Page:
    """Read a token. Raises Refusal (400) when it is none."""
    try:
        padded = token + "=" * (-len(token) % 4)
        text = base64.b64decode(padded, altchars=b"-_", validate=True).decode("utf-8", "replace")
    except (binascii.Error, ValueError):
        raise _bad("failed to decode paging token", token) from None
    if token.endswith("="):
        raise _bad("failed to decode paging token", token)
    parts = text.split(":")
    if len(parts) != _PARTS:
        raise _bad("invalid number of parts", token)
    order_by, reverse, limit, offset = parts
    return Page(
        order_by,
        reverse == "Y",
        _number(limit, _LIMIT_BITS, token),
        _number(offset, _OFFSET_BITS, token),
    )


def _number(text: str, bits: int, token: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < bits) or int(text) >= 2**bits:
        raise _bad("malformed token", token)
    return int(text)


def _bad(why: str, token: str) -> refusals.Refusal:
    return refusals.bad_request(f"{why}: invalid paging token: {token}")
