"""The host's own poll_oneoff and its sums with time."""

import struct
import threading
import time

import pytest

from bacalhau_nats.executors.wasm_wasi import GuestState, _wait

MS = 1_000_000


def clock(userdata, nanoseconds, *, identity=1, absolute=False):
    return struct.pack("<QB7xIIQQHHI", userdata, 0, identity, 0, nanoseconds, 0, int(absolute), 0, 0)


def descriptor(userdata, *, write):
    return struct.pack("<QB7xI28x", userdata, 2 if write else 1, 1)


def users(events):
    return [struct.unpack_from("<Q", event)[0] for event in events]


def test_a_subscription_and_an_event_have_the_sizes_of_preview_1():
    assert len(clock(1, 0)) == len(descriptor(1, write=True)) == 48
    assert [len(event) for event in _wait(clock(1, 0), GuestState())] == [32]


@pytest.mark.parametrize("identity", [0, 1])
def test_the_soonest_clock_wins(identity):
    began = time.monotonic()
    events = _wait(
        clock(1, 5000 * MS, identity=identity) + clock(2, 30 * MS, identity=identity), GuestState()
    )
    assert users(events) == [2]
    assert 0.02 < time.monotonic() - began < 1


def test_an_absolute_time_is_of_the_guests_clock():
    state = GuestState()
    state.began = time.monotonic_ns() - 10_000 * MS
    began = time.monotonic()
    assert users(_wait(clock(1, 10_030 * MS, absolute=True), state)) == [1]
    assert users(_wait(clock(2, time.time_ns() + 30 * MS, identity=0, absolute=True), state)) == [2]
    assert 0.04 < time.monotonic() - began < 1


def test_a_time_that_has_passed_is_due_at_once():
    assert users(_wait(clock(1, 5, identity=0, absolute=True), GuestState())) == [1]


def test_descriptors_are_ready_at_once_and_the_clock_is_not_due():
    raw = descriptor(1, write=False) + clock(2, 5000 * MS) + descriptor(3, write=True)
    assert users(_wait(raw, GuestState())) == [1, 3]


def test_an_endless_sleep_ends_when_interrupted():
    state = GuestState()
    threading.Timer(0.05, state.interrupted.set).start()
    began = time.monotonic()
    assert _wait(clock(1, 2**64 - 1), state) is None
    assert time.monotonic() - began < 1
