"""What the pages and the examples show is what happens: their blocks and scripts are run."""

from __future__ import annotations

import ast
import asyncio
import inspect
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.conftest import Cluster
from tests.acceptance.program import ROOT, Caller, Done, Running

_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_COMMENT = re.compile(r"\s{2,}#.*$")
_CHANGING = (
    (re.compile(r"\b([jen])-[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\b"), r"\1-ID"),
    (re.compile(r"\be-[0-9a-f]{8}\b"), "e-ID"),
    (re.compile(r"\bn-[0-9a-f]{8}\b|\bnode-\d\b"), "n-ID"),
    (re.compile(r"\d\d:\d\d:\d\d\.\d{3}"), "TIME"),
)
_PRINTS = {
    "hello_wasm": ("Completed\narg 0: main.wasm\narg 1: one\narg 2: two\n", "hello from main.wasm\n"),
    "docker_results": ("lines: 4\nsorted: alpha bravo charlie delta\n",),
    "live": (
        "event: Job submitted\n",
        "output: tick 0\noutput: tick 1\n",
        "output: done\n",
        "event: Completed\n",
    ),
    "map_and_merge": ("AA: 168 of 336 flights left", "UA: 168 of 336 flights left"),
    "notebook": ("file,words\ntext,9\n",),
    "errors": (
        "refused: Job.Tasks[0].Name - ",
        "not found: job not found: no-such-job\n",
        "failed: the module trapped: ",
        "stopped: Stopped - it took too long\n",
        "no server: start one with 'bacalhau serve",
    ),
}


def blocks(page: str, kind: str) -> list[str]:
    return [text for found, text in _BLOCK.findall((ROOT / page).read_text()) if found == kind]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder to write into, where the example modules lie as in the checkout."""
    (tmp_path / "wasm").symlink_to(ROOT / "wasm")
    return tmp_path


def test_every_example_is_run() -> None:
    assert {path.stem for path in (ROOT / "examples").glob("*.py")} == _PRINTS.keys()


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.docker] * name.startswith("docker")) for name in _PRINTS]
)
async def test_an_example_prints_what_it_promises(
    name: str, command: Path, bacalhau: Caller, folder: Path
) -> None:
    process = await asyncio.create_subprocess_exec(
        command.with_name("python"),
        *("-P", "-W", "error", ROOT / "examples" / f"{name}.py"),
        env=bacalhau.environ,
        cwd=folder,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    done = await Running(process, f"examples/{name}.py").end(within=120)
    assert done.ok().err == ""
    assert [words for words in _PRINTS[name] if words not in done.out] == [], done


async def test_every_block_of_python_in_the_pages_runs(
    bacalhau: Caller, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(folder)
    for name in ("BACALHAU_API_HOST", "BACALHAU_API_PORT"):
        monkeypatch.setenv(name, bacalhau.environ[name])
    shared: dict[str, object] = {}
    printed = []
    for number, text in enumerate([*blocks("docs/sdk.md", "python"), *blocks("README.md", "python")]):
        code = compile(text, f"block {number}", "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
        running = eval(code, shared)
        if inspect.isawaitable(running):
            await running
        printed.append(capsys.readouterr().out)
    assert len(printed) == 9
    assert printed[0].startswith("Completed\nstdout arg 0: main.wasm\n")
    assert printed[1] == "hello\nCompleted\n"
    assert "path='/out'" in printed[2]
    assert printed[4].endswith("file,words\ntext,4\n\n")
    *lines, from_the_last = printed[5].splitlines()
    assert [line.split(maxsplit=1)[1] for line in lines] == ["stdout hello from one of three"] * 3
    assert len({line.split()[0] for line in lines}) == 3
    assert from_the_last == "[True]"
    assert re.match(r"<Job j-[0-9a-f-]{36} Completed>\n", printed[6])
    assert "nobody" in printed[7]
    assert "Failed" in printed[7]
    assert printed[8].startswith("Completed ['arg 0: main.wasm")


def steps(block: str) -> Iterator[tuple[str, str]]:
    """Give each command of a console block with the lines shown below it."""
    for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
        line, _, shown = part.partition("\n")
        yield _COMMENT.sub("", line), shown.strip()


def same(text: str) -> str:
    for pattern, word in _CHANGING:
        text = pattern.sub(word, text)
    return text


async def shell(line: str, caller: Caller, cwd: Path) -> Done:
    path = f"{caller.command.parent}:{caller.environ['PATH']}"
    process = await asyncio.create_subprocess_shell(
        f"{line} 2>&1",
        env={**caller.environ, "PATH": path},
        cwd=cwd,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    return await Running(process, line).end(within=60)


@pytest.mark.docker
async def test_the_commands_of_the_readme_do_what_it_shows(
    bacalhau: Caller, cluster: Cluster, folder: Path
) -> None:
    left_out, job = [], ""
    for line, shown in [step for block in blocks("README.md", "console") for step in steps(block)]:
        if line.startswith("nats "):  # it never ends; test_nats_tool.py is about it
            left_out.append(line)
            continue
        done = (await shell(line.replace("<job id>", job), bacalhau, folder)).ok()
        assert same(done.out).startswith(same(shown)), done
        if " run " in line:
            job = done.id
        if "job get" in line:
            fetched = folder / f"job-{job}"
            there = {path.name for path in fetched.iterdir() if not path.name.startswith(".")}
            assert there == {"stdout", "stderr", "exitCode", "manifest.json", "data"}
            assert (fetched / "data" / "when").read_text()
    assert left_out == ["nats sub 'bacalhau.>'"]
