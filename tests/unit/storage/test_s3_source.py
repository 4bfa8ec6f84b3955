"""What an S3 input asks for, and where its objects lie."""

from pathlib import PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bacalhau_nats.domain.spec import SpecConfig
from bacalhau_nats.storage.s3_source import S3Object, S3Source, layout


def read(**params):
    return S3Source.read(SpecConfig(type="s3", params=params))


def placed(prefix, *keys):
    return list(layout([S3Object(key, 1) for key in keys], prefix))


def test_parameters_are_read_in_any_case():
    found = read(bucket="b", KEY="k", versionid="1", partition={"type": "substring", "endindex": "2"})
    assert (found.bucket, found.key, found.version_id) == ("b", "k", "1")
    assert (found.partition.type, found.partition.end_index) == ("substring", 2)


@pytest.mark.parametrize(
    ("params", "said"),
    [
        ({}, "Bucket must not be empty"),
        ({"Bucket": "b", "Key": "a/", "VersionID": "1"}, "those of one object"),
        ({"Bucket": "b", "Key": "a*", "ChecksumSHA256": "x"}, "those of one object"),
        ({"Bucket": "b", "Filter": "["}, "Filter: "),
        ({"Bucket": "b", "Partition": "object"}, "Partition"),
        ({"Bucket": "b", "Partition": {"Type": "substring", "EndIndex": "x"}}, "EndIndex"),
        ({"Bucket": ["b"]}, "Bucket"),
    ],
)
def test_what_is_wrong_is_said(params, said):
    with pytest.raises(ValueError, match="S3 input") as caught:
        read(**params)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("key", "names_object", "prefix"),
    [("a/b", True, "a/b"), ("a/", False, "a/"), ("a/b*", False, "a/b"), ("*", False, ""), ("", False, "")],
)
def test_a_key_names_one_object_or_a_beginning(key, names_object, prefix):
    found = read(Bucket="b", Key=key)
    assert (found.names_object, found.prefix) == (names_object, prefix)


def test_a_filter_looks_at_the_key_behind_the_prefix():
    found = read(Bucket="b", Key="logs/", Filter="^2024")
    assert [found.wants(key) for key in ("logs/2024-1", "logs/2023/2024", "logs/2024/")] == [
        True,
        False,
        False,
    ]


@pytest.mark.parametrize(
    ("prefix", "key", "where"),
    [
        ("a/b", "a/b", "b"),
        ("a/", "a/b/c", "b/c"),
        ("a/b", "a/b1/c", "b1/c"),
        ("", "a/b", "a/b"),
        ("a/", "a//b", "b"),
    ],
)
def test_names_below_the_target_are_keys_without_the_folder_of_the_prefix(prefix, key, where):
    assert placed(prefix, key) == [where]


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        (("../x",), "cannot be a file"),
        (("a/../../x",), "cannot be a file"),
        (("a/./x",), "cannot be a file"),
        (("a\0b",), "cannot be a file"),
        (("x" * 256,), "too long"),
        (("a/b", "a//b"), "the same file"),
        (("a", "a/b"), "a folder of other objects"),
        (("a/b/c", "a"), "a folder of other objects"),
    ],
)
def test_keys_that_cannot_be_files_together_are_refused(keys, said):
    with pytest.raises(ValueError, match=said):
        placed("", *keys)


@given(st.lists(st.text(st.sampled_from("ab./\0"), max_size=8), max_size=6), st.sampled_from(["", "a/", "a"]))
def test_no_object_ever_lies_out_of_the_target(keys, prefix):
    try:
        found = layout([S3Object(prefix + key, 1) for key in keys], prefix)
    except ValueError:
        return
    for path in map(PurePosixPath, found):
        assert not path.is_absolute()
        assert ".." not in path.parts
        assert path != PurePosixPath()
