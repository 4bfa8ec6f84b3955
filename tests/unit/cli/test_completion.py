"""Completion: the scripts, run by a real bash, and what they are told."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from bacalhau_cli.shells import fitted, script, typed
from click.shell_completion import CompletionItem

from tests.support.machine import IN_CI
from tests.unit.cli.conftest import Run
from tests.unit.client.fake_api import Answer, FakeApi

JOBS = "/api/v1/orchestrator/jobs"
ID, OLD = "j-00000001-1111-4111-8111-111111111111", "j-00000002-1111-4111-8111-111111111111"

_ASK = {
    "bash": """
        source {script}
        COMP_WORDS=({words}); COMP_CWORD={last}
        _bacalhau_completion bacalhau
        printf '%s\\n' "${{COMPREPLY[@]}}"
    """,
    # The two commands of zsh that take what was found, outside of a line that is being edited.
    "zsh": """
        compdef() {{ }}
        compadd() {{ print -rl -- "${{(@P)@[-1]}}" }}
        _describe() {{ print -rl -- "${{(@P)3}}" }}
        source {script}
        words=({words}); CURRENT=$(({last} + 1))
        _bacalhau_completion
    """,
    "fish": "source {script}; complete -C {line}",
}


@pytest.fixture
def program(api: FakeApi, tmp_path: Path) -> dict[str, str]:
    """Put the program on a PATH; give the environment."""
    file = tmp_path / "bin" / "bacalhau"
    file.parent.mkdir()
    file.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m bacalhau_cli "$@"\n')
    file.chmod(0o755)
    return {
        "PATH": f"{file.parent}:{os.defpath}",
        "HOME": str(tmp_path),
        "BACALHAU_API_HOST": api.url,
    }


def asked(shell: str, program: dict[str, str], *words: str) -> list[str]:
    """Let a shell complete a command line with the script that the program prints."""
    found = shutil.which(shell)
    if found is None and not IN_CI:
        pytest.skip(f"there is no {shell} here")
    assert found, f"there is no {shell}"
    file = Path(program["HOME"]) / f"script.{shell}"
    file.write_text(script(shell, descriptions=True))
    quoted = " ".join(shlex.quote(word) for word in ("bacalhau", *words))
    text = _ASK[shell].format(
        script=file, words=quoted, last=len(words), line=shlex.quote(" ".join(("bacalhau", *words)))
    )
    done = subprocess.run(
        [found, *_QUICK[shell], "-c", text],
        env=program,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert done.stderr == ""
    return done.stdout.splitlines()


_QUICK = {"bash": ["--norc"], "zsh": ["-f"], "fish": ["--no-config"]}


@pytest.fixture
def complete(program: dict[str, str]):
    return lambda *words: [line for line in asked("bash", program, *words) if line]


@pytest.mark.parametrize(("shell", "between"), [("zsh", ":"), ("fish", "\t")])
def test_other_shells_complete_with_descriptions(program, api: FakeApi, shell: str, between: str) -> None:
    jobs = [{"ID": ID, "Name": "mine", "State": {"StateType": "Running"}, "Type": "batch"}]
    api.on(f"GET {JOBS}", {"Items": jobs, "NextToken": ""})
    assert asked(shell, program, "job", "li") == [f"list{between}List jobs."]
    assert asked(shell, program, "job", "list", "--output=js") == ["--output=json"]
    assert asked(shell, program, "job", "describe", "mi") == [f"mine{between}batch Running"]
    assert asked(shell, program, "job", "describe", "j-0") == [f"{ID}{between}mine Running"]


def test_bash_completes_commands_options_and_their_values(complete) -> None:
    assert {"job", "node", "completion", "wasm"} <= set(complete(""))
    assert complete("job", "l") == ["list", "logs"]
    assert complete("job", "list", "--order") == ["--order-by", "--order-reversed"]
    assert complete("job", "list", "--output", "") == ["table", "csv", "json", "yaml"]
    assert complete("job", "list", "--output", "=", "js") == ["json"], "bash takes words apart at each ="
    assert complete("docker", "run", "--no-w") == [], "the negative of a switch is not offered"
    assert complete("node", "list", "--show", "labels,v") == ["labels,version"]


def test_bash_completes_keys_of_the_configuration(complete) -> None:
    assert complete("config", "set", "api.po") == ["API.Port="]
    assert complete("job", "list", "-c", "WebUI.E") == ["WebUI.Enabled="]


def test_bash_completes_names_of_profiles(complete, run: Run) -> None:
    for name in ("prod", "dev", "prof"):
        run("profile", "save", name, "--endpoint", "h:1")
    assert complete("job", "list", "--profile", "pro") == ["prod", "prof"]


def test_bash_completes_ids_and_names_from_the_server(complete, api: FakeApi) -> None:
    jobs = [
        {"ID": ID, "Name": "mine", "State": {"StateType": "Running"}},
        {"ID": OLD, "Name": OLD, "State": {"StateType": "Completed"}},
    ]
    api.on(f"GET {JOBS}", {"Items": jobs, "NextToken": ""})
    api.on("GET /api/v1/orchestrator/nodes", {"Nodes": [{"Info": {"NodeID": "n-1"}}]})
    api.on(f"GET {JOBS}/mine/executions", {"Items": [{"ID": "e-7"}]})
    assert complete("job", "describe", "") == [ID, OLD, "mine"]
    assert complete("job", "describe", "mi") == ["mine"]
    assert complete("job", "stop", "") == [ID, "mine"], "only what can be stopped"
    assert complete("node", "drain", "") == ["n-1"]
    assert complete("job", "logs", "mine", "-e", "") == ["e-7"]


def test_nothing_is_said_where_nothing_can_be_completed(complete, api: FakeApi) -> None:
    api.on(f"GET {JOBS}", Answer({"Message": "no"}, 500))
    assert complete("job", "describe", "") == []
    assert complete("--api-host", "http://127.0.0.1:9", "job", "describe", "") == []
    assert complete("nonsense", "") == []


def test_a_server_that_does_not_answer_is_not_waited_for(
    run: Run, api: FakeApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    go_on = threading.Event()
    monkeypatch.setattr("bacalhau_cli.completers._SECONDS", 0.05)
    api.on(f"GET {JOBS}", lambda _: Answer(b"") if go_on.wait(30) else None)
    typed_so_far = {"COMP_WORDS": "bacalhau job describe", "COMP_CWORD": "3"}
    assert run(_BACALHAU_COMPLETE="bash_complete", **typed_so_far) == (0, "", "")
    assert not go_on.is_set()
    go_on.set()


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_every_shell_is_told_of_the_commands(run: Run, shell: str) -> None:
    words = {"COMP_WORDS": "bacalhau job li", "COMP_CWORD": "li" if shell == "fish" else "2"}
    environ = {"_BACALHAU_COMPLETE": f"{shell}_complete", **words}
    told, bare = run(**environ).out, run(BACALHAU_COMPLETION_DESCRIPTIONS="0", **environ).out
    assert "list" in told
    assert ("List jobs." in told) is (shell != "bash")
    assert "List jobs." not in bare
    assert "list" in bare


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_script_may_leave_out_descriptions(run: Run, shell: str) -> None:
    assert f"_BACALHAU_COMPLETE={shell}_complete" in run("completion", shell).out
    bare = run("completion", shell, "--no-descriptions").out
    assert ("BACALHAU_COMPLETION_DESCRIPTIONS=0" in bare) is (shell != "bash")


@pytest.mark.parametrize(
    ("shell", "words", "cursor", "expected"),
    [
        ("bash", "bacalhau job list --output = js", "5", (["job", "list"], "--output=js")),
        ("bash", "bacalhau -c API.Port = 80 job", "5", (["-c", "API.Port=80"], "job")),
        ("zsh", "bacalhau job list --output=js", "3", (["job", "list"], "--output=js")),
        ("zsh", "bacalhau job ", "2", (["job"], "")),
        ("fish", "bacalhau job li", "li", (["job"], "li")),
        ("fish", "bacalhau job ", "", (["job"], "")),
    ],
)
def test_what_was_typed_is_read_as_each_shell_tells_it(shell, words, cursor, expected) -> None:
    assert typed(shell, {"COMP_WORDS": words, "COMP_CWORD": cursor}) == expected


@pytest.mark.parametrize(
    ("shell", "incomplete", "value", "expected"),
    [
        ("bash", "--output=js", "json", ["json"]),
        ("zsh", "--output=js", "json", ["--output=json"]),
        ("fish", "--output=js", "json", ["--output=json"]),
        ("bash", "API.Port=", "API.Port=", []),
        ("zsh", "API.Port", "API.Port=", ["API.Port="]),
    ],
)
def test_a_value_replaces_what_the_shell_takes_for_the_word(shell, incomplete, value, expected) -> None:
    assert [item.value for item in fitted(shell, incomplete, [CompletionItem(value)])] == expected
