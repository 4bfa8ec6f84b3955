"""Resource strings and amounts."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bacalhau_nats.domain.resources import (
    NOTHING,
    Resources,
    normalise,
    parse,
    parse_bytes,
    parse_cpu,
    parse_gpu,
    show_bytes,
    show_cpu,
)
from bacalhau_nats.domain.spec import ResourcesConfig
from bacalhau_nats.errors import InvalidSpec

amounts = st.builds(
    Resources,
    milli_cpu=st.integers(0, 10**6),
    memory=st.integers(0, 2**50),
    disk=st.integers(0, 2**50),
    gpu=st.integers(0, 16),
)


@pytest.mark.parametrize(
    ("text", "milli"),
    [
        ("", 0),
        ("500m", 500),
        ("0.5", 500),
        ("2", 2000),
        (".25", 250),
        ("1e1", 10_000),
        ("0.0009", 0),
        (" 1 ", 1000),
    ],
)
def test_cpu_is_read_in_thousandths(text, milli):
    assert parse_cpu(text) == milli


@pytest.mark.parametrize(
    "text", ["lots", "-1", "0.5m", "1.0m", "1mm", "m", "inf", "nan", "1_0", "0x10", "1e999", "²", "٣"]
)
def test_what_is_no_cpu_is_refused(text):
    with pytest.raises(InvalidSpec, match="invalid CPU value: "):
        parse_cpu(text)


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("", 0),
        ("12", 12),
        ("1b", 1),
        ("1k", 1000),
        ("1KB", 1000),
        ("64 MB", 64_000_000),
        ("1Gi", 2**30),
        ("1.5GiB", 3 * 2**29),
        ("1,024", 1024),
        (".5k", 500),
        ("1eib", 2**60),
    ],
)
def test_sizes_have_decimal_and_binary_units(text, size):
    assert parse_bytes(text) == size


@pytest.mark.parametrize(
    "text",
    ["12zz", "-", "-1mb", "1ib", "1i", "1bi", "1bb", "mb", "1 k 2", "9e9", "99e", "²", "1" * 99, "1..2"],
)
def test_what_is_no_size_is_refused_with_the_field(text):
    with pytest.raises(InvalidSpec, match="invalid memory value: "):
        parse_bytes(text, "memory")


@pytest.mark.parametrize("text", ["1.5", "-1", "d", "²", "٣", "1" * 40])
def test_what_is_no_gpu_count_is_refused(text):
    with pytest.raises(InvalidSpec, match="invalid GPU value: "):
        parse_gpu(text)


@given(st.integers(0, 10**9))
def test_cores_that_are_shown_are_read_back(milli):
    assert parse_cpu(f"{milli}m") == milli
    if milli < 10**6:
        assert parse_cpu(show_cpu(milli)) == milli


@given(st.text("0123456789.,bkmgtpei -", max_size=12))
def test_any_text_is_a_size_or_refused_and_blanks_and_case_do_not_matter(text):
    def read(written):
        try:
            return parse_bytes(written)
        except InvalidSpec:
            return None

    assert read(text) == read(normalise(text)) == read(f" {text.upper()}\n")
    assert read(text) is None or read(text) >= 0


@given(amounts, amounts)
def test_what_was_added_can_be_taken_away(one, other):
    assert (one + other) - other == one
    assert one.fits_in(one + other)


@given(amounts, amounts)
def test_lacking_is_empty_exactly_when_it_fits(one, other):
    assert (one.lacking(other) == "") == one.fits_in(other)
    assert (one - other).fits_in(one)


def test_nothing_fits_everywhere_and_lacking_names_both_amounts():
    assert NOTHING.fits_in(NOTHING)
    wanted = parse(ResourcesConfig(cpu="2", memory="1Gb", gpu="1"))
    assert wanted.lacking(Resources(milli_cpu=500, memory=2**40)) == "CPU 2 of 0.5, GPU 1 of 0"
    assert show_bytes(999) == "999 B"
    assert show_bytes(1_500_000) == "1.5 MB"
