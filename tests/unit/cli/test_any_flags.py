"""Whatever is written behind a command: it is done, or refused with one error, and never a stack trace."""

from __future__ import annotations

import io
from contextlib import redirect_stderr, redirect_stdout

import pytest
from bacalhau_cli import main
from bacalhau_cli.context import Caller
from hypothesis import given
from hypothesis import strategies as st

FLAGS = st.sampled_from(
    ["--input", "--output", "--publisher", "--env", "--labels", "--cpu", "--memory", "--disk", "--gpu", "--network",
     "--domain", "--constraints", "--timeout", "--queue-timeout", "--count", "--priority", "--target", "--name",
     "--workdir", "--entrypoint", "--task-name"]
)  # fmt: skip
PIECES = st.sampled_from(
    ["s3://b/k", "https://h:1/x", "file:///x", "ipfs://c", ":/in", ",opt=", "opt=region=eu", "a=b", "a in (b)", "!", "1",
     "500m", "1GiB", "-1", ",", "=", ":", "/", " ", '"', "\n", "\0", "{{", "name:/p", "all", "http", "🐟", "--", "src="]
)  # fmt: skip
VALUES = st.lists(PIECES, max_size=4).map("".join) | st.text(max_size=20)


@pytest.mark.parametrize("command", [["docker", "run"], ["wasm", "run"]])
@given(flags=st.lists(st.tuples(FLAGS, VALUES), max_size=4), words=st.lists(VALUES, max_size=3))
def test_a_run_is_shown_or_refused(
    command: list[str], flags: list[tuple[str, str]], words: list[str]
) -> None:
    args = [*command, "--dry-run", *(part for flag in flags for part in flag), *words]
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        code = main.run(args, Caller({"HOME": "/nowhere"}))
    assert code in (0, 2), (args, err.getvalue())
    assert "DEBUG=true" not in err.getvalue(), "that is how a bug is told"
    assert bool(out.getvalue()) is (code == 0)
