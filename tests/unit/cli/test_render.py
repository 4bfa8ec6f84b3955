"""What is printed, in each form."""

from __future__ import annotations

import io
import re
import sys
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from bacalhau_cli import notices, render
from bacalhau_cli.render import Column, Output
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bacalhau_nats.errors import UserError

ITEMS = [{"a": "1", "b": "x\ny"}, {"a": "22", "b": 'q,"'}]
COLUMNS = [Column("A", lambda i: i["a"], lambda i: f"s{i['a']}"), Column("B b", lambda i: i["b"])]


@pytest.mark.parametrize(
    ("output", "expected"),
    [
        (Output(), 'A    B B\ns1   x y\ns22  q,"\n'),
        (Output(wide=True), 'A   B B\n1   x y\n22  q,"\n'),
        (Output(hide_header=True), 's1   x y\ns22  q,"\n'),
        (Output("csv"), 'A,B b\n1,"x\ny"\n22,"q,"""\n'),
        (Output("csv", hide_header=True), '1,"x\ny"\n22,"q,"""\n'),
        (Output("json"), '[{"a":"1","b":"x\\ny"},{"a":"22","b":"q,\\""}]\n'),
        (Output("yaml"), "- a: '1'\n  b: 'x\n\n    y'\n- a: '22'\n  b: q,\"\n"),
    ],
)
def test_a_list_in_every_form(capsys: pytest.CaptureFixture[str], output: Output, expected: str) -> None:
    render.table(ITEMS, COLUMNS, output)
    assert capsys.readouterr().out == expected


def test_a_name_cannot_command_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    render.table([{"a": "1", "b": "\x1b]0;mine\x07\x9b2J\rü"}], COLUMNS, Output())
    assert capsys.readouterr().out == "A   B B\ns1  \ufffd]0;mine\ufffd\ufffd2J ü\n"


def test_an_empty_list_is_its_header(capsys: pytest.CaptureFixture[str]) -> None:
    render.table([], COLUMNS, Output())
    render.table([], COLUMNS, Output("json"))
    assert capsys.readouterr().out == "A  B B\n[]\n"


def test_json_is_escaped_for_html_and_indented_when_pretty(capsys: pytest.CaptureFixture[str]) -> None:
    render.document({"k": "<&>ü"}, Output("json"))
    render.document({"k": [1]}, Output("json", pretty=True))
    out = capsys.readouterr().out
    assert out == '{"k":"\\u003c\\u0026\\u003eü"}\n{\n  "k": [\n    1\n  ]\n}\n'


def test_yaml_has_sorted_keys(capsys: pytest.CaptureFixture[str]) -> None:
    render.document({"b": 1, "a": {"d": 1, "c": None}}, Output("yaml"))
    assert capsys.readouterr().out == "a:\n  c: null\n  d: 1\nb: 1\n"


def test_a_form_that_makes_no_sense_is_refused() -> None:
    with pytest.raises(UserError, match="csv"):
        render.document({}, Output("csv"))


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0s ago"),
        (7, "7s ago"),
        (60, "1m ago"),
        (310, "5m10s ago"),
        (7500, "2h5m ago"),
        (3 * 86400 + 7200 + 59, "3d2h ago"),
        (-5, "0s ago"),
    ],
)
def test_elapsed_time_has_two_units(seconds: int, text: str) -> None:
    now = datetime(2026, 1, 1, tzinfo=UTC)
    assert render.elapsed(now - timedelta(seconds=seconds), now) == text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("2026-11-24T08:00:00.123456789Z", "2026-11-24 08:00:00"),
        ("2026-11-24T08:00:00.5+02:00", "2026-11-24 06:00:00"),
        ("2026-11-24T08:00:00Z", "2026-11-24 08:00:00"),
        ("0001-01-01T00:00:00Z", ""),
        ("never", ""),
    ],
)
def test_times_of_go_are_read(text: str, shown: str) -> None:
    assert render.date_time(render.from_text(text)) == shown


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def drawn(monkeypatch: pytest.MonkeyPatch, draw: Callable[[], None], columns: int, **environ: str) -> str:
    """Give what is drawn on a terminal so wide."""
    with monkeypatch.context() as patch:
        terminal = Terminal()
        patch.setattr(sys, "stdout", terminal)
        patch.setenv("COLUMNS", str(columns))
        notices.set_up({"TERM": "xterm", **environ})
        draw()
    notices.set_up({})
    return terminal.getvalue()


_WORD = st.text("abcdefgh", min_size=1, max_size=12)
_CELL = st.lists(_WORD, max_size=5).map(" ".join)


@given(rows=st.lists(st.tuples(_CELL, _CELL, _CELL), max_size=4), columns=st.integers(10, 120))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_narrow_terminal_folds_and_never_cuts_a_word(monkeypatch, rows, columns) -> None:
    header = ("FIRST", "SECOND ONE", "THIRD")
    text = drawn(monkeypatch, lambda: render.grid(header, rows, Output(), widths=(0, 0, 30)), columns)
    plain = re.sub(r"\x1b\[[0-9;]*m", "", text).split()
    wanted = Counter(word for row in (header, *rows) for cell in row for word in cell.split())
    assert Counter(plain) == wanted


def test_only_columns_of_states_are_coloured_and_only_where_wanted(monkeypatch) -> None:
    def draw(output: Output = Output()) -> None:  # noqa: B008 - frozen
        render.grid(("STATE", "EVENT"), [("Completed", "Running")], output)

    assert "\x1b[32mCompleted" in drawn(monkeypatch, draw, 80)
    assert "\x1b[36m" not in drawn(monkeypatch, draw, 80), "an event is no state"
    assert "\x1b" not in drawn(monkeypatch, lambda: draw(Output(no_style=True)), 80)
    assert "\x1b" not in drawn(monkeypatch, draw, 80, NO_COLOR="1")
    assert "\x1b" not in drawn(monkeypatch, draw, 80, TERM="dumb")
    assert "\x1b[32mCompleted" in drawn(monkeypatch, draw, 80, TERM="dumb", FORCE_COLOR="1")


def test_colours_that_are_asked_for_go_into_a_pipe_one_line_a_row(capsys, monkeypatch) -> None:
    notices.set_up({"FORCE_COLOR": "1"})
    render.grid(("STATE", "EVENT"), [("Failed", "word " * 60)], Output(), widths=(0, 90))
    notices.set_up({})
    lines = capsys.readouterr().out.splitlines()
    assert "\x1b[31mFailed" in lines[1]
