"""Label selectors: grammar, meaning and canonical text."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bacalhau_nats.domain.constraints import canonical, match, parse, show
from bacalhau_nats.domain.spec import Requirement
from bacalhau_nats.errors import InvalidSpec

LETTERS = "abcXYZ019"
names = st.from_regex(r"[a-zA-Z0-9]([-_.a-zA-Z0-9]{0,8}[a-zA-Z0-9])?", fullmatch=True)
keys = st.one_of(
    names,
    st.builds(
        lambda prefix, name: f"{prefix.lower()}/{name}", st.text("abc9", min_size=1, max_size=5), names
    ),
)
values = st.one_of(st.just(""), names)
integers = st.integers(-999, 999).map(str)


def requirement(key, operator, *found):
    return Requirement(key=key, operator=operator, values=found)


requirements = st.one_of(
    st.builds(requirement, keys, st.sampled_from(["=", "!="]), values),
    st.builds(
        lambda k, o, v: requirement(k, o, *sorted(v)),
        keys,
        st.sampled_from(["in", "notin"]),
        st.sets(values, min_size=1, max_size=4),
    ),
    st.builds(requirement, keys, st.sampled_from(["exists", "!"])),
    st.builds(
        lambda k, o, v: requirement(k, o, v.lstrip("-")), keys, st.sampled_from(["gt", "lt"]), integers
    ),
)


@given(st.lists(requirements, max_size=4))
def test_what_is_written_reads_back_the_same(wanted):
    assert parse(canonical(wanted)) == tuple(wanted)


@given(st.text("abc=!<>(),in notx-5 \t", max_size=30))
def test_any_text_either_parses_to_something_canonical_or_is_refused(text):
    try:
        found = parse(text)
    except InvalidSpec as error:
        said = error.message
    else:
        said = "it parses"
        assert parse(canonical(found)) == found
    assert said


@pytest.mark.parametrize(
    ("text", "labels", "holds"),
    [
        ("a=1", {"a": "1"}, True),
        ("a==1", {"a": "2"}, False),
        ("a=", {}, False),
        ("a=", {"a": ""}, True),
        ("a!=1", {}, True),
        ("a!=1", {"a": "1"}, False),
        ("a in (1,2)", {"a": "2"}, True),
        ("a in (1,2)", {}, False),
        ("a notin (1,2)", {}, True),
        ("a notin (1,2)", {"a": "2"}, False),
        ("a", {"a": ""}, True),
        ("a", {}, False),
        ("!a", {}, True),
        ("!a", {"a": ""}, False),
        ("a>4", {"a": "10"}, True),
        ("a>4", {"a": "4"}, False),
        ("a<6", {"a": "5"}, True),
        ("a>4", {"a": "many"}, False),
        ("a>4", {}, False),
        ("a=1,b", {"a": "1"}, False),
        ("a=1,b", {"a": "1", "b": "x"}, True),
        ("", {}, True),
        ("in in (in,notin)", {"in": "notin"}, True),
    ],
)
def test_selectors_hold_as_in_kubernetes(text, labels, holds):
    assert match(parse(text), labels) is holds


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("==", "found '==', expected: !, identifier, or 'end of string'"),
        ("team in red", "unable to parse requirement: found 'red' expected: '('"),
        ("a b", "unable to parse requirement: found 'b', expected: in, notin, =, ==, !=, gt, lt"),
        ("-bad=x", 'unable to parse requirement: <nil>: Invalid value: "-bad": name part must consist of'),
        ("t=-x-", 'unable to parse requirement: values[0][t]: Invalid value: "-x-": a valid label must be'),
        ("n>abc", "unable to parse requirement: values[0]: Invalid value: \"abc\": for 'Gt', 'Lt' operators"),
        ("a,", "found '', expected: identifier after ','"),
        ("a in (x", "unable to parse requirement: found '', expected"),
        ("a" * 64, "unable to parse requirement: <nil>: Invalid value"),
        ("A.b/c", "unable to parse requirement: <nil>: Invalid value"),
    ],
)
def test_a_bad_selector_says_what_was_found_and_what_was_expected(text, message):
    with pytest.raises(InvalidSpec) as caught:
        parse(text)
    assert caught.value.message.startswith(message)


def test_an_empty_list_of_values_means_the_empty_value():
    (found,) = parse("a in ()")
    assert found.values == ("",)
    assert match([found], {"a": ""})
    assert not match([found], {"b": ""})


def test_a_constraint_without_operator_means_equals():
    assert match([requirement("a", "", "x")], {"a": "x"})
    assert not match([requirement("a", "", "x")], {"a": "y"})


def test_requirements_are_shown_as_in_the_messages_of_the_public_api():
    wanted = [requirement("a", "!=", "b"), requirement("c", "exists")]
    assert show(wanted) == "[a != b c exists ]"
