"""Output put together line by line, whatever its pieces are."""

from __future__ import annotations

from bacalhau_cli.loglines import Lines
from hypothesis import given
from hypothesis import strategies as st

from bacalhau_nats.client import LogLine

TEXT = st.text(st.sampled_from(list("ab\n\r")), max_size=6)
PIECES = st.lists(st.tuples(st.sampled_from("xy"), st.sampled_from(["stdout", "stderr"]), TEXT), max_size=12)


@given(PIECES)
def test_every_line_comes_once_and_whole_for_each_execution_and_stream(pieces) -> None:
    lines, written = Lines(), []
    for execution, stream, text in pieces:
        written += lines.feed(LogLine(stream, text, execution))
    ended = len(written)
    written += lines.rest()

    assert all(line.text.endswith("\n") and line.text.count("\n") == 1 for line in written)
    for execution in "xy":
        for stream in ("stdout", "stderr"):
            printed = "".join(text for e, s, text in pieces if (e, s) == (execution, stream))
            whole = "".join(
                line.text for line in written if (line.execution_id, line.stream) == (execution, stream)
            )
            assert whole in (printed, printed + "\n")
    assert ended == sum(text.count("\n") for _, _, text in pieces)


def test_a_line_has_the_time_of_its_beginning() -> None:
    lines = Lines()
    assert not list(lines.feed(LogLine("stdout", "a", "e", 1)))
    assert [(line.text, line.time) for line in lines.feed(LogLine("stdout", "b\nc", "e", 2))] == [("ab\n", 1)]
    assert [(line.text, line.time) for line in lines.rest()] == [("c\n", 2)]


def test_a_line_that_never_ends_is_cut() -> None:
    lines = Lines()
    cut = [line for _ in range(3) for line in lines.feed(LogLine("stdout", "x" * 40_000, "e"))]
    assert [len(line.text) for line in cut] == [80_001]
