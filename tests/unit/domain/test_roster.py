"""Who is alive and how much is free, by the listener's own clock."""

from hypothesis import given
from hypothesis import strategies as st

from bacalhau_nats.domain.ids import ExecutionID, NodeID
from bacalhau_nats.domain.node import Heartbeat
from bacalhau_nats.domain.resources import NOTHING, Resources
from bacalhau_nats.domain.roster import Roster

N1 = NodeID("n1")
E1, E2 = ExecutionID("e-1"), ExecutionID("e-2")


def cpu(milli):
    return Resources(milli_cpu=milli)


def a_beat(tick=1, free=1000, instance="a"):
    return Heartbeat(node_id=N1, instance=instance, tick=tick, free=cpu(free))


def test_a_node_is_lost_after_a_window_of_silence():
    roster = Roster(window=15)
    roster.hear(a_beat(), 100)
    assert roster.live(N1, 115)
    assert not roster.live(N1, 115.1)


def test_a_silent_node_counts_as_alive_for_one_window_after_the_start():
    roster = Roster(window=15, started=100)
    assert roster.live(N1, 115)
    assert not roster.live(N1, 116)
    assert not roster.heard(N1, 100)


def test_nobody_is_lost_because_the_listener_slept():
    roster = Roster(window=15)
    roster.hear(a_beat(), 100)
    roster.restart_windows(1000)
    assert roster.live(N1, 1015)
    assert not roster.live(N1, 1016)
    assert not roster.heard(N1, 1000)


@given(
    st.floats(0, 1e6), st.lists(st.floats(0, 1e3), max_size=5), st.floats(0, 1e3), st.sampled_from([0.5, 15])
)
def test_a_node_heard_within_the_window_is_never_lost(start, pauses, silence, window):
    roster, now = Roster(window=window, started=start), start
    for tick, pause in enumerate(pauses):
        now += pause
        roster.hear(a_beat(tick), now)
    if pauses and silence <= window / 2:
        assert roster.live(N1, now + silence)
        assert roster.heard(N1, now + silence)
    if silence > window * 1.01:
        assert not roster.live(N1, now + silence)


def test_more_room_is_news_less_is_not():
    roster = Roster(window=15)
    assert roster.hear(a_beat(1, free=1000), 100)
    assert not roster.hear(a_beat(2, free=1000), 101)
    assert not roster.hear(a_beat(3, free=500), 102)
    assert roster.hear(a_beat(4, free=600), 103)


def test_a_node_that_comes_back_or_starts_anew_is_news():
    roster = Roster(window=15)
    roster.hear(a_beat(5), 100)
    assert roster.hear(a_beat(6), 116)
    assert roster.nodes[N1].since == 116
    assert roster.hear(a_beat(1, instance="b"), 117)


def test_a_late_beat_speaks_for_life_but_not_for_room():
    roster = Roster(window=15)
    roster.hear(a_beat(7, free=100), 100)
    assert not roster.hear(a_beat(6, free=900), 110)
    assert roster.free(N1) == cpu(100)
    assert roster.live(N1, 120)
    assert roster.hear(a_beat(5), 130), "back after silence"
    assert roster.free(N1) == cpu(100)


def test_of_two_amounts_the_one_with_the_higher_tick_holds():
    roster = Roster(window=15)
    roster.hear(a_beat(3, free=1000), 100)
    roster.amount(N1, cpu(400), 4)
    roster.amount(N1, cpu(900), 2)
    assert roster.free(N1) == cpu(400)
    assert not roster.hear(a_beat(4, free=1000), 101), "sent before the answer"
    assert roster.free(N1) == cpu(400)


def test_what_is_offered_is_not_free_until_it_is_answered():
    roster = Roster(window=15)
    roster.hear(a_beat(1, free=1000), 100)
    roster.offer(N1, E1, cpu(300))
    roster.offer(N1, E2, cpu(900))
    assert roster.free(N1) == NOTHING
    roster.settle(N1, E2)
    assert roster.free(N1) == cpu(700)
    roster.hear(a_beat(2, free=800), 101)
    assert roster.free(N1) == cpu(500)


def test_of_unknown_nodes_nothing_is_known():
    roster = Roster(window=15)
    roster.offer(N1, E1, cpu(1))
    roster.settle(N1, E1)
    roster.amount(N1, cpu(1), 1)
    assert roster.free(N1) == NOTHING
    assert not roster.heard(N1, 0)
