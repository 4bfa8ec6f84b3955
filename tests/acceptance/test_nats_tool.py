"""The debugger of this system is the ``nats`` tool: it lists the roles, and shows every message as JSON."""

from __future__ import annotations

import asyncio
import json
import os
import pty
import re
import shutil
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.acceptance.conftest import Cluster
from tests.acceptance.program import WASM, Caller
from tests.support.machine import IN_CI
from tests.support.waiting import eventually

_MISSING = "no `nats` on PATH: go install github.com/nats-io/natscli/nats@v0.3.0"
_PROBE = "probe"
_HEAD = re.compile(r'^\[#[0-9]+\] Received on "([^"]+)"', re.MULTILINE)


class Tool:
    """``nats``, connected to the cluster's server."""

    def __init__(self, path: str, url: str, home: Path) -> None:
        self._command = [path, "--server", url]
        self._environ = {"HOME": str(home), "PATH": os.defpath, "TERM": "xterm", "COLUMNS": "500"}

    async def start(self, *args: str, **streams: int) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            *self._command,
            *args,
            env=self._environ,
            stdin=streams.get("stdin", asyncio.subprocess.DEVNULL),
            stdout=streams.get("stdout", asyncio.subprocess.PIPE),
            stderr=asyncio.subprocess.PIPE,
        )

    async def __call__(self, *args: str) -> str:
        process = await self.start(*args)
        async with asyncio.timeout(20):
            out, err = await process.communicate()
        assert process.returncode == 0, err.decode()
        return out.decode()

    @asynccontextmanager
    async def listening(self, subject: str, into: Path) -> AsyncIterator[None]:
        """Write what ``nats sub`` prints into a file for as long as it takes; it hears us before the body begins."""
        probe = subject.replace("*", "main").replace(">", _PROBE)

        async def hears() -> bool:
            await self("pub", "--header", f"Bacalhau-Type:{_PROBE}", probe, "{}")
            return _PROBE in text_of(into)

        with into.open("wb") as file:
            process = await self.start("sub", subject, stdout=file.fileno())
            try:
                await eventually(hears, within=20)
                yield
            finally:
                process.terminate()
                await process.communicate()


@dataclass(frozen=True)
class Heard:
    subject: str
    headers: Mapping[str, str]
    body: Mapping[str, object]


def text_of(file: Path) -> str:
    return file.read_text()


def heard(file: Path) -> list[Heard]:
    """Read what ``nats sub`` printed but our own probes; every payload must be JSON, whole."""
    parts = _HEAD.split(text_of(file))[1:]
    found = []
    for subject, text in zip(parts[::2], parts[1::2], strict=True):
        head, _, body = text.partition("\n\n")
        headers = dict(line.split(": ", 1) for line in head.splitlines() if ": " in line)
        try:
            message = Heard(subject, headers, json.loads(body))
        except ValueError as error:
            raise AssertionError(f"not JSON, or not whole yet: {body!r}") from error
        if headers.get("Bacalhau-Type") != _PROBE:
            found.append(message)
    return found


@pytest.fixture
def nats(cluster: Cluster, tmp_path: Path) -> Tool:
    path = shutil.which("nats", path=f"{os.defpath}:/usr/local/bin:{Path.home()}/go/bin")
    if path is None:
        (pytest.fail if IN_CI else pytest.skip)(_MISSING)
    return Tool(path, cluster.alpha.nats, tmp_path)


async def test_micro_ls_lists_every_role_and_node(nats: Tool) -> None:
    listed = await nats("micro", "ls")
    for name in ("bacalhau-gateway", "bacalhau-requester", "bacalhau-compute"):
        assert name in listed
    services = json.loads(await nats("micro", "ls", "--json"))
    count = {
        name: sum(service["name"] == name for service in services) for name in {s["name"] for s in services}
    }
    assert count == {"bacalhau-gateway": 2, "bacalhau-requester": 2, "bacalhau-compute": 2}
    computes = " ".join(s["description"] for s in services if s["name"] == "bacalhau-compute")
    assert "node-1" in computes
    assert "node-2" in computes


async def test_sub_shows_a_whole_job_as_json(nats: Tool, bacalhau: Caller, tmp_path: Path) -> None:
    file = tmp_path / "sub.txt"
    async with nats.listening("bacalhau.>", file):
        done = (await bacalhau("wasm", "run", "--env", "A=b", WASM / "hello.wasm", "x")).ok()
        (execution,) = await bacalhau.executions(done.id)

        def complete() -> list[Heard]:
            found = heard(file)
            text = " ".join(message.subject for message in found)
            whole = "heartbeat" in text and f"fact.job.{done.id}.conclusion" in text and ".log." in text
            return found if whole else []

        messages = await eventually(complete, within=10)
    assert all(message.headers.get("Bacalhau-Type") for message in messages)
    node, run = execution["NodeID"], execution["ID"]
    seen = [message.subject for message in messages]
    order = [
        f"bacalhau.main.fact.job.{done.id}.spec",
        f"bacalhau.main.offer.{node}.{run}",
        next(
            subject
            for subject in seen
            if re.fullmatch(rf"bacalhau\.main\.bid\.[^.]+\.{run}\.{node}", subject)
        ),
        f"bacalhau.main.fact.execution.{run}.desired.{node}",
        f"bacalhau.main.fact.execution.{run}.observed.{node}",
        f"bacalhau.main.fact.job.{done.id}.conclusion.1",
    ]
    places = [seen.index(subject) for subject in order]
    assert places == sorted(places)
    said = [m.body for m in messages if m.subject == f"bacalhau.main.log.{done.id}.{run}.stdout"]
    assert "arg 1: x\n" in "".join(str(chunk.get("Text", "")) for chunk in said)
    beats = [m.body for m in messages if m.subject.endswith(".heartbeat")]
    assert all("NodeID" in beat for beat in beats)


async def test_a_refusal_is_seen_with_its_reason(nats: Tool, bacalhau: Caller, tmp_path: Path) -> None:
    file = tmp_path / "sub.txt"
    async with nats.listening("bacalhau.*.bid.>", file):
        done = await bacalhau("wasm", "run", "--input", "file:///etc/shadow:/in", WASM / "cat.wasm")
        assert done.code == 3
        messages = await eventually(lambda: found if len(found := heard(file)) >= 2 else None)
    declines = [m.body for m in messages if m.headers["Bacalhau-Type"] == "Decline"]
    assert {decline["NodeID"] for decline in declines} == {"node-1", "node-2"}
    assert all("/etc/shadow" in str(decline["Reason"]) for decline in declines)


async def test_stream_view_reads_the_state(nats: Tool, bacalhau: Caller) -> None:
    done = (await bacalhau("wasm", "run", WASM / "noop.wasm")).ok()
    last = await nats("stream", "get", "BACALHAU_main_STATE", "-S", f"bacalhau.main.job.{done.id}.spec")
    assert f'"ID":"{done.id}"' in last.replace(" ", "")
    # It pages, and wants a terminal for that.
    ours, its = pty.openpty()
    try:
        subject = f"bacalhau.main.job.{done.id}.>"
        process = await nats.start(
            "stream", "view", "BACALHAU_main_STATE", "--subject", subject, stdin=its, stdout=its
        )
        os.set_blocking(ours, False)
        shown = bytearray()

        def conclusion() -> bool:
            try:
                shown.extend(os.read(ours, 65536))
            except BlockingIOError:
                return False
            return f'"JobID":"{done.id}"'.encode() in shown

        await eventually(conclusion, within=15)
        if process.returncode is None:
            process.terminate()
        await process.communicate()
    finally:
        os.close(ours)
        os.close(its)
