"""Durations and sizes are read from text and printed back without loss."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bacalhau_nats.settings import format_duration, format_size, parse_duration, parse_size

HUNDRED_DAYS = 100 * 24 * 3600


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0", 0),
        ("0s", 0),
        ("1m30s", 90),
        ("24h", 86400),
        ("1h0m0.5s", 3600.5),
        ("250ms", 0.25),
        ("3us", 3e-6),
        ("3µs", 3e-6),
        ("7ns", 7e-9),
        ("-1m", -60),
        ("+2s", 2),
        (".5h", 1800),
        ("90", 90),
        (" 1.5 ", 1.5),
        (30, 30),
        (0.25, 0.25),
    ],
)
def test_a_duration_is_go_syntax_or_plain_seconds(text, seconds):
    assert parse_duration(text) == pytest.approx(seconds, rel=1e-12)


@pytest.mark.parametrize(
    "text", ["", "s", "1x", "1m 30s", "1h-2m", "abc", "nan", "inf", "--1s", "1s2", True, None, []]
)
def test_what_is_no_duration_is_refused(text):
    with pytest.raises(ValueError, match="is no duration"):
        parse_duration(text)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0s"),
        (60, "1m0s"),
        (86400, "24h0m0s"),
        (90.5, "1m30.5s"),
        (0.25, "250ms"),
        (1.5e-6, "1.5µs"),
        (7e-9, "7ns"),
        (-5, "-5s"),
        (3600.25, "1h0m0.25s"),
        (100, "1m40s"),
        (20, "20s"),
    ],
)
def test_a_duration_is_printed_as_go_prints_it(seconds, text):
    assert format_duration(seconds) == text


@given(st.integers(min_value=-HUNDRED_DAYS * 10**9, max_value=HUNDRED_DAYS * 10**9))
def test_every_whole_number_of_nanoseconds_survives_printing_and_reading(nanoseconds):
    seconds = nanoseconds / 10**9
    assert parse_duration(format_duration(seconds)) == seconds


@given(st.integers(min_value=0, max_value=2**63 - 1))
def test_every_size_survives_printing_and_reading(size):
    assert parse_size(format_size(size)) == size


@pytest.mark.parametrize(
    ("size", "text"),
    [(0, "0"), (1500, "1500"), (512_000_000, "512MB"), (1024**3, "1GiB"), (1000, "1kB"), (1024, "1KiB")],
)
def test_a_size_is_printed_with_the_largest_exact_unit(size, text):
    assert format_size(size) == text


@pytest.mark.parametrize("text", ["lots", "-1", -1, 1.5, True, "1 MB 2"])
def test_what_is_no_size_is_refused(text):
    with pytest.raises(ValueError, match=r"invalid|no size"):
        parse_size(text)
