"""Which archives go, and that the others stay whole."""

import os

from hypothesis import given
from hypothesis import strategies as st

from bacalhau_nats.domain.ids import NodeID
from bacalhau_nats.ports import PluginContext
from bacalhau_nats.publishers.expiry import Kept, expired, remove_expired
from bacalhau_nats.publishers.local import open_local
from tests.support.waiting import eventually

_kept = st.lists(
    st.builds(Kept, name=st.uuids().map(str), published=st.floats(0, 100), size=st.integers(0, 50)),
    unique_by=lambda one: one.name,
    max_size=12,
)


@given(_kept, st.floats(0, 100), st.integers(0, 200))
def test_what_stays_is_within_the_limits_and_newer_than_all_that_goes(there, max_age, max_size):
    gone = set(expired(there, 100, max_age=max_age, max_size=max_size))
    stays = [one for one in there if one.name not in gone]
    assert not max_age or all(one.published > 100 - max_age for one in stays)
    assert not max_size or len(stays) <= 1 or sum(one.size for one in stays) <= max_size
    youngest_gone = max((one.published for one in there if one.name in gone), default=-1)
    assert all(one.published >= youngest_gone for one in stays)


@given(_kept, st.floats(1, 100), st.integers(1, 200))
def test_no_more_goes_than_has_to(there, max_age, max_size):
    gone = expired(there, 100, max_age=max_age, max_size=max_size)
    for last in gone[-1:]:
        stays = [one for one in there if one.name not in gone or one.name == last]
        old = next(one for one in there if one.name == last).published <= 100 - max_age
        assert old or sum(one.size for one in stays) > max_size
    assert expired(there, 100, max_age=0, max_size=0) == []


def test_only_archives_are_removed_and_a_second_call_finds_nothing(tmp_path):
    for name, age in (("e-1.tar.gz", 100), ("e-2.tar.gz", 10), ("e-3.tar.gz.part", 100)):
        (tmp_path / name).write_text("x")
        os.utime(tmp_path / name, (1000 - age, 1000 - age))
    assert remove_expired(tmp_path, "*.tar.gz", 1000, max_age=50, max_size=0) == ["e-1.tar.gz"]
    assert remove_expired(tmp_path, "*.tar.gz", 1000, max_age=50, max_size=0) == []
    assert {path.name for path in tmp_path.iterdir()} == {"e-2.tar.gz", "e-3.tar.gz.part"}


async def test_the_publisher_removes_what_is_beyond_its_limits_while_it_is_open(tmp_path):
    folder = tmp_path / "results"
    folder.mkdir()
    for number in range(3):
        (folder / f"e-{number}.tar.gz").write_bytes(b"x" * 100)
        os.utime(folder / f"e-{number}.tar.gz", (1000 + number, 1000 + number))
    settings = {"Port": 0, "MaxAge": 0, "MaxSize": 150}
    async with open_local(PluginContext("test", NodeID("n-1"), tmp_path, settings)):
        await eventually(lambda: [path.name for path in folder.iterdir()] == ["e-2.tar.gz"])
