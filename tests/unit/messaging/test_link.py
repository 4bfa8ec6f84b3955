"""What a connection writes, and in which order, seen by a server that only keeps what it reads."""

import asyncio
import json
from contextlib import asynccontextmanager

from bacalhau_nats.messaging.bus import connect
from bacalhau_nats.messaging.subjects import Cell

INFO = {"server_id": "s", "version": "2.12.0", "headers": True, "max_payload": 1 << 20, "proto": 1}


@asynccontextmanager
async def recording_server():
    """Give its URL and the list of the lines that it has read."""
    lines: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"INFO " + json.dumps(INFO).encode() + b"\r\n")
        while line := await reader.readline():
            lines.append(line.strip())
            if line == b"PING\r\n":
                writer.write(b"PONG\r\n")
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        host, port = server.sockets[0].getsockname()
        yield f"nats://{host}:{port}", lines


async def test_a_flush_vouches_for_everything_sent_before_it():
    async with recording_server() as (url, lines), connect(url, cell=Cell("main"), name="test") as bus:
        await bus.flush()
        for number in range(50):
            subject = f"bacalhau.main.test.{number}"
            await bus.listen(subject, lambda _msg: None)
            await bus.client.publish(subject, b"payload")
            start = len(lines)
            await bus.flush()
            until_answer = lines[start : lines.index(b"PING", start)]
            assert [line.split()[1].decode() for line in until_answer if b"test" in line] == [subject] * 2
