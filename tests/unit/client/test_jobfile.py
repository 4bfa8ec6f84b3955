"""Job files: what is read, and how errors say where."""

from __future__ import annotations

import json

import pytest

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
        ("type: batch\ntaks: []\n", "f.yaml:2: unknown field: 'taks' in 'Job'", "did you mean 'Tasks'?"),
        ("type: batch\nid: j-1\n", "f.yaml:2: field: 'id' in 'Job' is not allowed", ""),
        ("count: two\n", "f.yaml:1: field: 'Count' in 'Job' is invalid type: string expected: int", ""),
        ("count: true\n", "f.yaml:1: field: 'Count' in 'Job' is invalid type: bool expected: int", ""),
        ("tasks: {}\n", "f.yaml:1: field: 'Tasks' in 'Job' is invalid type: map expected: list", ""),
        ("type: batch\ntype: ops\n", "f.yaml:2: 'type' is given twice", "line 1"),
        ("type: batch\nTYPE: ops\n", "f.yaml:2: 'Type' is given twice", ""),
        ("type: [batch\n", "f.yaml:2:1: did not find expected ',' or ']'", ""),
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
        "f.yaml:4: 'Engin' in Tasks[0] is not known and is ignored; did you mean 'Engine'?"
    ]
    assert read.job["Tasks"] == [{"Name": "main"}]
