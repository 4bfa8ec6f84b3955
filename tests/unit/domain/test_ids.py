"""Ids that two processes invent at once are the same; others are not."""

from hypothesis import given
from hypothesis import strategies as st

from bacalhau_nats.domain import ids

text = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=6)
parts = st.tuples(text, text, st.integers(1, 9), text, st.integers(0, 9))


@given(parts, parts)
def test_execution_ids_are_equal_only_for_the_same_attempt(one, other):
    assert (ids.execution_id(*one) == ids.execution_id(*other)) is (one == other)


@given(st.tuples(text, text, st.integers(0, 3)), st.tuples(text, text, st.integers(0, 3)))
def test_job_ids_are_equal_only_for_the_same_name_and_life(one, other):
    assert (ids.named_job_id(*one) == ids.named_job_id(*other)) is (one == other)


@given(parts, text)
def test_derived_ids_are_whole_ids_with_their_letter(of, token):
    made = (ids.execution_id(*of), ids.named_job_id(of[0], of[1]), ids.token_job_id(token))
    assert all(ids.is_full(one) for one in made)
    assert [one[:2] for one in made] == ["e-", "j-", "j-"]


def test_ids_never_change_between_releases():
    """A requester of another version must want the same subject."""
    assert ids.execution_id("j-1", "nonce", 1, "0", 0) == "e-b2d16fc7-4ed1-5279-85ff-80271ce892d4"
    assert ids.named_job_id("default", "hello") == "j-e5042eb9-6886-59a4-836b-c27c04aa683d"
    assert ids.token_job_id("token") == "j-7e560dbe-f378-54a0-bdaa-b5405fe75a81"


def test_a_short_id_keeps_its_letter_and_eight_digits():
    assert ids.short("e-01234567-89ab-cdef-0123-456789abcdef") == "e-01234567"
    assert ids.short("01234567-89ab-cdef-0123-456789abcdef") == "01234567"


def test_other_names_stay_whole():
    for name in ("node.example.com", "", "e-01234567", "e-01234567-89ab-cdef-0123-456789abcdeg"):
        assert ids.short(name) == name
        assert not ids.is_full(name)
