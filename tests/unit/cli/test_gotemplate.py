"""Templates of job files: the same as Go's text/template, and an error that says where."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path

import pytest
from bacalhau_cli.gotemplate import fill_in
from bacalhau_cli.gotemplate.quoting import quote, unquote
from hypothesis import given
from hypothesis import strategies as st

from bacalhau_nats.errors import InvalidSpec

# What Go's text/template (go1.26, missingkey=error, data map[string]string) made of each; null is an error.
RECORDED = json.loads((Path(__file__).parent / "gotemplate.json").read_text())


@pytest.mark.parametrize(("template", "written"), RECORDED["cases"])
def test_it_writes_what_go_writes(template: str, written: str | None) -> None:
    if written is None:
        with pytest.raises(InvalidSpec, match=r"^t:1:\d+: template: "):
            fill_in(template, RECORDED["values"], "t")
    else:
        assert fill_in(template, RECORDED["values"], "t") == written


@pytest.mark.parametrize(
    ("template", "message", "hint"),
    [
        ("a\n  {{.gone}}", "j:2:5: template: there is no value for 'gone'", "--template-vars gone=VALUE"),
        ("{{name}}", "j:1:3: template: function 'name' is not known", "{{.name}}"),
        ('\n\n{{define "x"}}{{end}}', "j:3:3: template: define is not supported", ""),
        ('{{block "x" .}}{{end}}', "j:1:3: template: block is not supported", ""),
        ("{{.my-name}}", "j:1:6: template: unexpected '-' in an action", '(index . "my-name")'),
        ("{{if .a}}", "j:1:1: template: {{if}} is never ended", "{{end}}"),
        ("x {{end}}", "j:1:5: template: unexpected {{end}}", ""),
        ("{{.a", "j:1:1: template: unclosed action", "}}"),
        ('{{printf "%d" .a}}', "j:1:3: template: printf: %d cannot show the string 1", ""),
        ('{{printf "%s"}}', "j:1:3: template: printf: there is no value for %s", ""),
        ('{{printf "%s" .a .a}}', "j:1:3: template: printf: there is a value too many: 1", ""),
        ("{{range .a}}{{end}}", "j:1:1: template: range cannot go over a string", ""),
        ("{{len 1 2}}", "j:1:3: template: len takes 1 arguments, not 2", ""),
        ("{{.a.b}}", "j:1:5: template: .b: a string has no fields", ""),
        ("{{" + "(" * 3000 + "1" + ")" * 3000 + "}}", "j: the template nests too deep", ""),
        (
            '{{$x := "ab"}}{{range 99}}{{$x = print $x $x}}{{end}}',
            "j:1:34: template: print makes more than 16777216 characters",
            "",
        ),
        ("{{range 2000000}}{{end}}", "j:1:1: template: range goes round more than 1000000 times", ""),
    ],
)
def test_an_error_names_the_construct_and_where_it_stands(template: str, message: str, hint: str) -> None:
    with pytest.raises(InvalidSpec) as caught:
        fill_in(template, {"a": "1"}, "j")
    assert caught.value.message.startswith(message)
    assert hint in caught.value.hint


@given(st.text().filter(lambda text: "{{" not in text))
def test_text_without_braces_stays_as_it_is(text: str) -> None:
    assert fill_in(text, {}) == text


@given(st.text(max_size=50))
def test_a_value_is_put_in_as_it_is(value: str) -> None:
    assert fill_in("<{{.a}}>", {"a": value}) == f"<{value}>"
    assert fill_in("{{if .a}}1{{else}}0{{end}}", {"a": value}) == ("1" if value else "0")


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_what_is_quoted_reads_back(text: str) -> None:
    assert unquote(quote(text)) == text
    assert unquote(quote(text, ascii_only=True)) == text


@given(st.lists(st.sampled_from(
    ["{{", "}}", "{{-", "-}}", " ", ".a", "$x", ":=", "|", "(", ")", "if ", "end", "range ", "else", "with ", '"s"',
     "1", "printf ", "len ", "/*", "*/", "'c'", "`r`", "-", "\n", "eq ", "text", "break", "$", ".", "1e9", "0x", "%d"]
), max_size=25))  # fmt: skip
def test_whatever_is_written_it_is_filled_in_or_refused_with_one_error(parts: list[str]) -> None:
    with suppress(InvalidSpec):
        fill_in("".join(parts), {"a": "b"}, "j")


@given(st.text(max_size=80))
def test_whatever_stands_in_braces_is_written_or_refused_with_one_error(text: str) -> None:
    with suppress(InvalidSpec):
        fill_in("{{" + text, {"a": "b"}, "j")
