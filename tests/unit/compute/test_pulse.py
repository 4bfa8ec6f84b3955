"""Heartbeats: every few seconds, and at once when there is more room."""

import asyncio

from bacalhau_nats.compute.capacity import Ledger
from bacalhau_nats.compute.pulse import Pulse
from bacalhau_nats.domain.ids import ExecutionID, NodeID
from bacalhau_nats.domain.resources import Resources
from tests.support.roles import ComputeEar, LoopClock, breathe, virtually

E1 = ExecutionID("e-1")
HALF = Resources(milli_cpu=1000)


class Heart:
    def __init__(self):
        self.bus, self.clock = ComputeEar(), LoopClock()
        self.ledger = Ledger(Resources(milli_cpu=2000))
        self.pulse = Pulse(NodeID("n1"), "n1#1", self.ledger, self.bus, self.clock, every=3.0)
        self.task = asyncio.create_task(self.pulse.run())

    def free(self):
        return [beat.free.milli_cpu for beat in self.bus.beats]


@virtually
async def test_it_beats_every_few_seconds_with_a_rising_tick():
    heart = Heart()
    await asyncio.sleep(10)
    assert [beat.tick for beat in heart.bus.beats] == [1, 2, 3, 4]
    beat = heart.bus.beats[0]
    assert (beat.node_id, beat.instance, beat.every, beat.running) == ("n1", "n1#1", 3.0, 0)


@virtually
async def test_room_that_is_released_is_told_at_once():
    heart = Heart()
    heart.ledger.claim(E1, HALF)
    await breathe()
    assert heart.free() == [1000]
    assert heart.bus.beats[0].running == 1
    heart.pulse.release(E1)
    await breathe()
    assert heart.free() == [1000, 2000]


@virtually
async def test_releasing_nothing_is_no_news():
    heart = Heart()
    await breathe()
    heart.pulse.release(E1)
    await breathe()
    assert heart.free() == [2000]


@virtually
async def test_a_hold_that_expires_is_told_when_it_does():
    heart = Heart()
    await breathe()
    heart.ledger.hold(E1, HALF, until=heart.clock.monotonic() + 4)
    heart.pulse.soon()
    await asyncio.sleep(3.9)
    assert heart.free()[-1] == 1000
    await asyncio.sleep(0.15)
    assert heart.free()[-1] == 2000


@virtually
async def test_an_answer_between_beats_takes_a_tick_of_its_own():
    heart = Heart()
    await breathe()
    assert heart.pulse.next_tick() == 2
    await asyncio.sleep(3)
    assert [beat.tick for beat in heart.bus.beats] == [1, 3]


@virtually
async def test_whoever_asks_gets_a_beat_now():
    heart = Heart()
    await breathe()
    heart.pulse.soon()
    await breathe()
    assert len(heart.bus.beats) == 2
