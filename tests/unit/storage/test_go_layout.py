"""Dates are matched with layouts as Go's ``time.Parse`` does it."""

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bacalhau_nats.storage.go_layout import GoLayout


@pytest.mark.parametrize(
    ("layout", "text", "written"),
    [
        ("2006-01-02", "2024-02-29", "2024-02-29"),
        ("2006-01-02", "2023-02-29", None),
        ("2006-01-02", "2024-2-29", None),
        ("2006-1-2", "2024-2-9", "2024-2-9"),
        ("2006-1-2", "2024-02-09", "2024-2-9"),
        ("20060102", "20241301", None),
        ("20060102", "20241200", None),
        ("06/01", "69/01", "69/01"),
        ("02-Jan-2006", "03-fEB-2024", "03-Feb-2024"),
        ("January 2, 2006", "March 4, 2024", "March 4, 2024"),
        ("Monday", "tuesday", "Tuesday"),
        ("2006/01/02/15", "2024/01/02/7", "2024/01/02/07"),
        ("2006/01/02/15", "2024/01/02/24", None),
        ("03:04PM", "12:30AM", "12:30AM"),
        ("03:04PM", "00:30AM", "12:30AM"),
        ("15:04:05", "23:59:60", None),
        ("year=2006", "year=2024", "year=2024"),
        ("year=2006", "year=٢٠٢٤", None),
        ("_2 Jan", " 7 May", " 7 May"),
        ("logs", "logs", "logs"),
        ("logs", "else", None),
    ],
)
def test_a_date_is_matched_and_written_as_go_does(layout, text, written):
    assert GoLayout(layout).canonical(text) == written


@pytest.mark.parametrize("layout", ["2006-01-02T15:04:05Z07:00", "15:04 MST", "05.000", "-0700", "2006002"])
def test_what_is_not_supported_is_refused_by_name(layout):
    with pytest.raises(ValueError, match="is not supported"):
        GoLayout(layout)


@given(st.dates(min_value=date(1000, 1, 1)))
def test_every_day_is_read_back(day):
    assert GoLayout("2006-01-02").canonical(day.isoformat()) == day.isoformat()
    assert GoLayout("2006/Jan/02").canonical(day.strftime("%Y/%b/%d")) == day.strftime("%Y/%b/%d")


@given(st.integers(1, 9999), st.integers(0, 14), st.integers(0, 40))
def test_numbers_are_a_date_exactly_when_the_calendar_has_that_day(year, month, day):
    text = f"{year:04}-{month:02}-{day:02}"
    try:
        expected = date(year, month, day).isoformat()
    except ValueError:
        expected = None
    assert GoLayout("2006-01-02").canonical(text) == expected
