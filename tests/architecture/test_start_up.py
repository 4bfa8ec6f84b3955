"""What the program may load before it knows what is wanted of it: somebody waits for each module."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

# Whoever adds a module here makes every command slower; import it where it is used instead.
AT_START = {
    "bacalhau_cli",
    "bacalhau_cli.completers",
    "bacalhau_cli.context",
    "bacalhau_cli.exits",
    "bacalhau_cli.groups",
    "bacalhau_cli.main",
    "bacalhau_cli.notices",
    "bacalhau_cli.suggestions",
    "bacalhau_nats",
    "bacalhau_nats.errors",
}
PRINTS = {"bacalhau_cli.render", "bacalhau_nats.domain", "bacalhau_nats.domain.ids"}
SLOW = {"asyncio", "email", "http", "json", "logging", "socket", "ssl", "subprocess", "tarfile"}
_LINE = re.compile(r"import time: +\d+ \| +\d+ \| +(\S+)")


def loaded(*args: str) -> set[str]:
    """Give the modules that a Python loads for these arguments, as it tells itself."""
    command = [sys.executable, "-X", "importtime", *args]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    return set(_LINE.findall(done.stderr))


@pytest.mark.parametrize(
    ("args", "more"),
    [
        (["--help"], set()),
        (["job", "--help"], {"bacalhau_cli.commands", "bacalhau_cli.commands.job"}),
        (["completion", "--help"], {"bacalhau_cli.commands", "bacalhau_cli.commands.completion", *PRINTS}),
        (
            ["completion", "bash"],
            {"bacalhau_cli.commands", "bacalhau_cli.commands.completion", "bacalhau_cli.shells", *PRINTS},
        ),
    ],
    ids=["help", "help of a group", "help of completion", "completion"],
)
def test_help_and_completion_load_what_they_need_and_nothing_else(args: list[str], more: set[str]) -> None:
    # What a bare Python of this environment loads is not ours: it follows the hooks of installed packages.
    found = loaded("-m", "bacalhau_cli", *args) - loaded("-c", "pass")
    ours = {name for name in found if name.startswith("bacalhau_")}
    assert ours - {"bacalhau_cli.__main__"} <= AT_START | more
    packages = {name.partition(".")[0] for name in found - ours}
    assert packages - set(sys.stdlib_module_names) - {"org"} == {"click"}  # copy looks for Jython
    if "completion" not in args:  # render writes json
        assert not packages & SLOW


def test_a_list_from_the_server_loads_no_settings_and_nothing_that_draws() -> None:
    """130 keys and their models are 60 ms; a picture for nobody is 30."""
    script = (
        "import sys; from bacalhau_cli.main import main\n"
        "try: main(['--api-host', 'http://127.0.0.1:9', 'job', 'list'])\n"
        "except SystemExit as end: sys.exit(0 if end.code == 1 else 1)"
    )
    found = loaded("-c", script)
    assert "httpx" in found, "it has asked"
    assert "trio._core" not in found, "httpx has no use for it here"
    drawing = {"pydantic", "rich", "yaml", "pygments", "fastapi", "docker", "wasmtime", "nats"}
    assert not {name.partition(".")[0] for name in found} & drawing
