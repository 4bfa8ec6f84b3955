"""Short forms of the command line become the parts of a job they stand for."""

from __future__ import annotations

import base64
import io
import tarfile
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bacalhau_nats.client import build, modules, shorthand
from bacalhau_nats.errors import WrongArgument


@pytest.mark.parametrize(
    ("text", "kind", "params", "target"),
    [
        ("ipfs://Qm1", "ipfs", {"CID": "Qm1"}, "/inputs"),
        ("ipfs://Qm1:/data", "ipfs", {"CID": "Qm1"}, "/data"),
        ("https://h/a.txt:/a", "urlDownload", {"URL": "https://h/a.txt"}, "/a"),
        ("http://h:8080/a.txt", "urlDownload", {"URL": "http://h:8080/a.txt"}, "/inputs"),
        ("http://h:8080/a.txt:/a", "urlDownload", {"URL": "http://h:8080/a.txt"}, "/a"),
        ("src=http://h:8080/a.txt,dst=/a", "urlDownload", {"URL": "http://h:8080/a.txt"}, "/a"),
        ("source=http://h/a,target=/b", "urlDownload", {"URL": "http://h/a"}, "/b"),
        ("s3://b/k/x:/d", "s3", {"Bucket": "b", "Key": "k/x"}, "/d"),
        (
            "s3://b/k,opt=region=eu,opt=endpoint=http://h:9000,option=version_id=3",
            "s3",
            {"Bucket": "b", "Key": "k", "Region": "eu", "Endpoint": "http://h:9000", "VersionID": "3"},
            "/inputs",
        ),
        ("s3://b/k,opt=checksum256=ab", "s3", {"Bucket": "b", "Key": "k", "ChecksumSHA256": "ab"}, "/inputs"),
        ("file:///data/in:/in", "local", {"SourcePath": "/data/in"}, "/in"),
        ("file:///d,opt=rw=true,Dst=/d", "local", {"SourcePath": "/d", "ReadWrite": True}, "/d"),
    ],
)
def test_inputs(text: str, kind: str, params: dict[str, Any], target: str) -> None:
    found = shorthand.input_source(text)
    assert found["Source"] == {"Type": kind, "Params": params}
    assert found["Target"] == target


def test_the_alias_of_an_input_is_its_uri() -> None:
    assert shorthand.input_source("s3://b/k:/d,opt=region=eu")["Alias"] == "s3://b/k"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("git://h/x", "git://"),
        ("nonsense", "no scheme"),
        ("s3://b/k,opt=colour=red", "no option 'colour'"),
        ("file:///d,opt=rw=perhaps", "not true or false"),
        ("ipfs://Qm,where=/x", "no key 'where'"),
        ("ipfs://Qm,/x", "not key=value"),
        ("ipfs://Qm,opt=rw", "opt=key=value"),
        ("dst=/x", "names nothing"),
        ("", "names nothing"),
    ],
)
def test_an_input_that_cannot_be_read_is_quoted(text: str, words: str) -> None:
    with pytest.raises(WrongArgument, match=words):
        shorthand.input_source(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("local", {"Type": "local"}),
        ("IPFS", {"Type": "ipfs"}),
        ("ipfs://", {"Type": "ipfs"}),
        ("nats", {"Type": "nats"}),
        ("s3://b/k/{jobID}", {"Type": "s3", "Params": {"bucket": "b", "key": "k/{jobID}"}}),
        ("s3,opt=bucket=b,opt=key=k", {"Type": "s3", "Params": {"bucket": "b", "key": "k"}}),
        (
            "s3://b/k,opt=key=other,opt=Region=eu",
            {"Type": "s3", "Params": {"bucket": "b", "key": "other", "region": "eu"}},
        ),
    ],
)
def test_publishers(text: str, expected: dict[str, Any]) -> None:
    assert shorthand.publisher(text) == expected


@pytest.mark.parametrize(
    ("text", "words"), [("ftp://x", "no type 'ftp'"), ("s3", "no bucket"), ("s3://b", "no key")]
)
def test_a_publisher_that_cannot_be_read_is_refused(text: str, words: str) -> None:
    with pytest.raises(WrongArgument, match=words):
        shorthand.publisher(text)


def test_outputs_need_a_name_and_an_absolute_path() -> None:
    assert shorthand.result_path("out:/data") == {"Name": "out", "Path": "/data"}
    for text in ("out", "out:", ":/data", "a:b:c", "out:data"):
        with pytest.raises(WrongArgument, match="output"):
            shorthand.result_path(text)


def test_labels_may_have_no_value_and_must_be_labels() -> None:
    assert shorthand.label_flags(["a=b,c", "x.io/d=e"]) == {"a": "b", "c": "", "x.io/d": "e"}
    for text in ("=b", "a=🐟", "-a=b", "a/b/c=d", "a" * 64):
        with pytest.raises(WrongArgument, match="label"):
            shorthand.label_flags([text])


def test_environment_variables_may_be_joined_with_commas_and_may_hold_them() -> None:
    assert shorthand.environment(["A=1,B=2"]) == {"A": "1", "B": "2"}
    assert shorthand.environment(["A=x,y", "B=k=v"]) == {"A": "x,y", "B": "k=v"}
    assert shorthand.environment(["A=x\ny,z=1"]) == {"A": "x\ny,z=1"}
    with pytest.raises(WrongArgument, match="NAME=value"):
        shorthand.environment(["A"])


@pytest.mark.parametrize(
    ("amounts", "message", "hint"),
    [
        ({"cpu": "abc"}, "invalid CPU value: abc", "500m"),
        ({"cpu": 1, "memory": "12Q"}, "invalid memory value: 12q", "512Mb"),
        ({"disk": "-1"}, "invalid disk value: -1", "1.5GiB"),
        ({"gpu": "one"}, "invalid GPU value: one", "whole number"),
    ],
)
def test_an_amount_that_cannot_be_read_says_what_would_be_right(
    amounts: Any, message: str, hint: str
) -> None:
    with pytest.raises(WrongArgument, match=message) as caught:
        build.docker_job("img", **amounts)
    assert hint in caught.value.hint


def test_amounts_are_sent_as_they_are_written() -> None:
    job = build.docker_job("img", cpu=0.5, memory="1,000 Mb", gpu=2)
    assert job["Tasks"][0]["Resources"] == {"CPU": "0.5", "Memory": "1,000 Mb", "GPU": "2"}


@pytest.mark.parametrize(
    ("text", "hint"),
    [("/data", "file:///data"), ("data:x", "job file"), ("git://x/y", "ipfs://CID")],
)
def test_an_input_that_cannot_be_read_says_what_was_perhaps_meant(text: str, hint: str) -> None:
    with pytest.raises(WrongArgument) as caught:
        shorthand.input_source(text)
    assert hint in caught.value.hint


def test_networks() -> None:
    assert shorthand.network("default", ()) is None
    assert shorthand.network("HTTP", ("Example.com",)) == {"Type": "HTTP", "Domains": ["example.com"]}
    assert shorthand.network("host", ()) == {"Type": "Host"}
    with pytest.raises(WrongArgument, match="no network"):
        shorthand.network("wifi", ())
    with pytest.raises(WrongArgument, match="domains"):
        shorthand.network("host", ("a",))


def test_a_small_module_is_put_into_the_job_as_it_is_and_a_large_one_packed(tmp_path: Path) -> None:
    small, large = tmp_path / "small.wasm", tmp_path / "large.wasm"
    small.write_bytes(b"\0asm" + bytes(8))
    large.write_bytes(b"\0asm" + bytes(1000))
    target, found = modules.entry_module(str(small))
    assert (target, found and found["Target"]) == ("main.wasm", "main.wasm")
    assert found
    assert found["Source"]["Params"]["URL"].startswith("data:application/wasm;base64,AGFzb")
    _, found = modules.entry_module(f"{large}:/m/it.wasm")
    assert found
    kind, _, data = found["Source"]["Params"]["URL"].partition(",")
    assert kind == "data:application/gzip;base64"
    with tarfile.open(fileobj=io.BytesIO(base64.b64decode(data)), mode="r:gz") as tar:
        (entry,) = tar.getmembers()
        content = tar.extractfile(entry)
        assert entry.name == "large.wasm"
        assert content
        assert content.read() == large.read_bytes()


def test_a_module_may_be_a_uri_or_the_target_of_an_input(tmp_path: Path) -> None:
    assert modules.entry_module("/in/main.wasm") == ("/in/main.wasm", None)
    target, found = modules.entry_module("https://h/m.wasm:/m.wasm")
    assert target == "/m.wasm"
    assert found
    assert found["Source"]["Type"] == "urlDownload"
    (tmp_path / "m.wasm").write_bytes(b"\0asm")
    with pytest.raises(WrongArgument, match="does not say where"):
        modules.import_module(str(tmp_path / "m.wasm"))
    assert modules.import_module(f"{tmp_path}/m.wasm:env")[0] == "env"


_word = st.text("abcdefghijklmnopqrstuvwxyz0123456789-_", min_size=1)


@given(bucket=_word, key=_word, target=_word)
def test_any_bucket_key_and_target_come_out_as_they_went_in(bucket: str, key: str, target: str) -> None:
    found = shorthand.input_source(f"s3://{bucket}/{key}:/{target}")
    assert found["Source"]["Params"] == {"Bucket": bucket, "Key": key}
    assert found["Target"] == f"/{target}"


@given(st.text())
def test_whatever_is_written_is_read_or_refused_but_never_a_crash(text: str) -> None:
    for read in (
        shorthand.input_source,
        shorthand.publisher,
        shorthand.result_path,
        lambda text: shorthand.label_flags([text]),
        lambda text: shorthand.environment([text]),
        lambda text: shorthand.network(text, [text]),
        lambda text: build.docker_job("img", cpu=text, memory=text, disk=text, gpu=text),
        build.constraints,
    ):
        with suppress(WrongArgument):
            read(text)
