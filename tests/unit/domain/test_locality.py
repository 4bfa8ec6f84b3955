"""Names of inputs, and what a report tells of them."""

from hypothesis import given
from hypothesis import strategies as st

from bacalhau_nats.domain.locality import MOST, SMALL, held_bytes, input_digest, input_key, told, wanted_keys
from bacalhau_nats.domain.spec import InputSource, SpecConfig
from tests.support.builders import a_task

keys = st.text("0123456789abcdef", min_size=16, max_size=16)
held = st.lists(st.tuples(keys, st.integers(0, 10 * SMALL)), max_size=2 * MOST)


def source(kind, **params):
    return SpecConfig(type=kind, params=params)


def test_an_input_has_one_name_however_it_is_written():
    assert input_digest(source(" URLDownload ", url="http://x/a")) == input_digest(
        source("urldownload", URL="http://x/a", Extra=1)
    )
    assert input_key(source("s3", Bucket="b", Key="k")) == input_key(
        source("S3", key="k", bucket="b", Region=None)
    )
    names = {
        input_key(one)
        for one in (
            source("urldownload", URL="http://x/a"),
            source("urldownload", URL="http://x/b"),
            source("ipfs", CID="http://x/a"),
            source("s3", Bucket="b", Key="k"),
            source("s3", Bucket="b", Key="k", VersionID="1"),
        )
    }
    assert len(names) == 5


def test_only_what_one_node_may_hold_and_another_not_is_looked_for():
    kinds = ("inline", "local", "localDirectory", "urlDownload", "s3")
    task = a_task(
        input_sources=tuple(InputSource(source=source(kind, URL="x"), target=f"/{kind}") for kind in kinds)
    )
    assert wanted_keys(task) == tuple(input_key(source(kind, URL="x")) for kind in ("urlDownload", "s3"))


@given(held.flatmap(lambda found: st.tuples(st.just(found), st.permutations(found))))
def test_a_report_is_bounded_and_does_not_depend_on_the_order(pair):
    one, other = (told(found) for found in pair)
    assert list(one.items()) == list(other.items())
    assert len(one) <= MOST


@given(held)
def test_what_is_left_out_of_a_report_is_never_larger_than_what_is_in(found):
    report = told(found)
    left = [size for key, size in found if key not in report and size >= SMALL]
    if left:
        assert len(report) == MOST
        assert max(left) <= min(report.values())
    assert all(size >= SMALL for size in report.values())


@given(st.lists(keys, max_size=8), st.dictionaries(keys, st.integers(1, 100), max_size=8))
def test_each_input_counts_once(wanted, holds):
    assert held_bytes(wanted, holds) == sum(size for key, size in holds.items() if key in wanted)
    assert held_bytes([*wanted, *wanted], holds) == held_bytes(wanted, holds)
