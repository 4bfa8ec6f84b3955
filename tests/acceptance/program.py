"""The program ``bacalhau`` as an administrator installs it and a user calls it: from the wheel, as processes."""

from __future__ import annotations

import asyncio
import json
import re
import signal
import subprocess
import sys
import sysconfig
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

ROOT = Path(__file__).resolve().parents[2]
WASM = ROOT / "wasm" / "built"
_READY = re.compile(r"^Ready: node (\S+)  API (\S+)  NATS (\S+)$")
_START_SECONDS = 30
_STOP_SECONDS = 20
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def install(folder: Path) -> Path:
    """Build the wheel and install it into a fresh environment; give the command ``bacalhau`` of it.

    Its dependencies are those of the environment the tests run in, seen through a .pth file; the project itself,
    which is installed there as editable, is not seen, since .pth files in there are not read.
    """
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", folder / "dist", ROOT]
    subprocess.run(build, check=True, stdout=subprocess.DEVNULL)
    (wheel,) = (folder / "dist").glob("*.whl")
    python = folder / "venv" / "bin" / "python"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder / "venv"], check=True)
    site = subprocess.run(
        [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"],
        check=True, capture_output=True, text=True,
    ).stdout.strip()  # fmt: skip
    pip = [sys.executable, "-m", "pip", "--python", python, "install", "--quiet"]
    subprocess.run([*pip, "--no-deps", "--no-index", "--no-compile", wheel], check=True)
    (Path(site) / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return folder / "venv" / "bin" / "bacalhau"


@dataclass(frozen=True)
class Done:
    """How a command ended."""

    command: str
    code: int
    out: str
    err: str

    def ok(self) -> Self:
        assert self.code == 0, str(self)
        return self

    @property
    def id(self) -> str:
        """The job's id that a submission printed."""
        found = re.search(r"\bj-[0-9a-f-]{36}\b", self.out)
        assert found, str(self)
        return found.group()

    @property
    def json(self) -> Any:
        return json.loads(self.ok().out)

    def __str__(self) -> str:
        return f"$ {self.command}\n--- code {self.code}\n{self.out}--- stderr\n{self.err}---"


class Running:
    """A command that has not ended yet; its lines of stdout can be read as they come."""

    def __init__(self, process: asyncio.subprocess.Process, command: str) -> None:
        self._process, self._command = process, command

    async def line(self, within: float = 10.0) -> str:
        assert self._process.stdout
        async with asyncio.timeout(within):
            return (await self._process.stdout.readline()).decode()

    def send(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    async def end(self, within: float = 30.0, stdin: str | None = None) -> Done:
        """Wait for the end; kill it when that does not come."""
        try:
            async with asyncio.timeout(within):
                out, err = await self._process.communicate(stdin.encode() if stdin is not None else None)
        except TimeoutError:
            raise AssertionError(f"$ {self._command}\nhas not ended after {within} s") from None
        finally:
            if self._process.returncode is None:
                self._process.kill()
                await self._process.wait()
        assert self._process.returncode is not None
        return Done(self._command, self._process.returncode, out.decode(), err.decode())


class Caller:
    """Somebody who calls the command line: with a home of their own, and a server to talk to."""

    def __init__(self, command: Path, home: Path, api: str = "", **environ: str) -> None:
        self.command, self.home, self.api = command, home, api
        self.environ = {"PATH": _PATH, "HOME": str(home), **environ}
        if api:
            self.environ["BACALHAU_API_HOST"], _, self.environ["BACALHAU_API_PORT"] = api.rpartition(":")

    async def start(self, *args: object, cwd: Path | None = None, stdin: bool = False) -> Running:
        words = [str(arg) for arg in args]
        process = await asyncio.create_subprocess_exec(
            self.command,
            *words,
            env=self.environ,
            cwd=cwd or self.home,
            stdin=asyncio.subprocess.PIPE if stdin else asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        return Running(process, " ".join(["bacalhau", *words]))

    async def __call__(
        self, *args: object, stdin: str | None = None, cwd: Path | None = None, within: float = 30.0
    ) -> Done:
        running = await self.start(*args, cwd=cwd, stdin=stdin is not None)
        return await running.end(within, stdin)

    async def submit(self, *args: object) -> str:
        """Submit without waiting; give the job's id."""
        first, second, *rest = args
        return (await self(first, second, "--wait=false", *rest)).ok().out.strip()

    async def job(self, job_id: str) -> dict[str, Any]:
        return (await self("job", "describe", job_id, "--output", "json")).json["Job"]

    async def state(self, job_id: str) -> str:
        return (await self.job(job_id))["State"]["StateType"]

    async def executions(self, job_id: str) -> list[dict[str, Any]]:
        return (await self("job", "executions", job_id, "--output", "json")).json


class Node:
    """One ``bacalhau serve``, from its start to its end in order."""

    def __init__(self, command: Path, data_dir: Path, *args: str, **environ: str) -> None:
        self.data_dir = data_dir
        data_dir.parent.mkdir(parents=True, exist_ok=True)
        self.log = data_dir.with_name(data_dir.name + ".log")
        self._command = [command, "serve", "--data-dir", data_dir, *args]
        self._environ = {"PATH": _PATH, "HOME": str(data_dir.parent), **environ}
        self.process: subprocess.Popen[str] | None = None
        self.node_id = self.api = self.nats = ""

    def start(self) -> Self:
        """Start it; `ready` waits."""
        with self.log.open("a") as log:
            self.process = subprocess.Popen(
                self._command,
                env=self._environ,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                start_new_session=True,
            )
        return self

    def ready(self) -> Self:
        assert self.process
        assert self.process.stdout
        line = self.process.stdout.readline()
        found = _READY.match(line)
        assert found, f"{self._command} is not ready: {line!r}\n{self.log.read_text()}"
        self.node_id, self.api, self.nats = found.groups()
        return self

    def stop(self) -> None:
        """Ask it to stop; it must end in order and in time."""
        process, self.process = self.process, None
        if process is None:
            return
        process.terminate()
        try:
            code = process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise AssertionError(f"it does not stop; its log:\n{self.log.read_text()[-4000:]}") from None
        finally:
            if process.stdout:
                process.stdout.close()
        assert code == 0, f"it ended with code {code}; its log:\n{self.log.read_text()[-4000:]}"

    def kill(self) -> None:
        process, self.process = self.process, None
        if process is not None:
            process.kill()
            process.wait()
            if process.stdout:
                process.stdout.close()


def settings(**more: object) -> Sequence[str]:
    """Give ``-c`` flags; ``__`` stands for the dot. Every port is a free one unless it is given."""
    given = {"API.Port": 0, "Publishers.Types.Local.Port": 0}
    given |= {key.replace("__", "."): value for key, value in more.items()}
    return [part for key, value in given.items() for part in ("-c", f"{key}={value}")]


def descendants(pid: int) -> set[int]:
    """Give the processes that a process has started, at any depth."""
    children: dict[int, list[int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = int(stat.read_text().rpartition(")")[2].split()[1])
        except (OSError, IndexError):
            continue
        children.setdefault(parent, []).append(int(stat.parent.name))
    found: set[int] = set()
    left = [pid]
    while left:
        new = [child for child in children.get(left.pop(), []) if child not in found]
        found.update(new)
        left += new
    return found


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (OSError, IndexError):
        return False


async def all_gone(pids: set[int], within: float = 10.0) -> None:
    deadline = time.monotonic() + within
    while left := {pid for pid in pids if alive(pid)}:
        assert time.monotonic() < deadline, [_command_line(pid) for pid in left]
        await asyncio.sleep(0.05)


def _command_line(pid: int) -> str:
    return Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ")
