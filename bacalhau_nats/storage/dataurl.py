"""Data URLs (RFC 2397): ``data:[<media type>][;base64],<data>``."""

from __future__ import annotations

import binascii
from typing import NamedTuple
from urllib.parse import unquote_to_bytes

_DEFAULT = "text/plain"


class Content(NamedTuple):
    """What a data URL holds; the media type is in lower case and without its parameters."""

    media_type: str
    data: bytes


def parse_data_url(url: str) -> Content:
    """Read a data URL. Raises ValueError saying what is wrong with it."""
    scheme, colon, rest = url.partition(":")
    if not colon or scheme.strip().lower() != "data":
        raise ValueError("it does not start with data:")
    head, comma, body = rest.partition(",")
    if not comma:
        raise ValueError("it has no comma before its data")
    media, *parameters = (part.strip().lower() for part in head.split(";"))
    data = body.encode() if "%" not in body else unquote_to_bytes(body)
    if parameters and parameters[-1] == "base64":
        try:
            data = binascii.a2b_base64(data, strict_mode=True) if data else b""
        except binascii.Error as error:
            raise ValueError(f"its base64 is damaged: {error}") from None
    return Content(media or _DEFAULT, data)
