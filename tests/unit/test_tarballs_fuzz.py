"""Whatever an archive holds, unpacking it ends well or with BadArchive, and never touches anything outside."""

import gzip
import io
import os
import stat
import tarfile
import tempfile
import tracemalloc
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from bacalhau_nats.errors import BadArchive
from bacalhau_nats.tarballs import Limits, extract
from tests.support.tar import member, tar_gz

LIMITS = Limits(total=4000, file=2000, members=12)

parts = st.sampled_from(
    ["..", ".", "", "a", "b", "c", "...", "a\\..", "é", " ", "-", "~", "a" * 200, "a" * 300]
)
names = st.one_of(
    st.lists(parts, min_size=1, max_size=4).map("/".join),
    st.lists(parts, min_size=1, max_size=4).map(lambda names: "/" + "/".join(names)),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=20),
)
kinds = st.sampled_from(
    [
        tarfile.REGTYPE,
        tarfile.AREGTYPE,
        tarfile.CONTTYPE,
        tarfile.GNUTYPE_SPARSE,
        tarfile.DIRTYPE,
        tarfile.SYMTYPE,
        tarfile.LNKTYPE,
        tarfile.FIFOTYPE,
        tarfile.CHRTYPE,
        tarfile.BLKTYPE,
        b"Z",
    ]
)
members = st.builds(
    lambda name, content, kind, link, mode, mtime: member(
        name,
        content if kind in tarfile.REGULAR_TYPES else b"",
        type=kind,
        linkname=link,
        mode=mode,
        mtime=mtime,
    ),
    names,
    st.binary(max_size=2500),
    kinds,
    names,
    st.integers(0, 0o7777),
    st.integers(-(2**33), 2**34),
)


def unharmed(data, *, keep_links):
    """Unpack beside a secret and look at everything that is there afterwards."""
    with tempfile.TemporaryDirectory() as folder:
        outside, inside = Path(folder), Path(folder, "a", "inside")
        (outside / "secret").write_text("secret")
        try:
            got = extract(io.BytesIO(data), inside, LIMITS, keep_links=keep_links)
        except BadArchive:
            got = None
        assert sorted(path.name for path in outside.iterdir()) in (["a", "secret"], ["secret"])
        assert (outside / "secret").read_text() == "secret"
        assert (outside / "secret").stat().st_nlink == 1
        assert [path.name for path in (outside / "a").iterdir()] == ["inside"]
        size = count = 0
        for parent, folders, files in os.walk(inside):
            for name in [*folders, *files]:
                path = Path(parent, name)
                status = path.lstat()
                assert stat.S_IFMT(status.st_mode) in (stat.S_IFREG, stat.S_IFDIR, stat.S_IFLNK)
                if stat.S_ISLNK(status.st_mode):
                    assert keep_links
                    assert got is not None  # a refused archive leaves no link behind
                    assert path.resolve(strict=True).is_relative_to(inside.resolve())
                else:
                    assert not status.st_mode & 0o7000
                if stat.S_ISREG(status.st_mode):
                    size, count = size + status.st_size, count + 1
        assert count <= LIMITS.members
        assert size <= LIMITS.total or got is None
        return got


@given(st.lists(members, max_size=14), st.booleans())
def test_no_name_link_kind_size_or_count_does_harm(found, keep_links):
    try:
        data = tar_gz(*found)
    except (ValueError, tarfile.TarError):  # not even an attacker's tool can write it so
        return
    unharmed(data, keep_links=keep_links)


@given(st.lists(members, min_size=1, max_size=4), st.data(), st.booleans())
def test_no_byte_of_a_header_does_harm(found, data, keep_links):
    try:
        plain = bytearray(gzip.decompress(tar_gz(*found)))
    except (ValueError, tarfile.TarError):
        return
    for _ in range(data.draw(st.integers(1, 6))):
        plain[data.draw(st.integers(0, min(len(plain), 1500) - 1))] = data.draw(st.integers(0, 255))
    _repair(plain)
    unharmed(gzip.compress(bytes(plain)), keep_links=keep_links)


@given(st.binary(max_size=3000), st.booleans())
def test_bytes_that_are_no_archive_do_no_harm(noise, packed):
    unharmed(gzip.compress(noise) if packed else noise, keep_links=True)


def test_an_archive_with_very_many_members_takes_no_memory_for_each(tmp_path):
    many = [member(f"pipe-{number}", type=tarfile.FIFOTYPE) for number in range(20_000)]
    data = io.BytesIO(tar_gz(*many))
    del many
    tracemalloc.start()
    extract(data, tmp_path, Limits(total=10, file=10), keep_links=False)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 5_000_000


def _repair(plain: bytearray) -> None:
    """Make the first header's checksum right again, so that what is behind it is looked at."""
    plain[148:156] = b" " * 8
    plain[148:156] = b"%06o\0 " % sum(plain[:512])
