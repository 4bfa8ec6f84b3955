"""A manifest finds and names whatever is done to a result."""

import hashlib

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from bacalhau_nats.domain.manifest import (
    MANIFEST,
    Entry,
    Manifest,
    Origin,
    decode,
    differences,
    digest_of,
    encode,
    outputs,
    outputs_digest,
    summary,
)

ORIGIN = Origin("j-1", "e-1", "n1", version=2, partition=3, engine="wasm", program="sha256:ab")
names = st.text(st.characters(exclude_characters="/\0"), min_size=1, max_size=12)
paths = st.lists(names, min_size=1, max_size=3).map("/".join)
folders = st.dictionaries(paths, st.binary(max_size=20), min_size=1, max_size=8)


def stock(files):
    return tuple(
        sorted(Entry(path, len(data), hashlib.sha256(data).hexdigest()) for path, data in files.items())
    )


@given(folders)
def test_what_was_written_is_read_back_and_always_the_same_bytes(files):
    manifest = Manifest(ORIGIN, stock(files))
    assert decode(encode(manifest)) == manifest
    shuffled = Manifest(ORIGIN, tuple(reversed(manifest.files)))
    assert encode(shuffled) == encode(manifest)
    assert encode(manifest).isascii()


def test_a_file_name_that_is_not_utf_8_survives():
    name = b"caf\xe9".decode("utf-8", "surrogateescape")
    manifest = Manifest(ORIGIN, stock({name: b"x"}))
    assert decode(encode(manifest)).files[0].path == name


@given(folders)
def test_the_same_files_do_not_differ(files):
    assert differences(stock(files), stock(dict(reversed(files.items())))) == []


@given(folders, st.data())
def test_any_changed_byte_is_found_and_named(files, data):
    path = data.draw(st.sampled_from(sorted(files)))
    assume(files[path])
    at = data.draw(st.integers(0, len(files[path]) - 1))
    content = bytearray(files[path])
    content[at] ^= data.draw(st.integers(1, 255))
    (one,) = differences(stock(files), stock(files | {path: bytes(content)}))
    assert one.path == path
    assert "SHA-256" in one.what


@given(folders, st.data())
def test_a_missing_file_is_found_and_named(files, data):
    path = data.draw(st.sampled_from(sorted(files)))
    left = {name: content for name, content in files.items() if name != path}
    (one,) = differences(stock(files), stock(left))
    assert (one.path, one.what) == (path, "is missing")


@given(folders, paths, st.binary(max_size=20))
def test_an_additional_file_is_found_and_named(files, path, content):
    assume(path not in files)
    (one,) = differences(stock(files), stock(files | {path: content}))
    assert (one.path, one.what) == (path, "should not be there")


@given(folders, paths, st.data())
def test_a_renamed_file_is_told_as_that(files, new, data):
    assume(new not in files)
    old = data.draw(st.sampled_from(sorted(files)))
    moved = {new if name == old else name: content for name, content in files.items()}
    (one,) = differences(stock(files), stock(moved))
    assert (one.path, one.what) == (old, f"is called {new}")


@given(folders, folders)
def test_two_folders_are_equal_exactly_when_nothing_differs(one, other):
    found = differences(stock(one), stock(other))
    assert (not found) == (one == other)
    assert len({difference.path for difference in found}) == len(found)


@given(folders, st.data())
def test_a_manifest_with_any_byte_changed_has_another_digest(files, data):
    encoded = bytearray(encode(Manifest(ORIGIN, stock(files))))
    digest = digest_of(bytes(encoded))
    encoded[data.draw(st.integers(0, len(encoded) - 1))] ^= 1
    assert digest_of(bytes(encoded)) != digest


@given(st.binary(max_size=200))
def test_what_is_no_manifest_is_a_value_error(data):
    with pytest.raises(ValueError):
        decode(data)


@pytest.mark.parametrize(
    "wrong",
    [
        b'{"Format":2}',
        b"[" * 100_000,
        encode(Manifest(ORIGIN, stock({"a": b"1"}))).replace(b'"Size":1', b'"Size":"1"'),
        encode(Manifest(ORIGIN, stock({"a": b"1"}))).replace(b'"Size":1', b'"Size":-1'),
        encode(Manifest(ORIGIN, stock({"a": b"1", "b": b"2"}))).replace(b'"b"', b'"a"'),
    ],
)
def test_a_manifest_of_another_make_is_refused(wrong):
    with pytest.raises(ValueError):
        decode(wrong)


def test_outputs_are_equal_wherever_the_same_work_was_done():
    here = {"stdout": b"42\n", "exitCode": b"0", "data/a": b"x", "stderr": b"took 3 s"}
    there = here | {"stderr": b"took 4 s"}
    assert outputs_digest(stock(here)) == outputs_digest(stock(there))
    assert [entry.path for entry in outputs(Manifest(ORIGIN, stock(here)))] == [
        "data/a",
        "exitCode",
        "stdout",
    ]
    for path in ("stdout", "exitCode", "data/a"):
        assert outputs_digest(stock(here)) != outputs_digest(stock(here | {path: b"other"}))


def test_the_summary_counts_files_and_bytes():
    manifest = Manifest(ORIGIN, stock({"stdout": b"123", "exitCode": b"0"}))
    told = summary(manifest, encode(manifest))
    assert (told.files, told.bytes) == (2, 4)
    assert told.manifest == digest_of(encode(manifest))
    assert MANIFEST not in {entry.path for entry in manifest.files}
