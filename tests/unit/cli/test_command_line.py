"""How a command line is read, and which exit code it gets."""

from __future__ import annotations

import csv
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator

import click
import pytest
from bacalhau_cli.commands.docker import run as docker_run
from bacalhau_cli.context import Caller
from bacalhau_cli.groups import Command, Group, rewrite
from bacalhau_cli.main import root
from bacalhau_cli.options import Duration

from bacalhau_nats.client.environment import endpoint
from bacalhau_nats.errors import UserError
from tests.unit.cli.conftest import Run


@pytest.mark.parametrize(
    ("args", "expected"),
    [
        (["--wait=false"], ["--no-wait"]),
        (["--wait=True", "x"], ["--wait", "x"]),
        (["-f=false"], ["--no-follow"]),
        (["-p=local"], ["-plocal"]),
        (["--name=a=b"], ["--name=a=b"]),
        (["-e", "A=b"], ["-e", "A=b"]),
        (["img", "--", "--wait=false", "-p=x"], ["img", "--", "--wait=false", "-p=x"]),
    ],
)
def test_gos_ways_of_writing_flags_are_understood(args: list[str], expected: list[str]) -> None:
    assert list(rewrite(args, docker_run.params)) == expected


@pytest.mark.parametrize(
    ("host", "port", "expected"),
    [
        ("", "1234", "http://127.0.0.1:1234"),
        ("0.0.0.0", "5", "http://127.0.0.1:5"),
        ("::1", "5", "http://[::1]:5"),
        ("h", "5", "http://h:5"),
        ("https://h", "5", "https://h:5"),
        ("https://h:6/path", "5", "https://h:6"),
    ],
)
def test_the_servers_address(host: str, port: str, expected: str) -> None:
    assert endpoint(host, port) == expected


@pytest.mark.parametrize("host", ["http://[::1", "http://h:port"])
def test_an_address_that_cannot_be_read_is_said(host: str) -> None:
    with pytest.raises(UserError, match="is not an address of a server"):
        endpoint(host, "1234")


def test_flags_beat_the_environment_and_a_config_file_counts(tmp_path, monkeypatch) -> None:
    environ = {"HOME": str(tmp_path), "BACALHAU_API_PORT": "7"}
    assert Caller(environ).endpoint() == "http://127.0.0.1:7"
    assert Caller(environ, {"api_port": 8}).endpoint() == "http://127.0.0.1:8"
    (tmp_path / ".bacalhau").mkdir()
    (tmp_path / ".bacalhau" / "config.yaml").write_text("API: {Host: h, Port: 9}\n")
    assert Caller({"HOME": str(tmp_path)}).endpoint() == "http://h:9"
    assert Caller({"HOME": str(tmp_path)}, {"config": ("API.Port=10",)}).endpoint() == "http://h:10"
    assert Caller(environ).endpoint() == "http://h:7"


@pytest.mark.parametrize(
    ("args", "code", "words"),
    [
        (["--help"], 0, ""),
        (["job"], 0, ""),
        (["job", "-h"], 0, ""),
        (["jov"], 2, "did you mean 'bacalhau job'?"),
        (["job", "lisst"], 2, "did you mean 'bacalhau job list'?"),
        (["node", "logs"], 2, "did you mean 'bacalhau job logs'?"),
        (["get", "j-1"], 2, "did you mean 'bacalhau job get'"),
        (["cancel", "j-1"], 2, "did you mean 'bacalhau job stop'?"),
        (["xyzzy"], 2, "'bacalhau --help' lists the commands"),
        (["completion", "bahs"], 2, "did you mean 'bacalhau completion bash'?"),
        (["help", "job", "lisst"], 2, "did you mean 'bacalhau job list'?"),
        (["job", "list", "--limti", "3"], 2, "did you mean --limit?"),
        (["job", "--api-prot", "3", "list"], 2, "did you mean --api-port"),
        (["job", "list", "-z"], 2, "'bacalhau job list --help' lists the options"),
        (["-c", "API.Prot=3", "job", "list"], 1, "did you mean API.Port"),
        (["completion", "powershell"], 1, "bash, zsh and fish have one"),
        (["job", "describe"], 2, "Missing argument"),
        (["job", "list", "--nope"], 2, "has no option --nope"),
        (["job", "list", "--limit", "-1"], 2, "not a valid number"),
        (["job", "list", "--order-by", "id"], 2, "'created_at', 'modified_at'"),
        (["docker", "run", "-o", "x", "img"], 2, "name:/path"),
        (["docker", "run", "--constraints", "a in", "img"], 2, "--constraints"),
        (["job", "run", "missing.yaml"], 1, "cannot be read"),
        (["job", "describe", "nope"], 1, "no /api/v1"),
    ],
)
def test_the_exit_code_tells_a_wrong_command_line_from_a_failed_command(
    run: Run, args: list[str], code: int, words: str
) -> None:
    ran = run(*args)
    assert ran.code == code, ran
    assert words in ran.err
    assert not code or not ran.out


def commands() -> Iterator[tuple[str, click.Command]]:
    """Every command of the tree, with what is typed to call it."""
    open_groups: list[tuple[str, click.Command]] = [("bacalhau", root)]
    while open_groups:
        path, group = open_groups.pop()
        assert isinstance(group, Group)
        context = click.Context(group)
        for name in group.list_commands(context):
            command = group.get_command(context, name)
            assert command is not None
            if isinstance(command, Group):
                open_groups.append((f"{path} {name}", command))
            else:
                yield f"{path} {name}", command


@pytest.mark.parametrize(("path", "command"), [pytest.param(*one, id=one[0]) for one in commands()])
def test_the_help_of_a_command_has_examples_and_each_can_be_typed(path: str, command: Command) -> None:
    assert command.examples
    for example in command.examples:
        words = shlex.split(example.partition(" < ")[0])
        own = path.split()
        assert words[: len(own)] == own
        command.make_context(path, words[len(own) :], obj=Caller())
        assert f"\n  {example}\n" in command.get_help(click.Context(command)) + "\n"


@pytest.mark.parametrize(
    ("path", "command"), [pytest.param(*one, id=one[0]) for one in (*commands(), ("bacalhau", root))]
)
def test_help_fits_a_narrow_terminal_and_every_option_in_it_says_what_it_does(
    path: str, command: click.Command
) -> None:
    lines = command.get_help(click.Context(command, info_name=path, terminal_width=80)).splitlines()
    assert [line for line in lines if len(line) > 80] == []
    options = lines[lines.index("Options:") + 1 :]
    bare = [line for line in options if re.fullmatch(r"  \[?[A-Z|-]+(/PATH)?\]?(\.\.\.)?", line)]
    assert bare == []


def test_an_error_is_a_plain_line_and_a_hint_without_a_terminal(run: Run) -> None:
    ran = run("--api-host", "http://127.0.0.1:9", "agent", "alive")
    first, second = ran.err.splitlines()
    assert first.startswith("Error: no server can be reached at http://127.0.0.1:9")
    assert second.startswith("Hint: start one with 'bacalhau serve")
    assert "\x1b" in run("job", "describe", "x", FORCE_COLOR="1").err


def test_global_options_may_stand_anywhere(run: Run, api) -> None:
    api.on("GET /api/v1/agent/alive", {"Status": "OK"})
    port = api.url.rpartition(":")[2]
    for args in (
        ("--api-port", port, "agent", "alive"),
        ("agent", "--api-port", port, "alive"),
        ("agent", "alive", "--api-port", port),
    ):
        assert run(*args, BACALHAU_API_HOST="127.0.0.1").out == "Status: OK\n"


def test_credentials_must_be_of_one_kind_and_whole(run: Run) -> None:
    assert "both set" in run("agent", "alive", BACALHAU_API_KEY="k", BACALHAU_API_USERNAME="u").err
    assert "only one" in run("agent", "alive", BACALHAU_API_USERNAME="u").err


@pytest.mark.parametrize(
    ("text", "seconds"), [("5m0s", 300), ("300s", 300), ("1h1.5s", 3601.5), ("20ms", 0.02)]
)
def test_durations_are_gos(text: str, seconds: float) -> None:
    assert Duration().convert(text, None, None) == pytest.approx(seconds)


def test_help_loads_no_heavy_library() -> None:
    code = (
        "import sys; from bacalhau_cli import main; from bacalhau_cli.context import Caller\n"
        "main.run(['job', '--help'], Caller())\n"
        "heavy = {'httpx', 'pydantic', 'rich', 'yaml', 'asyncio', 'websockets', 'nats'} & set(sys.modules)\n"
        "sys.exit(str(heavy) if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_file_dotenv_sets_what_is_not_set(tmp_path) -> None:
    (tmp_path / ".env").write_text('BACALHAU_API_PORT="7"  # ours\nexport BACALHAU_CELL=a\nLOG_LEVEL=warn\n')
    done = subprocess.run(
        [sys.executable, "-m", "bacalhau_cli", "config", "list", "--output", "csv"],
        cwd=tmp_path,
        env={"HOME": str(tmp_path), "BACALHAU_CELL": "b", "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=True,
    )
    listed = {row[0]: row[1] for row in csv.reader(done.stdout.splitlines())}
    wanted = {"API.Port": "7", "Cell": "b", "Logging.Level": "warn"}
    assert {key: listed[key] for key in wanted} == wanted
    assert done.stderr == ""
