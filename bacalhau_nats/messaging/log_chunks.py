"""Pieces of output: how bytes are cut into chunks and how a chunk gives its bytes back. Pure."""

from __future__ import annotations

import codecs
from base64 import b64decode, b64encode
from contextlib import suppress

from bacalhau_nats.domain.ids import ExecutionID
from bacalhau_nats.messages import LogChunk

CHUNK_BYTES = 32 * 1024
"""The most bytes in one chunk. Written as JSON, control characters take six times that; NATS takes 1 MB."""


def make_chunk(
    execution: str, stream: str, offset: int, data: bytes, *, time: int, end: bool = False
) -> LogChunk:
    """Write bytes as a chunk: as text where they are UTF-8, else in base64."""
    try:
        text, encoded = data.decode(), ""
    except UnicodeDecodeError:
        text, encoded = "", b64encode(data).decode()
    return LogChunk(
        execution_id=ExecutionID(execution),
        stream=stream,
        offset=offset,
        time=time,
        text=text,
        base64=encoded,
        end=end,
    )


def data_of(chunk: LogChunk) -> bytes:
    """Give the bytes that a chunk carries."""
    return b64decode(chunk.base64) if chunk.base64 else chunk.text.encode()


def without_head(chunk: LogChunk, count: int) -> LogChunk:
    """Give the chunk without its first ``count`` bytes."""
    if count <= 0:
        return chunk
    return make_chunk(
        chunk.execution_id,
        chunk.stream,
        chunk.offset + count,
        data_of(chunk)[count:],
        time=chunk.time,
        end=chunk.end,
    )


def take_chunk(buffer: bytearray, *, final: bool) -> bytes:
    """Take the next chunk's bytes off the front; empty when there is nothing to take yet.

    A character that is only half there stays in the buffer for its other half, unless this is the end.
    """
    size = min(len(buffer), CHUNK_BYTES)
    if not (final and size == len(buffer)):
        size -= _half_character(buffer[max(0, size - 4) : size])
    data = bytes(buffer[:size])
    del buffer[:size]
    return data


def _half_character(tail: bytes | bytearray) -> int:
    """Count the bytes at the end that begin a UTF-8 character without finishing it."""
    for back in range(1, min(3, len(tail)) + 1):
        with suppress(UnicodeDecodeError):  # the middle of a character: look further left
            _, read = codecs.utf_8_decode(tail[-back:], "strict", False)
            return back - read
    return 0
