"""Each object belongs to exactly one partition, the same one everywhere."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bacalhau_nats.storage.s3_partition import Partitioning, fnv1a, share_of

OBJECT = Partitioning(type="object")
REGEX = Partitioning(type="regex", pattern=r"(\d+)/([a-z]*)")
SUBSTRING = Partitioning(type="substring", start_index=1, end_index=3)
DATE = Partitioning(type="date", date_format="2006-01-02")

keys = st.lists(st.text(st.sampled_from("ab01/-é"), min_size=1, max_size=12), unique=True, max_size=40)
ways = st.sampled_from([OBJECT, REGEX, SUBSTRING, DATE])


def shares(objects, how, count, prefix=""):
    return [
        share_of(objects, lambda key: key, prefix, how, index=index, count=count) for index in range(count)
    ]


def owner(key, how, count, prefix=""):
    (found,) = [n for n, share in enumerate(shares([key], how, count, prefix)) if share]
    return found


@pytest.mark.parametrize(
    ("text", "digest"),  # test vectors of the authors of FNV
    [("", 0x811C9DC5), ("a", 0xE40C292C), ("foobar", 0xBF9CF968)],
)
def test_the_hash_is_fnv_1a(text, digest):
    assert fnv1a(text) == digest


@given(keys, ways, st.integers(1, 9), st.sampled_from(["", "a", "a/"]))
def test_the_shares_are_disjoint_and_make_up_the_whole(objects, how, count, prefix):
    found = [key for share in shares(objects, how, count, prefix) for key in share]
    assert sorted(found) == sorted(objects)


@given(keys, keys, ways, st.integers(2, 9))
def test_who_gets_an_object_does_not_depend_on_the_others(some, others, how, count):
    alone = shares(some, how, count)
    together = shares(some + [key for key in others if key not in some], how, count)
    for mine, ours in zip(alone, together, strict=True):
        assert set(mine) <= set(ours)


@given(keys, st.sampled_from(["", "none", "NONE"]), st.integers(1, 5))
def test_without_a_partition_everybody_gets_everything(objects, kind, count):
    assert all(share == objects for share in shares(objects, Partitioning(type=kind), count))


@given(keys, ways)
def test_a_single_partition_gets_everything(objects, how):
    assert shares(objects, how, 1) == [objects]


@pytest.mark.parametrize(
    ("how", "key", "part"),
    [
        (OBJECT, "in/7/x", "in/7/x"),
        (REGEX, "in/7/x", "7\x1fx"),
        (REGEX, "in/7/", "7"),
        (Partitioning(type="regex", pattern=r"\d+"), "in/a42", "42"),
        (SUBSTRING, "in/abc", "bc"),
        (Partitioning(type="substring", start_index=0, end_index=2), "in/éüx", "éü"),
        (DATE, "in/2024-05-06/log", "2024-05-06"),
    ],
)
def test_what_is_hashed_is_the_part_that_the_type_says(how, key, part):
    assert owner(key, how, 97, "in") == fnv1a(part) % 97


@pytest.mark.parametrize(
    ("how", "key"),
    [
        (REGEX, "in/none"),
        (Partitioning(type="regex", pattern="x*"), "in/abc"),
        (SUBSTRING, "in/ab"),
        (DATE, "in/2024-13-06"),
        (DATE, "in/2024"),
    ],
)
def test_what_has_no_such_part_belongs_to_the_first_partition(how, key):
    assert owner(key, how, 97, "in/") == 0


@pytest.mark.parametrize(
    ("how", "said"),
    [
        (Partitioning(type="regex"), "Pattern must not be empty"),
        (Partitioning(type="regex", pattern="("), "no regular expression"),
        (Partitioning(type="regex", pattern="x" * 5000), "at most"),
        (Partitioning(type="substring", start_index=-1, end_index=1), "StartIndex must not be negative"),
        (Partitioning(type="substring", start_index=2, end_index=2), "greater than StartIndex"),
        (Partitioning(type="date"), "DateFormat must not be empty"),
        (Partitioning(type="date", date_format="MST"), "'MST'"),
        (Partitioning(type="hash"), "none of none, object, regex"),
    ],
)
def test_a_partition_that_cannot_be_is_refused(how, said):
    assert said in how.fault()


@pytest.mark.parametrize("how", [Partitioning(), OBJECT, REGEX, SUBSTRING, DATE])
def test_a_partition_that_can_be_has_no_fault(how):
    assert how.fault() == ""


def test_a_pattern_that_would_keep_pythons_engine_busy_for_ever_is_done_at_once():
    hostile = Partitioning(type="regex", pattern="(a+)+$")
    assert owner("a" * 5000 + "b", hostile, 5) == 0
