"""An IPFS node for tests (js-ipfs, with the RPC API of Kubo), and Kubo itself as a second opinion.

The node's packages are installed once, beside its sources, from the lock file. It listens on loopback only and knows
no other node.
"""

from __future__ import annotations

import asyncio
import fcntl
import hashlib
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

import httpx

from bacalhau_nats.messaging.binary import tied

SOURCES = Path(__file__).parents[1] / "servers" / "ipfs"
MISSING = "QmdDpAw1EeNkbgpLgaQUAmqbDH7sypdqzrU4S37mXyegP5"
"""A CID whose content no node of a test has."""

_INSTALL_LIMIT = 300
_START_LIMIT = 60


def why_no_ipfs() -> str:
    """Say what this machine lacks; empty when a node can be started."""
    missing = [name for name in ("node", "npm") if shutil.which(name) is None]
    return f"{' and '.join(missing)} not found" if missing else ""


def installed() -> Path:
    """Install the node's packages if that has not been done; give the program. Blocking, half a minute at most."""
    lock = SOURCES / "package-lock.json"
    wanted = hashlib.sha256(lock.read_bytes()).hexdigest()
    with (SOURCES / ".installing").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)  # test processes start at once
        stamp = SOURCES / "node_modules" / ".complete"
        if not stamp.exists() or stamp.read_text() != wanted:
            command = ["npm", "ci", "--omit=optional", "--no-audit", "--no-fund", "--loglevel=error"]
            subprocess.run(command, cwd=SOURCES, check=True, timeout=_INSTALL_LIMIT)
            stamp.write_text(wanted)
    return SOURCES / "daemon.mjs"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class IPFSDaemon:
    """One node on two ports of its own; `stop` and `start` again keep its content and its address."""

    def __init__(self, folder: Path) -> None:
        self.api, self.swarm = free_port(), free_port()
        self._repo = folder / "ipfs"
        self._log = folder / "ipfs.log"
        self._process: subprocess.Popen[str] | None = None
        self._peer = ""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.api}"

    @property
    def multiaddress(self) -> str:
        return f"/ip4/127.0.0.1/tcp/{self.api}"

    @property
    def peer(self) -> str:
        """Where other IPFS nodes reach it."""
        return f"/ip4/127.0.0.1/tcp/{self.swarm}/p2p/{self._peer}"

    def start(self) -> None:
        """Start it and wait until it serves. Blocking."""
        command = [
            shutil.which("node") or "node",
            str(installed()),
            str(self._repo),
            str(self.api),
            str(self.swarm),
        ]
        with self._log.open("a") as log:
            # It goes when this thread goes, so start it where the test runs.
            self._process = subprocess.Popen(tied(command), stdout=subprocess.PIPE, stderr=log, text=True)
        assert self._process.stdout is not None
        word, _, self._peer = self._process.stdout.readline().strip().partition(" ")
        if word != "ready":
            self.kill()
            raise AssertionError(f"the IPFS node did not start:\n{self._log.read_text()[-3000:]}")

    def stop(self) -> None:
        """End it in order. Blocking."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End it without warning."""
        self._end(signal.SIGKILL)
        shutil.rmtree(self._repo / "repo.lock", ignore_errors=True)  # it would not start over its own remains

    def _end(self, number: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(number)
            self._process.wait(_START_LIMIT)
            if self._process.stdout is not None:
                self._process.stdout.close()
            self._process = None

    # --- what another client sees -----------------------------------------------------------------------

    async def ask(self, call: str, **params: str) -> httpx.Response:
        """Ask the RPC API, past our own client."""
        async with httpx.AsyncClient(trust_env=False, timeout=30) as http:
            return await http.post(f"{self.url}/api/v0/{call}", params=params)

    async def cat(self, path: str) -> bytes:
        """Give the content of a file."""
        return (await self.ask("cat", arg=path)).raise_for_status().content

    async def put(self, **files: bytes) -> str:
        """Store a folder of files; give its CID."""
        async with httpx.AsyncClient(trust_env=False, timeout=30) as http:
            parts = [("file", (f"put/{name}", content)) for name, content in files.items()]
            response = await http.post(f"{self.url}/api/v0/add", files=parts, params={"pin": "false"})
        *_, root = response.raise_for_status().text.splitlines()
        return str(httpx.Response(200, text=root).json()["Hash"])

    async def pinned(self, cid: str) -> bool:
        return (await self.ask("pin/ls", arg=cid, type="recursive")).is_success


async def kubo(repo: Path, *task: str | Path) -> str:
    """Ask Kubo: ``cid PATH``, or ``get PEER CID INTO``."""
    command = [sys.executable, str(SOURCES / "kubo_peer.py"), str(repo), *map(str, task)]
    process = await asyncio.create_subprocess_exec(
        *command,
        stdout=asyncio.subprocess.PIPE,
        cwd=repo.parent,  # it leaves a log where it is
    )
    out, _ = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode == 0, f"Kubo ended with exit code {process.returncode}"
    return out.decode().split()[-1]
