"""Job files: what is read, and how errors say where."""

from __future__ import annotations

import json
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bacalhau_nats.client import jobfile
from bacalhau_nats.errors import InvalidSpec

JOB = """\
name: hello
TYPE: batch
count: 2
tasks:
  - name: main
    engine: {type: noop, params: {Anything: [1, 2]}}
    env: {WHEN: 2024-01-02}
    resultpaths:
      - {name: out, path: /out}
"""


def test_keys_are_matched_without_regard_to_case_and_spelt_as_the_api_does() -> None:
    read = jobfile.read(JOB)
    assert read.warnings == []
    assert read.job == {
        "Name": "hello",
        "Type": "batch",
        "Count": 2,
        "Tasks": [
            {
                "Name": "main",
                "Engine": {"Type": "noop", "Params": {"Anything": [1, 2]}},
                "Env": {"WHEN": "2024-01-02"},
                "ResultPaths": [{"Name": "out", "Path": "/out"}],
            }
        ],
    }


def test_json_is_read_too_with_tabs_and_all() -> None:
    text = json.dumps({"Type": "batch", "Tasks": []}, indent="\t")
    assert jobfile.read(text).job == {"Type": "batch", "Tasks": []}


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("type: batch\ntaks: []\n", "f.yaml:2:1: unknown field: 'taks' in 'Job'", "did you mean 'Tasks'?"),
        ("type: batch\nid: j-1\n", "f.yaml:2:1: field: 'id' in 'Job' is not allowed", ""),
        ("count: two\n", "f.yaml:1:1: field: 'Count' in 'Job' is invalid type: string expected: int", ""),
        ("count: true\n", "f.yaml:1:1: field: 'Count' in 'Job' is invalid type: bool expected: int", ""),
        ("tasks: {}\n", "f.yaml:1:1: field: 'Tasks' in 'Job' is invalid type: map expected: list", ""),
        ("type: batch\ntype: ops\n", "f.yaml:2:1: 'type' is given twice", "line 1"),
        ("type: batch\nTYPE: ops\n", "f.yaml:2:1: 'Type' is given twice", ""),
        ("type: [batch\n", "f.yaml:2:1: did not find expected ',' or ']'", ""),
        ("? [a]\n: b\n", "f.yaml:1:3: a key must be a text, not a sequence", ""),
        ("a: &a [*a]\n", "f.yaml nests deeper than 100 levels, or refers to itself", ""),
        ("meta: {a: .nan}\n", "f.yaml holds nan, which a job cannot hold", "as a text"),
        ("meta: {a: !!set {b}}\n", "f.yaml holds {'b'}, which a job cannot hold", "as a text"),
        (
            "type: batch\n\ttasks: []\n",
            "f.yaml:2:1: found a tab character that violates indentation",
            "not with tabs",
        ),
        ("- a\n", "f.yaml is a list, not a job", "map"),
        ("just text", "f.yaml is a string, not a job", "map"),
        ("  \n", "f.yaml is empty", "YAML or JSON"),
        ("# only a comment\n", "f.yaml is a null, not a job", ""),
    ],
)
def test_an_error_says_where_and_what_to_do(text: str, message: str, hint: str) -> None:
    with pytest.raises(InvalidSpec) as caught:
        jobfile.read(text, "f.yaml")
    assert caught.value.message.startswith(message)
    assert hint in caught.value.hint


def test_an_unknown_key_further_down_is_a_warning_with_its_line() -> None:
    read = jobfile.read("type: batch\ntasks:\n  - name: main\n    Engin: {type: noop}\n", "f.yaml")
    assert read.warnings == [
        "f.yaml:4:5: 'Engin' in Tasks[0] is not known and is ignored; did you mean 'Engine'?"
    ]
    assert read.job["Tasks"] == [{"Name": "main"}]


def test_an_error_shows_the_line_and_where_in_it() -> None:
    with pytest.raises(InvalidSpec) as caught:
        jobfile.read("type: batch\ntasks: [a, b: ]c\n", "f.yaml")
    assert caught.value.message.splitlines()[1:] == ["  2 | tasks: [a, b: ]c", "    |                ^"]


def test_an_unknown_key_in_json_has_its_line_too() -> None:
    with pytest.raises(InvalidSpec, match=r"^f\.json:3:2: unknown field: 'Taks' in 'Job'"):
        jobfile.read('{\n\t"Type": "batch",\n\t"Taks": []\n}', "f.json")


def test_json_that_is_none_is_told_as_json_where_the_file_says_so() -> None:
    with pytest.raises(InvalidSpec, match=r"^f\.json:2:9: Expecting value\n  2 \| \"Type\": batch"):
        jobfile.read('{\n"Type": batch\n}', "f.json")


@given(st.text(alphabet=st.sampled_from(list("abTasksype:- \n\t[]{}&*!?,#|>'\"1.")), max_size=60))
def test_any_text_is_a_job_or_is_refused_with_one_error(text: str) -> None:
    with suppress(InvalidSpec):
        json.dumps(jobfile.read(text, "f.yaml").job, allow_nan=False)


@given(st.binary(max_size=80))
def test_any_bytes_as_text_do_no_harm(raw: bytes) -> None:
    with suppress(InvalidSpec):
        jobfile.read(raw.decode("utf-8", "replace"), "f.yaml")


def test_aliases_that_stand_for_more_than_a_job_can_hold_are_refused_at_once() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 9)]
    with pytest.raises(InvalidSpec, match="more than 200000 values"):
        jobfile.read("\n".join(lines), "f.yaml")
