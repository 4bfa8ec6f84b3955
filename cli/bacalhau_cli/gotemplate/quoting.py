"""Go's string syntax: reading literals, and writing them for ``%q``. Pure."""

from __future__ import annotations

import re

_SIMPLE = {
    "a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v",
    "\\": "\\", "'": "'", '"': '"',
}  # fmt: skip
_SHOWN = {written: f"\\{letter}" for letter, written in _SIMPLE.items() if letter not in "'\""}
_ESCAPE = re.compile(
    r"\\(?:x([0-9A-Fa-f]{2})|u([0-9A-Fa-f]{4})|U([0-9A-Fa-f]{8})|([0-7]{3})|(.)|$)|([^\\]+)", re.DOTALL
)
_BIGGEST_BYTE = 0xFF
_SURROGATES = range(0xD800, 0xE000)


def unquote(text: str) -> str | int:
    """Read a string, a raw string, or a character (which is its number). Raises ValueError."""
    inner = text[1:-1]
    if text[0] == "`":
        return inner.replace("\r", "")
    # A byte written as \xff need not be UTF-8 by itself, so everything is put together as bytes first.
    pieces = [_piece(match, text[0]) for match in _ESCAPE.finditer(inner)]
    whole = b"".join(pieces).decode("utf-8", "replace")
    if text[0] == '"':
        return whole
    number = re.fullmatch(r"\\(?:x([0-9A-Fa-f]{2})|([0-7]{3}))", inner)
    if number:
        return int(number.group(1), 16) if number.group(1) else int(number.group(2), 8)
    if len(whole) != 1:
        raise ValueError("it is not one character")
    return ord(whole)


def _piece(match: re.Match[str], quote: str) -> bytes:
    two, four, eight, octal, simple, plain = match.groups()
    if plain is not None:
        return plain.encode("utf-8", "replace")
    if two is not None or octal is not None:
        number = int(two, 16) if two is not None else int(octal, 8)
        if number > _BIGGEST_BYTE:
            raise ValueError(f"{match.group()} is no byte")
        return bytes([number])
    if four is not None or eight is not None:
        number = int(four or eight, 16)
        if number in _SURROGATES or number > 0x10FFFF:  # noqa: PLR2004 - the last character there is
            raise ValueError(f"{match.group()} is no character")
        return chr(number).encode()
    if simple not in _SIMPLE or (simple in "'\"" and simple != quote):
        raise ValueError(f"unknown escape {match.group()}")
    return _SIMPLE[simple].encode()


def quote(text: str, *, mark: str = '"', ascii_only: bool = False) -> str:
    """Write a string as Go's ``%q`` does."""
    return mark + "".join(_shown(one, mark, ascii_only=ascii_only) for one in text) + mark


def _shown(character: str, mark: str, *, ascii_only: bool) -> str:
    if character == mark:
        return f"\\{mark}"
    if character in _SHOWN:
        return _SHOWN[character]
    number = ord(character)
    if printable(character) and (number < 0x80 or not ascii_only):  # noqa: PLR2004 - the end of ASCII
        return character
    if number < 0x20 or number == 0x7F:  # noqa: PLR2004 - the control characters
        return f"\\x{number:02x}"
    return f"\\u{number:04x}" if number < 0x10000 else f"\\U{number:08x}"  # noqa: PLR2004 - four digits


def printable(character: str) -> bool:
    """Say whether Go would print a character as it is."""
    return character.isprintable()
