"""What a real listener does with requests that are slow, huge or no websocket."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from urllib.parse import urlsplit

import pytest

from bacalhau_nats.gateway.listener import Listener
from bacalhau_nats.gateway.protocol import LARGEST_HEAD, BoundedProtocol
from tests.support.gateway_world import JOBS, GatewayWorld

HANDSHAKE = (
    "{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)


@pytest.fixture
async def address() -> AsyncIterator[tuple[str, int]]:
    listener = Listener("127.0.0.1", 0)
    stop, ready = asyncio.Event(), asyncio.Event()
    serving = asyncio.create_task(listener.serve(GatewayWorld().app, stop, ready))
    await ready.wait()
    found = urlsplit(listener.url)
    assert found.hostname
    assert found.port
    yield found.hostname, found.port
    stop.set()
    await serving


async def exchange(address: tuple[str, int], data: bytes, until: bytes) -> bytes:
    """Send and read until something has come, or the end."""
    reader, writer = await asyncio.open_connection(*address)
    got = b""
    try:
        with suppress(ConnectionError):
            writer.write(data)
            await writer.drain()
            async with asyncio.timeout(10):
                while until not in got and (some := await reader.read(65536)):
                    got += some
    finally:
        writer.close()
    return got


async def test_only_a_log_stream_is_a_websocket_and_all_else_is_served_as_it_is(
    address: tuple[str, int],
) -> None:
    async def status(method: str, path: str) -> tuple[int, bytes]:
        data = HANDSHAKE.format(method=method, path=path).encode()
        got = await exchange(address, data, b"}")
        return int(got.split()[1]), got

    assert (await status("GET", f"{JOBS}/nobody/logs?follow=true"))[0] == 101
    assert (await status("GET", f"{JOBS}/nobody/logs"))[0] == 101
    found, got = await status("GET", "/api/v1/agent/alive")
    assert (found, b'{"Status":"OK"}' in got) == (200, True)
    assert (await status("GET", f"{JOBS}/nobody"))[0] == 404
    assert (await status("GET", f"{JOBS}/a%2Fb/logs"))[0] == 404
    assert (await status("GET", "/nothing"))[0] == 404
    assert (await status("PUT", f"{JOBS}/nobody/logs"))[0] == 404


async def test_who_does_not_finish_a_header_is_left(
    address: tuple[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(BoundedProtocol, "head_seconds", 0.2)
    for start in (b"", b"GET /api/v1/agent/alive HTTP/1.1\r\nHost"):
        assert await exchange(address, start, b"never") == b""
    whole = b"GET /api/v1/agent/alive HTTP/1.1\r\nHost: x\r\n\r\n"
    got = await exchange(address, whole + whole[:20], b"never")
    assert got.count(b'{"Status":"OK"}') == 1


async def test_who_is_silent_after_an_answer_is_not_left(
    address: tuple[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(BoundedProtocol, "head_seconds", 0.05)
    whole = b"GET /api/v1/agent/alive HTTP/1.1\r\nHost: x\r\n\r\n"
    reader, writer = await asyncio.open_connection(*address)
    for _ in range(2):
        writer.write(whole)
        assert b'{"Status":"OK"}' in await reader.readuntil(b"}")
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await reader.read(1 << 16) and await reader.read(1)
    writer.close()


async def test_a_header_without_end_is_refused_and_a_long_one_is_read(address: tuple[str, int]) -> None:
    line = b"GET /api/v1/agent/alive HTTP/1.1\r\nHost: x\r\nX-Long: "
    got = await exchange(address, line + b"a" * (LARGEST_HEAD // 2) + b"\r\n\r\n", b"}")
    assert got.startswith(b"HTTP/1.1 200")
    got = await exchange(address, line + b"a" * (LARGEST_HEAD + 1), b"never")
    assert got.startswith(b"HTTP/1.1 431")
