"""Where a job's text comes from, and what its template is filled in with."""

from __future__ import annotations

import io
import shlex
from contextlib import suppress
from pathlib import Path

import pytest
from bacalhau_cli.jobtext import Templating
from hypothesis import given
from hypothesis import strategies as st

from bacalhau_nats.errors import WrongArgument
from tests.unit.cli.conftest import Run

JOB = """\
name: {{.who}}
type: batch
count: {{.n}}
tasks: [{name: main, engine: {type: noop}}]
"""


@pytest.fixture
def job(tmp_path: Path) -> Path:
    file = tmp_path / "job.yaml"
    file.write_text(JOB)
    return file


def test_a_template_is_filled_in_from_variables_and_the_environment(run: Run, api, job: Path) -> None:
    api.on("PUT /api/v1/orchestrator/jobs", {"JobID": "j-1", "EvaluationID": "e"})
    done = run("job", "run", "--wait=false", "-V", "n=3", "-E", "^wh", str(job), who="me", why="x")
    assert done.code == 0, done.err
    sent = api.asked[-1].body["Job"]
    assert (sent["Name"], sent["Count"]) == ("me", 3)


def test_a_variable_wins_over_the_environment() -> None:
    templating = Templating(variables=("a=1,b=2", "c=x=y"), envs="*")
    text = templating.fill_in("{{.a}} {{.b}} {{.c}} {{.d}}", "j", {"a": "env", "d": "env"})
    assert text == "1 2 x=y env"


def test_a_name_without_a_value_is_an_error_with_its_place(run: Run, api, job: Path) -> None:
    done = run("job", "run", str(job), "-V", "who=me")
    assert done.code == 1
    assert f"{job}:3:10: template: there is no value for 'n'" in done.err
    assert not api.asked


def test_without_templates_the_braces_stay(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "j.yaml"
    file.write_text("type: batch\ntasks: [{name: main, engine: {type: noop, params: {A: '{{.x}}'}}}]\n")
    assert run("job", "validate", "--no-template", str(file)).out == "OK\n"
    assert run("job", "validate", str(file)).code == 1


def test_stdin_is_read_where_no_file_or_a_dash_is_given(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    for args in ([], ["-"]):
        monkeypatch.setattr("sys.stdin", io.StringIO(JOB))
        assert run("job", "validate", "-V", "n=1,who=w", *args).out == "OK\n"


def test_only_the_first_of_several_files_is_read_and_that_is_said(run: Run, job: Path) -> None:
    done = run("job", "validate", "-V", "n=1,who=w", str(job), "other.yaml")
    assert done.code == 0
    assert f"only {job} is read; ignored: other.yaml" in done.err


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["-V", "n"], "'n' is not NAME=VALUE"),
        (["-V", "=1"], "'=1' is not NAME=VALUE"),
        (["-E", "("], "--template-envs '(' is not a regular expression"),
    ],
)
def test_wrong_flags_are_refused_before_anything_is_sent(run: Run, api, job: Path, flags, message) -> None:
    done = run("job", "run", *flags, str(job))
    assert done.code == 2
    assert message in done.err
    assert not api.asked


def test_a_file_that_cannot_be_read_is_one_line(run: Run, tmp_path: Path) -> None:
    assert (
        run("job", "run", "none.yaml").err == "Error: none.yaml cannot be read: No such file or directory\n"
    )
    (tmp_path / "bin").write_bytes(b"\xff\xfe")
    assert "bin is not a text file" in run("job", "run", "bin").err
    assert "Is a directory" in run("job", "run", ".").err


@given(st.lists(st.text(max_size=20), max_size=3), st.text(max_size=10))
def test_any_flags_give_values_or_one_error(variables: list[str], envs: str) -> None:
    templating = Templating(variables=tuple(variables), envs=envs)
    with suppress(WrongArgument):
        assert templating.fill_in("plain", "j", {"A": "1"}) == "plain"


def test_the_template_of_the_page_about_jobs_can_be_used_with_and_without_what_it_may_be_given(
    run: Run, tmp_path: Path
) -> None:
    page = (Path(__file__).parents[3] / "docs" / "jobs.md").read_text()
    (tmp_path / "report.yaml").write_text(page.split("```yaml\n")[1].split("```")[0])
    (line,) = [line for line in page.splitlines() if line.startswith("bacalhau job run ")]
    args = ["validate" if word == "run" else word for word in shlex.split(line)[1:]]
    assert run(*args).out == "OK\n"
    assert run(*args, count="3").out == "OK\n"
    assert "expected: int" in run(*args, count="many").err
