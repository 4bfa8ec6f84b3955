"""Whatever is sent to a log stream, it ends in order or with the client, and the server goes on."""

from __future__ import annotations

import base64
import socket
from urllib.parse import quote, urlsplit

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.acceptance.conftest import Cluster
from tests.acceptance.program import WASM, Caller

JOBS = "/api/v1/orchestrator/jobs"
WORDS = st.sampled_from(["", "true", "1", "x", "-1", "99", "%zz", "e-1", "é", "a" * 300])
NAMES = st.sampled_from(
    [
        "follow",
        "tail",
        "execution_id",
        "job_version",
        "all_job_versions",
        "namespace",
        "FOLLOW",
        "limit",
        "",
        "resume",
        "details",
        "all_executions",
        "from_time",
        "from_seq",
    ]
)
QUERY = st.lists(st.tuples(NAMES, WORDS), max_size=4).map(
    lambda pairs: "&".join(f"{name}={word}" for name, word in pairs)
)


def frame(opcode: int, payload: bytes, *, masked: bool = True, final: bool = True) -> bytes:
    """Make a frame as RFC 6455 has it, or nearly."""
    first = (0x80 if final else 0) | opcode
    size = len(payload)
    length = bytes([size]) if size < 126 else b"\x7e" + size.to_bytes(2, "big")
    length = bytes([length[0] | (0x80 if masked else 0)]) + length[1:]
    mask = b"\x01\x02\x03\x04"
    body = bytes(byte ^ mask[index % 4] for index, byte in enumerate(payload)) if masked else payload
    return bytes([first]) + length + (mask if masked else b"") + body


FRAMES = st.one_of(
    st.builds(
        frame,
        st.sampled_from([0, 1, 2, 3, 8, 9, 10, 15]),
        st.binary(max_size=200),
        masked=st.booleans(),
        final=st.booleans(),
    ),
    st.binary(max_size=64),
)


def handshake(path: str, key: bytes) -> bytes:
    lines = (
        f"GET {path} HTTP/1.1",
        "Host: x",
        "Connection: Upgrade",
        "Upgrade: websocket",
        "Sec-WebSocket-Version: 13",
        f"Sec-WebSocket-Key: {base64.b64encode(key).decode()}",
    )
    return "\r\n".join((*lines, "", "")).encode("latin-1", "replace")


@pytest.fixture
async def known(bacalhau: Caller) -> tuple[str, str]:
    """A job that has ended and one that goes on."""
    ended = (await bacalhau("wasm", "run", WASM / "hello.wasm")).ok().id
    going = await bacalhau.submit("wasm", "run", WASM / "sleep.wasm", "30000")
    return ended, going


async def test_log_streams_survive_their_clients(
    cluster: Cluster, known: tuple[str, str], bacalhau: Caller
) -> None:
    address = urlsplit(cluster.alpha.api)
    ends: set[str] = set()

    @settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck), database=None)
    @given(
        job=st.one_of(st.sampled_from([*known, "nobody", "j-", "*"]), st.text(min_size=1, max_size=20)),
        query=QUERY,
        key=st.one_of(st.just(bytes(16)), st.binary(max_size=20)),
        frames=st.lists(FRAMES, max_size=4),
        reads=st.booleans(),
    )
    def abuse(job: str, query: str, key: bytes, frames: list[bytes], reads: bool) -> None:
        path = f"{JOBS}/{quote(job, safe='')}/logs?{quote(query, safe='=&%')}"
        got = b""
        with socket.create_connection((address.hostname, address.port), timeout=10) as client:
            try:
                client.sendall(handshake(path, key))
                got = client.recv(1 << 16) if reads else b""
                client.settimeout(0.05)  # what follows may be a stream without end
                client.sendall(b"".join(frames))
                while reads and (more := client.recv(1 << 16)):
                    got += more
            except (ConnectionError, TimeoutError) as error:
                ends.add(type(error).__name__)
        if reads and got:
            status = got.split(b" ", 2)[1]
            assert status in (b"101", b"400", b"404"), got
            ends.add(status.decode())

    abuse()
    assert {"101", "400"} <= ends
    async with httpx.AsyncClient(base_url=cluster.alpha.api) as http:
        assert (await http.get("/api/v1/agent/alive")).json() == {"Status": "OK"}
    assert "arg 0:" in (await bacalhau("job", "logs", known[0])).ok().out
    (await bacalhau("job", "stop", known[1])).ok()
    written = cluster.alpha.log.read_text()
    assert "Traceback" not in written, written[-3000:]
