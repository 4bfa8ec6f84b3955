"""Unpacking foreign archives comes to no harm."""

import gzip
import io
import tarfile

import pytest

from bacalhau_nats.errors import BadArchive
from bacalhau_nats.tarballs import Limits, extract, extract_plain
from tests.support.tar import member, tar, tar_gz

LIMITS = Limits(total=100_000, file=50_000, members=20)
SYM, HARD, DIR = (
    {"type": tarfile.SYMTYPE},
    {"type": tarfile.LNKTYPE},
    {"type": tarfile.DIRTYPE, "mode": 0o755},
)


def unpack(data, folder, *, limits=LIMITS, keep_links=True):
    return extract(io.BytesIO(data), folder, limits, keep_links=keep_links)


@pytest.fixture
def inside(tmp_path):
    (tmp_path / "secret").write_text("secret")
    return tmp_path / "inside"


def test_files_folders_and_links_come_out_as_they_are(inside):
    got = unpack(
        tar_gz(
            member(".", **DIR),
            member("./a", **DIR),
            member("a/run.sh", b"#!/bin/sh", mode=0o6755),
            member("b/c/deep.txt", b"deep"),
            member("a/link", linkname="../b/c/deep.txt", **SYM),
            member("twin", linkname="a/run.sh", **HARD),
        ),
        inside,
    )
    assert got.files == ("a/run.sh", "b/c/deep.txt", "twin")
    assert got.folders == ("a",)
    assert got.size == 13
    assert (inside / "a/run.sh").stat().st_mode & 0o7777 == 0o755  # without set-id
    assert (inside / "a/run.sh").stat().st_mtime == 1_700_000_000
    assert (inside / "a/link").read_text() == "deep"
    assert (inside / "twin").read_bytes() == b"#!/bin/sh"


@pytest.mark.parametrize(
    "members",
    [
        [member("../escape", b"x")],
        [member("a/../../escape", b"x")],
        [member("/escape", b"x")],
        [member("link", linkname="../secret", **SYM)],
        [member("link", linkname="/etc/passwd", **SYM)],
        [member("link", linkname="nowhere", **SYM)],
        [member("link", linkname="", **SYM)],
        [member("out", linkname="../secret", **SYM), member("long", linkname="x" * 5000, **SYM)],
        [member("a", linkname="a", **SYM)],
        [member("up", linkname="..", **SYM), member("up/escape", b"x")],
        [member("twin", linkname="../secret", **HARD)],
        [member("twin", linkname="missing", **HARD)],
        [member("one", linkname="d/..", **SYM), member("d", linkname=".", **SYM)],
        [member("null", type=tarfile.CHRTYPE, devmajor=1, devminor=3)],
        [member("pipe", type=tarfile.FIFOTYPE)],
        [member("twice", b"1"), member("twice", b"2")],
        [member("file", b"1"), member("file/below", b"2")],
        [member("n" * 300, b"1")],
    ],
    ids=lambda members: "+".join(m.name[:20] + ("->" + m.linkname if m.linkname else "") for m, _ in members),
)
def test_hostile_members_are_refused(members, inside):
    with pytest.raises(BadArchive):
        unpack(tar_gz(*members), inside)
    assert not (inside.parent / "escape").exists()
    assert [path for path in inside.rglob("*") if path.is_symlink()] == []
    assert (inside.parent / "secret").stat().st_nlink == 1


def test_links_and_devices_of_results_are_skipped(inside):
    got = unpack(
        tar_gz(
            member("link", linkname="/etc/passwd", **SYM),
            member("pipe", type=tarfile.FIFOTYPE),
            member("data", b"1"),
        ),
        inside,
        keep_links=False,
    )
    assert got.files == ("data",)
    assert [path.name for path in inside.iterdir()] == ["data"]


def test_amounts_are_limited(inside):
    for number, (data, said) in enumerate(
        [
            (tar_gz(member("big", b"x" * 50_001)), "larger than the 50000 bytes"),
            (tar_gz(*[member(f"f{i}", b"x" * 40_000) for i in range(3)]), "more than the 100000 bytes"),
            (tar_gz(*[member(f"f{i}") for i in range(21)]), "more than the 20 members"),
        ]
    ):
        with pytest.raises(BadArchive, match=said):
            unpack(data, inside / str(number))


def test_a_header_that_claims_gigabytes_is_not_believed(inside):
    """An extended header is read whole by tarfile, so its length is bounded before."""
    header = tarfile.TarInfo("pax")
    header.type, header.size = tarfile.XHDTYPE, 7 * 1024**3
    data = gzip.compress(header.tobuf(tarfile.USTAR_FORMAT) + bytes(4096))
    with pytest.raises(BadArchive, match="header that is too large"):
        unpack(data, inside)


def test_a_bomb_is_stopped_while_it_unpacks(inside):
    """What a member claims may be skipped over, but not without end."""
    header = tarfile.TarInfo("skipped")
    header.type, header.size = tarfile.FIFOTYPE, 10**9
    bomb = gzip.compress(header.tobuf() + bytes(10_000_000))
    with pytest.raises(BadArchive):
        unpack(bomb, inside, keep_links=False)


@pytest.mark.parametrize("damage", ["cut", "flipped", "text", "empty", "checksum"])
def test_damage_is_told(damage, inside):
    good = tar_gz(member("data", bytes(range(256)) * 100))
    data = {
        "cut": good[: len(good) // 2],
        "flipped": good[:100] + bytes([good[100] ^ 255]) + good[101:],
        "text": b"<html>not found</html>",
        "empty": b"",
        "checksum": good[:-8] + bytes(4) + good[-4:],
    }[damage]
    with pytest.raises(BadArchive, match="damaged"):
        unpack(data, inside)


def test_it_stops_when_told(inside):
    with pytest.raises(BadArchive, match="stopped"):
        extract(io.BytesIO(tar_gz(member("a", b"1"))), inside, LIMITS, keep_links=True, stopped=lambda: True)


class Trickle(io.BytesIO):
    """A connection: gives a few bytes at a time and cannot go back."""

    def read(self, size=-1, /):
        return super().read(min(size, 777))

    def seek(self, *_):
        raise AssertionError("a connection cannot go back")


def plain(data, folder):
    return extract_plain(Trickle(data), folder, LIMITS, keep_links=True)


def test_a_tar_unpacks_while_it_arrives(inside):
    got = plain(tar(member("d/a", b"x" * 40_000), member("b"), member("l", linkname="d/a", **SYM)), inside)
    assert (got.files, got.size) == (("d/a", "b"), 40_000)
    assert (inside / "l").read_bytes() == (inside / "d/a").read_bytes() == b"x" * 40_000


@pytest.mark.parametrize("end", [0, 511, 512, 700, 1024, 1536, 2047, 2048])
def test_a_tar_that_was_cut_off_is_told_wherever_the_cut_is(end, inside):
    """Between two members, too, where tarfile itself takes it for the end."""
    data = tar(member("a", b"1"), member("b", b"2"))
    with pytest.raises(BadArchive, match=r"damaged|cut off"):
        plain(data[:end], inside)


@pytest.mark.parametrize(
    ("members", "said"),
    [
        ([member("../escape", b"x")], "out of its folder"),
        ([member("link", linkname="../secret", **SYM)], "out of its folder"),
        ([member("big", b"x" * 50_001)], "larger than the 50000 bytes"),
        ([member("a", b"x" * 40_000), member("b", b"x" * 40_000), member("c", b"x" * 40_000)], "100000"),
        ([member("n" * 300, b"1")], "cannot be used"),
    ],
)
def test_a_tar_is_held_to_the_same_rules(members, said, inside):
    with pytest.raises(BadArchive, match=said):
        plain(tar(*members), inside)
    assert not (inside.parent / "escape").exists()
