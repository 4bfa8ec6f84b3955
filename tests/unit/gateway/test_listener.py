"""The socket of the API."""

from __future__ import annotations

import asyncio
import logging
import socket
from urllib.parse import urlsplit

import pytest
from fastapi import FastAPI, WebSocket
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from bacalhau_nats.gateway.listener import Listener


def test_a_connection_whose_other_side_vanished_ends_after_two_minutes() -> None:
    listener = Listener("127.0.0.1", 0)
    address = urlsplit(listener.url)
    with listener._socket, socket.create_connection((address.hostname, address.port)):
        accepted, _ = listener._socket.accept()
        with accepted:
            assert accepted.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
            idle, every, tries = (
                accepted.getsockopt(socket.IPPROTO_TCP, option)
                for option in (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT)
            )
            assert idle + every * tries == 120


async def test_a_text_that_is_no_utf8_is_the_clients_fault_and_told_in_a_line(
    caplog: pytest.LogCaptureFixture,
) -> None:
    app = FastAPI()

    @app.websocket("/api/v1/orchestrator/jobs/j/logs")
    async def logs(websocket: WebSocket) -> None:
        await websocket.accept()
        await websocket.receive()

    caplog.set_level(logging.INFO, logger="uvicorn.error")
    listener, stop, ready = Listener("127.0.0.1", 0), asyncio.Event(), asyncio.Event()
    async with asyncio.TaskGroup() as group:
        group.create_task(listener.serve(app, stop, ready))
        await ready.wait()
        url = listener.url.replace("http", "ws") + "/api/v1/orchestrator/jobs/j/logs"
        async with connect(url) as client:
            await client.send(b"\xb2", text=True)
            with pytest.raises(ConnectionClosed) as closed:
                await client.recv()
        stop.set()
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 1007
    (told,) = [record for record in caplog.records if "UTF-8" in record.getMessage()]
    assert (told.levelno, told.exc_info) == (logging.INFO, None)
