"""Nudges: "look at this job again", one pending per job, taken by any requester.

The queue is a work-queue stream in memory with one message per subject. All of this is the server's doing:
publishing again replaces the pending nudge; one published while another is being worked on is delivered
too; `Task.later` is a timer; a fresh nudge overtakes a timer and cancels it; a requester that dies
loses its nudges to the others after `ACK_WAIT_SECONDS`.

A lone server forgets the queue when it restarts. `Nudges` then makes it again and calls ``on_lost``:
whoever knows the unfinished jobs nudges them all. Nothing is wrong meanwhile, only later.

Pulling is our own and not nats-py's ``fetch``: requests stay open at the server, so an idle queue costs one
message in half a minute and a nudge arrives without a question asked first.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import suppress

import nats.errors

from bacalhau_nats.domain.ids import JobID
from bacalhau_nats.errors import Unavailable
from bacalhau_nats.messages import Nudge
from bacalhau_nats.messaging import codec
from bacalhau_nats.messaging.bus import Bus, Msg
from bacalhau_nats.messaging.jsapi import API
from bacalhau_nats.messaging.subjects import EVALUATE
from bacalhau_nats.messaging.topology import NUDGES, REQUESTERS, Topology, ensure_nudges

log = logging.getLogger(__name__)

PULL_SECONDS = 30.0
"""How long one request stays open at the server before it is asked anew."""
_RETRY_SECONDS = 0.05
_ACK, _NAK, _WORKING, _TERM = b"+ACK", b"-NAK", b"+WPI", b"+TERM"
_ENDED = frozenset({"404", "408", "409", "503"})  # nothing more comes for that question
_LEFT = "Nats-Pending-Messages"
_NUDGE = codec.by_name(Nudge)


def _nothing() -> None:
    """Nobody cares."""


class Task:
    """One nudge that was taken. Say `ack` or `later` once; `working` as often as it takes."""

    def __init__(self, queue: Nudges, nudge: Nudge, msg: Msg) -> None:
        self._queue = queue
        self._msg = msg
        self._open = True
        self._created = queue.created
        self.nudge = nudge
        self.delivered = msg.metadata.num_delivered
        """1 for a fresh nudge; more after a timer or a requester that went away."""

    async def ack(self) -> None:
        """Done with it."""
        await self._say(_ACK, final=True)

    async def later(self, seconds: float) -> None:
        """Come back with it after ``seconds``, unless somebody nudges earlier."""
        delay = json.dumps({"delay": max(1, round(seconds * 1e9))})
        await self._say(_NAK + b" " + delay.encode(), final=True)

    async def working(self) -> None:
        """Still on it: start the acknowledgement wait again."""
        await self._say(_WORKING, final=False)

    async def _say(self, what: bytes, *, final: bool) -> None:
        if not self._open:
            return
        if final:
            self._open = False
            self._queue.released()
        # Sequences start over in a queue that was made anew: an old answer would settle somebody else's nudge.
        if self._created == self._queue.created:
            await self._queue.reply(self._msg, what)


class Nudges:
    """The queue of nudges of the bus' cell. `take` may be used by one loop at a time."""

    def __init__(
        self, bus: Bus, *, topology: Topology | None = None, on_lost: Callable[[], None] = _nothing
    ) -> None:
        self.bus = bus
        self._topology = topology
        self._on_lost = on_lost
        self._pull_subject = f"{API}.CONSUMER.MSG.NEXT.{bus.cell.stream(NUDGES)}.{REQUESTERS}"
        self._taken: deque[Task] = deque()
        self._saying: set[asyncio.Future[None]] = set()
        self._asked = 0  # nudges the server may still send without another question
        self._in_flight = 0
        self._max_in_flight = 0
        self._wake = asyncio.Event()
        self._known = ""
        self.created = ""
        """Which queue this is, by its time of creation; empty while that is not known."""

    async def nudge(self, job: JobID, seq: int, cause: str) -> None:
        """Ask any requester to look at a job, because of the fact ``seq``. Not waited for, may be lost."""
        subject = EVALUATE(cell=self.bus.cell.name, job=job)
        await self.bus.publish(subject, Nudge(job_id=job, seq=seq, cause=cause))

    async def take(self, max_in_flight: int) -> AsyncIterator[Task]:
        """Take nudges as they come, at most ``max_in_flight`` at a time without an `ack` or `later`."""
        self._max_in_flight = max_in_flight
        inbox = self.bus.client.new_inbox()
        subscription = await self.bus.listen(inbox, self._receive)
        forget = self.bus.on_reconnect(self._reconnected)
        try:
            while True:
                self._wake.clear()
                while self._taken:
                    yield self._taken.popleft()
                if not self.created:
                    await self._mend()
                await self._pull(inbox)
                await self._sleep()
        finally:
            forget()
            for task in self._taken:
                await task.later(0)
            self._taken.clear()
            self._asked = 0
            with suppress(nats.errors.Error):
                await subscription.unsubscribe()

    def released(self) -> None:
        """Note that one taken nudge is dealt with."""
        self._in_flight -= 1
        if self._room() >= self._worth_asking():
            self._wake.set()

    async def reply(self, msg: Msg, what: bytes) -> None:
        """Say what became of a nudge. An answer that is lost is a nudge that comes again."""
        if self.bus.connected:
            with suppress(nats.errors.Error):
                await self.bus.client.publish(msg.reply, what)

    # --- pulling --------------------------------------------------------------------------------------

    def _room(self) -> int:
        return self._max_in_flight - self._in_flight - self._asked

    def _worth_asking(self) -> int:
        return max(1, self._max_in_flight // 4) if self._asked else 1

    async def _pull(self, inbox: str) -> None:
        room = self._room()
        if room < self._worth_asking() or not self.bus.connected:
            return
        self._asked += room
        body = json.dumps({"batch": room, "expires": round(PULL_SECONDS * 1e9)})
        with suppress(nats.errors.Error):
            await self.bus.client.publish(self._pull_subject, body.encode(), reply=inbox)

    async def _sleep(self) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(PULL_SECONDS + 2):
                await self._wake.wait()
                return
        self._asked = 0  # every question has expired, and whoever should have said so did not

    def _refuse(self, msg: Msg) -> None:
        """Say that nobody can ever read this one."""
        saying = asyncio.ensure_future(self.reply(msg, _TERM))
        self._saying.add(saying)
        saying.add_done_callback(self._saying.discard)

    def _receive(self, msg: Msg) -> None:
        headers = msg.headers or {}
        if not msg.data and "Status" in headers:
            self._ended(headers)
            return
        self._asked = max(0, self._asked - 1)
        try:
            nudge = codec.decode(msg.data, headers, _NUDGE)
        except codec.MalformedMessage as malformed:
            codec.log_dropped(msg.subject, malformed)
            self._refuse(msg)
        else:
            self._in_flight += 1
            self._taken.append(Task(self, nudge, msg))
        self._wake.set()

    def _ended(self, headers: codec.Headers) -> None:
        """A question has ended unanswered: it expired, or queue, consumer or their leader went away."""
        if headers["Status"] not in _ENDED:
            return
        left = headers.get(_LEFT, "")
        self._asked = max(0, self._asked - int(left)) if left.isdigit() else 0
        if headers["Status"] in {"409", "503"}:
            self.created = ""
        self._wake.set()

    # --- a queue that is gone -----------------------------------------------------------------------------

    def _reconnected(self) -> None:
        self.created = ""
        self._wake.set()

    async def _mend(self) -> None:
        """Make the queue again where it is gone, and say so."""
        self._asked = 0
        if self._known:
            await asyncio.sleep(_RETRY_SECONDS)  # whatever refuses us without end is not asked without pause
        while True:
            try:
                created = await ensure_nudges(self.bus, self._topology)
                break
            except Unavailable as error:
                log.debug("the queue of nudges is not there yet: %s", error)
                await asyncio.sleep(_RETRY_SECONDS)
        lost, self._known, self.created = self._known not in {"", created}, created, created
        if lost:
            log.info("the queue of nudges was made anew", extra={"action": "nudges_lost"})
            self._on_lost()
