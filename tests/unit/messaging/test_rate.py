"""What is sent stays within the rate, and nobody pauses without need."""

from hypothesis import given
from hypothesis import strategies as st

from bacalhau_nats.messaging.rate import Rate

_steps = st.lists(st.tuples(st.integers(0, 500), st.floats(0, 10)), max_size=50)


@given(st.integers(1, 100), st.integers(1, 1000), _steps)
def test_in_any_stretch_no_more_goes_out_than_the_burst_and_the_rate_allow(per_second, burst, steps):
    rate, now, sent = Rate(per_second, burst, 0.0), 0.0, []
    for size, idle in steps:
        now += idle
        now += rate.take(size, now)
        sent.append((now, size))
    for first in range(len(sent)):
        total = 0
        for at, size in sent[first:]:
            total += size
            # The first piece of a stretch may have been paused for: it is one that goes beyond.
            assert total <= burst + (at - sent[first][0]) * per_second + sent[first][1] + 1e-6


@given(st.integers(1, 100), st.integers(1, 1000), _steps)
def test_what_fits_into_the_burst_and_the_time_is_not_held_up(per_second, burst, steps):
    rate, now, taken = Rate(per_second, burst, 0.0), 0.0, 0
    for size, idle in steps:
        now += idle
        taken += size
        pause = rate.take(size, now)
        if taken <= burst:
            assert pause == 0
        now += pause


def test_it_pauses_for_just_as_long_as_what_is_missing_takes():
    rate = Rate(per_second=10, burst=100, since=0)
    assert rate.take(100, 0) == 0
    assert rate.take(30, 1) == 2
    assert rate.take(10, 4) == 0
