"""Subjects: any text is one token, and what was built is read back."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bacalhau_nats.domain.facts import Key, Kind
from bacalhau_nats.errors import InvalidSettings
from bacalhau_nats.messaging import subjects
from bacalhau_nats.messaging.subjects import CATALOGUE, Cell, decode, encode
from bacalhau_nats.settings import Settings

# What comes from outside may hold anything; a lone surrogate is no text.
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
OWNED = {Kind.SPEC, Kind.REPORT, Kind.MEMBERSHIP}


@given(texts)
def test_any_text_becomes_one_harmless_token_and_is_read_back(text):
    token = encode(text)
    assert token
    assert not set(token) & set(".*> \t\r\n")
    assert token.isascii()
    assert decode(token) == text


@given(texts, texts)
def test_two_texts_never_share_a_token(one, other):
    assert (encode(one) == encode(other)) is (one == other)


@pytest.mark.parametrize(
    ("text", "token"),
    [
        ("node.example.com", "node%2Eexample%2Ecom"),
        ("", "%"),
        ("%", "%25"),
        ("a>*", "a%3E%2A"),
        ("ü", "%C3%BC"),
        ("e-1", "e-1"),
    ],
)
def test_tokens_read_like_this(text, token):
    assert encode(text) == token


@given(texts, st.sampled_from(list(Kind)), texts, texts)
def test_the_key_of_a_record_is_read_back_from_its_subject(cell, kind, owner, part):
    key = Key(kind, owner, "" if kind in OWNED else part or "1")
    here = Cell(cell)
    subject = here.of_key(key)
    assert here.key_of(subject) == key
    assert here.key_of(here.republished(subject)) == key


def test_records_lie_where_the_design_says():
    cell = Cell("main")
    assert cell.of_key(Key(Kind.SPEC, "j-1")) == "bacalhau.main.job.j-1.spec"
    assert cell.of_key(Key(Kind.DESIRED, "e-1", "n.1")) == "bacalhau.main.execution.e-1.desired.n%2E1"
    assert cell.republished("bacalhau.main.job.j-1.spec") == "bacalhau.main.fact.job.j-1.spec"
    assert cell.fence_of("e-1") == "bacalhau.main.execution.e-1.desired.*"
    assert cell.facts() == [
        "bacalhau.main.job.*.spec",
        "bacalhau.main.job.*.waiting.*",
        "bacalhau.main.job.*.conclusion.*",
        "bacalhau.main.execution.*.desired.*",
        "bacalhau.main.execution.*.observed.*",
        "bacalhau.main.node.*.report",
        "bacalhau.main.node.*.membership",
    ]


@pytest.mark.parametrize(
    "subject",
    ["bacalhau.main.node.n1.heartbeat", "bacalhau.main.roll.call", "bacalhau.main", "", "x.y.z.a.b.c"],
)
def test_other_subjects_are_no_records(subject):
    assert Cell("main").key_of(subject) is None


@pytest.mark.parametrize("subject", [s for s in CATALOGUE if "{" in s.template], ids=lambda s: s.template)
def test_what_a_template_builds_it_parses(subject):
    names = [part[1:-1] for part in subject.template.split(".") if part.startswith("{")]
    tokens = {name: f"a.{name}" for name in names}
    if ">" in subject.template:
        return
    assert subject.parse(subject(**tokens)) == tokens
    assert subject.parse(subject(**tokens) + ".more") is None
    assert subject.parse(subject(**tokens).replace("bacalhau", "other", 1)) is None


def test_tokens_that_are_not_given_match_everything():
    assert subjects.BID.any(cell="main", requester="r.1") == "bacalhau.main.bid.r%2E1.*.*"


@pytest.mark.parametrize("cell", ["main", "test-1_A", "x" * 64])
def test_a_cell_names_its_streams_and_buckets(cell):
    load(cell)
    assert Cell(cell).stream("STATE") == f"BACALHAU_{cell}_STATE"
    assert Cell(cell).bucket("blobs") == f"bacalhau-{cell}-blobs"


@pytest.mark.parametrize("cell", ["", "a.b", "a b", "a/b", "a\\b", "*", ">", "ü", "x" * 65])
def test_a_cell_that_could_not_name_a_stream_is_refused(cell):
    """Servers take no blanks, dots, wildcards or slashes there, and two cells must never share one."""
    with pytest.raises(InvalidSettings, match="Cell"):
        load(cell)


def load(cell):
    return Settings.load((), {"HOME": "/home/ada"}, (f"Cell={cell}",))
