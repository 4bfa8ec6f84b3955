"""``serve`` and ``devstack`` as processes: how they start, how they end, and that nothing outlives them.

The node itself is replaced by one that only says it is ready; what a real one does is for the acceptance tests.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.waiting import eventually

_STAND_IN = """
import os, sys, types
node = types.ModuleType("bacalhau_nats.node")

class Started:
    node_id, nats_url = "n-1", "nats://user:secret@127.0.0.1:4222"
    api_url = "http://127.0.0.1:1234"

async def run(settings, *, orchestrator, compute, name, stop, ready):
    if os.environ.get("REFUSE", "-") == name:
        from bacalhau_nats.errors import StartFailed
        raise StartFailed("port 1234 is taken", hint="use another")
    settings.data_dir.mkdir(parents=True, exist_ok=True)
    (settings.data_dir / "pid").write_text(str(os.getpid()))
    ready(Started())
    if os.environ.get("DIE", "-") == name:
        os._exit(9)
    await stop.wait()
    if os.environ.get("STUBBORN"):
        import asyncio
        await asyncio.sleep(600)

node.run, node.Started = run, Started
sys.modules["bacalhau_nats.node"] = node
"""


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / "sitecustomize.py").write_text(_STAND_IN)
    return {"PATH": os.defpath, "HOME": str(tmp_path), "PYTHONPATH": str(tmp_path / "lib")}


class Bacalhau(subprocess.Popen[str]):
    """A running command."""

    def __init__(self, environ: dict[str, str], *args: str) -> None:
        super().__init__(
            [sys.executable, "-m", "bacalhau_cli", *args],
            env=environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def line(self) -> str:
        assert self.stdout
        return self.stdout.readline()

    def end(self, number: int) -> tuple[int, str]:
        """Send a signal; give the exit code and all of stderr."""
        self.send_signal(number)
        _, err = self.communicate(timeout=30)
        return self.returncode, err


@pytest.fixture
def start(environ: dict[str, str]) -> Iterator[type]:
    running: list[Bacalhau] = []

    def begin(*args: str, **more: str) -> Bacalhau:
        running.append(Bacalhau({**environ, **more}, *args))
        return running[-1]

    yield begin
    for process in running:
        process.kill()
        process.communicate()


def alive(pid: int) -> bool:
    try:
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False


def pids(folder: Path) -> list[int]:
    return [int(file.read_text()) for file in folder.glob("*/pid")]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_serve_says_where_it_is_and_ends_in_order_on_a_signal(start, tmp_path: Path, number: int) -> None:
    node = start("serve", "--orchestrator", "--data-dir", str(tmp_path / "d"))
    assert node.line() == "Ready: node n-1  API http://127.0.0.1:1234  NATS nats://127.0.0.1:4222\n"
    run_file = tmp_path / "d" / "bacalhau.run"
    assert run_file.read_text() == (
        "export BACALHAU_API_HOST=http://127.0.0.1\nexport BACALHAU_API_PORT=1234\n"
    )
    assert node.end(number) == (0, "")
    assert not run_file.exists()


def test_a_second_signal_does_not_wait(start, tmp_path: Path) -> None:
    node = start("serve", "--compute", "--data-dir", str(tmp_path / "d"), STUBBORN="1")
    node.line()
    node.send_signal(signal.SIGTERM)
    with pytest.raises(subprocess.TimeoutExpired):
        node.wait(0.3)
    assert node.end(signal.SIGTERM)[0] == 130


def test_serve_without_a_role_is_an_orchestrator_with_a_warning(start, tmp_path: Path) -> None:
    node = start("serve", "--data-dir", str(tmp_path / "d"))
    node.line()
    code, err = node.end(signal.SIGTERM)
    assert (code, err) == (
        0,
        "Warning: neither --orchestrator nor --compute is given; starting an orchestrator\n",
    )


def test_a_node_that_cannot_start_says_why_in_one_line(start, tmp_path: Path) -> None:
    node = start("serve", "--compute", "--name", "x", "--data-dir", str(tmp_path / "d"), REFUSE="x")
    _, err = node.communicate(timeout=30)
    assert (node.returncode, err) == (1, "Error: port 1234 is taken\nHint: use another\n")


def test_a_stack_starts_every_node_prints_exports_and_ends_them_all(start, tmp_path: Path) -> None:
    stack = start("devstack", "--computes", "2", "--hybrids", "1", "--stack-repo", str(tmp_path / "s"))
    lines = [stack.line() for _ in range(3)]
    assert lines[:2] == ["export BACALHAU_API_HOST=http://127.0.0.1\n", "export BACALHAU_API_PORT=1234\n"]
    started = pids(tmp_path / "s")
    assert len(started) == 4
    code, err = stack.end(signal.SIGINT)
    assert code == 0, err
    assert not any(alive(pid) for pid in started)
    assert "hybrid-1        | Ready: node" in err


def test_a_stack_writes_its_exports_into_the_file_that_is_named(start, tmp_path: Path) -> None:
    file = tmp_path / "stack.env"
    stack = start("devstack", "--stack-repo", str(tmp_path / "s"), DEVSTACK_ENV_FILE=str(file))
    lines = [stack.line() for _ in range(3)]
    assert file.read_text() == "".join(lines)
    assert stack.end(signal.SIGINT)[0] == 0


async def test_no_node_outlives_a_stack_that_is_killed(start, tmp_path: Path) -> None:
    stack = start("devstack", "--computes", "1", "--stack-repo", str(tmp_path / "s"))
    stack.line()
    started = pids(tmp_path / "s")
    assert len(started) == 2
    stack.kill()
    await eventually(lambda: not any(alive(pid) for pid in started))


def test_a_stack_whose_node_cannot_start_ends_with_the_reason(start, tmp_path: Path) -> None:
    stack = start("devstack", "--computes", "1", "--stack-repo", str(tmp_path / "s"), REFUSE="compute-1")
    _, err = stack.communicate(timeout=30)
    assert stack.returncode == 1
    assert "compute-1       | Error: port 1234 is taken" in err
    assert "Error: compute-1 ended with code 1 before it was ready" in err
    assert not any(alive(pid) for pid in pids(tmp_path / "s"))


def test_a_stack_ends_when_the_node_with_the_nats_server_does(start, tmp_path: Path) -> None:
    stack = start("devstack", "--computes", "1", "--stack-repo", str(tmp_path / "s"), DIE="orchestrator-1")
    _, err = stack.communicate(timeout=30)
    assert stack.returncode == 1
    assert "ended with code 9" in err
    assert not any(alive(pid) for pid in pids(tmp_path / "s"))


def test_a_stack_goes_on_when_another_node_dies(start, tmp_path: Path) -> None:
    stack = start("devstack", "--computes", "1", "--stack-repo", str(tmp_path / "s"))
    stack.line()
    os.kill(int((tmp_path / "s" / "compute-1" / "pid").read_text()), signal.SIGKILL)
    assert stack.stderr
    while "compute-1 ended with code -9; the others go on" not in stack.stderr.readline():
        pass
    assert stack.end(signal.SIGTERM)[0] == 0


@pytest.mark.parametrize("args", [["config", "list"], ["--help"], ["config", "list", "--output", "json"]])
@pytest.mark.parametrize("buffered", [True, False])
def test_a_reader_who_has_seen_enough_ends_the_command_as_sigpipe_does_and_nothing_is_said(
    environ: dict[str, str], args: list[str], buffered: bool
) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    try:
        done = subprocess.run(
            [sys.executable, *([] if buffered else ["-u"]), "-m", "bacalhau_cli", *args],
            env=environ,
            stdout=writing,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    finally:
        os.close(writing)
    assert (done.returncode, done.stderr) == (141, "")
