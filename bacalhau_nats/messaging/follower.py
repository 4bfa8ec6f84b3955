"""Follow facts: each once, in the order of the stream, whatever happens in between.

The state stream republishes what it has accepted, and a plain subscription hears it. Every message of
the stream is republished, so sequences follow each other without a hole; a hole means that something was
missed (a reconnect, a slow moment), and then the stream is read from there.

    catching up ──► following          the stream is read up to its end, then what was heard meanwhile
         ▲              │
         └──────────────┘              a hole, a reconnect, or the watchdog finds the stream ahead

The stream is read by batches of direct gets: no consumer has to be made, lost, or cleaned up. Purged
messages leave holes there, which is how the two are told apart: only what is *heard* must be contiguous.
A stream that was deleted and made again has another creation time; the follower then starts over.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import json
import logging
from collections.abc import Callable
from contextlib import suppress

import nats.errors

from bacalhau_nats.domain.facts import Fact
from bacalhau_nats.errors import BusTimeout, Unavailable
from bacalhau_nats.messaging import codec, jsapi
from bacalhau_nats.messaging.bus import Bus, Msg, Subscription
from bacalhau_nats.messaging.jsapi import API
from bacalhau_nats.messaging.records import StreamState, stream_state
from bacalhau_nats.messaging.subjects import DESIRED, FACT, Cell
from bacalhau_nats.messaging.topology import STATE

log = logging.getLogger(__name__)

WATCH_SECONDS = 2.0
"""How often the stream is asked whether it is ahead: the safety net under everything else."""
_GRACE_SECONDS = 0.25  # facts still on their way when the watchdog looks
_RETRY_SECONDS = 0.05  # the server is restarting, or a replica lags
_BEHIND_SECONDS = 1.0
_BATCH = 500
_BATCH_SECONDS = 10.0
_SLICE = 50  # facts applied before others get a turn
_HEARD_LIMIT = 20_000  # beyond that, reading the stream is cheaper than keeping what was heard

Apply = Callable[[Fact], None]


def _nothing() -> None:
    """Nobody cares."""


class Follower:
    """Calls ``apply`` with every fact after ``start_seq - 1``, once, in order. Use `run` in a task.

    ``apply`` is plain and quick; if it raises, the follower ends with that error. ``on_reset`` is called
    when the stream was made anew: forget everything, the facts come from the beginning.
    """

    def __init__(
        self, bus: Bus, apply: Apply, *, start_seq: int = 1, on_reset: Callable[[], None] = _nothing
    ) -> None:
        self._bus = bus
        self._apply = apply
        self._on_reset = on_reset
        self._read_subject = f"{API}.DIRECT.GET.{bus.cell.stream(STATE)}"
        self._created = ""
        self._following = False
        self._heard: dict[int, Msg] = {}
        self._wake = asyncio.Event()
        self._waiters: list[tuple[int, int, asyncio.Future[None]]] = []
        self._tickets = itertools.count()
        self.applied = start_seq - 1
        """The sequence of the last fact applied."""
        self.ready = asyncio.Event()
        """Set once the first catch-up is done."""

    async def reached(self, seq: int, within: float) -> bool:
        """Wait at most ``within`` seconds until the fact ``seq`` is applied; say whether it is."""
        if self.applied >= seq:
            return True
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._waiters, (seq, next(self._tickets), future))
        with suppress(TimeoutError):
            async with asyncio.timeout(within):
                await future
        return self.applied >= seq

    async def run(self) -> None:
        """Follow until cancelled."""
        subscription = await self._bus.listen(FACT.any(cell=self._bus.cell.name), self._hear)
        forget = self._bus.on_reconnect(self._reconnected)
        try:
            while True:
                try:
                    await self._catch_up()
                except Unavailable as error:  # BusTimeout too: the server restarts; it will be back
                    log.debug("cannot catch up yet: %s", error)
                    await asyncio.sleep(_RETRY_SECONDS)
                    continue
                self.ready.set()
                await self._until_behind()
        finally:
            forget()
            self._following = False
            with suppress(nats.errors.Error):  # the connection may be gone, and the subscription with it
                await subscription.unsubscribe()

    # --- heard --------------------------------------------------------------------------------------

    def _hear(self, msg: Msg) -> None:
        seq = _sequence(msg)
        if seq == 0:
            codec.log_dropped(msg.subject, "no sequence; facts come from the state stream only")
        elif self._following and seq == self.applied + 1:
            self._take(seq, msg)
        elif not self._following or seq > self.applied:
            if len(self._heard) >= _HEARD_LIMIT:
                self._heard.clear()
            self._heard[seq] = msg
            self._wake.set()
        else:  # a number from the past: either a copy, or the stream was made anew
            self._wake.set()

    def _take(self, seq: int, msg: Msg) -> None:
        fact = _fact(self._bus.cell, seq, msg)
        if fact is not None:
            self._apply(fact)
        self._advance(seq)

    def _advance(self, seq: int) -> None:
        self.applied = seq
        while self._waiters and self._waiters[0][0] <= seq:
            future = heapq.heappop(self._waiters)[2]
            if not future.done():
                future.set_result(None)

    def _reconnected(self) -> None:
        self._following = False
        self._wake.set()

    async def _until_behind(self) -> None:
        """Return when the stream is ahead of what was heard, or is another stream."""
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(WATCH_SECONDS):
                    await self._wake.wait()
            if self._wake.is_set():
                return
            try:
                state = await stream_state(self._bus)
            except Unavailable:
                return
            if state.created != self._created or not await self.reached(state.last_seq, _GRACE_SECONDS):
                return

    # --- read ---------------------------------------------------------------------------------------

    async def _catch_up(self) -> None:
        self._following = False
        self._wake.clear()
        heard = tuple(self._heard)
        state = await self._state()
        for seq in heard:  # heard before we asked, yet the stream is not that far: not from the stream
            if seq > state.last_seq:
                self._heard.pop(seq, None)
        await self._read_up_to(state.last_seq)
        self._take_heard()
        self._following = True  # no await since the last heard fact: nothing slips through
        if self._heard:  # a hole behind what was read
            self._wake.set()

    async def _state(self) -> StreamState:
        state = await stream_state(self._bus)
        self._created = self._created or state.created
        if state.created == self._created and state.last_seq < self.applied:
            await asyncio.sleep(_BEHIND_SECONDS)  # a new leader may not have caught up with itself yet
            state = await stream_state(self._bus)
        if state.created != self._created or state.last_seq < self.applied:
            log.warning("the state stream was made anew; starting over", extra={"action": "follower_reset"})
            self._created = state.created
            self._heard.clear()
            self.applied = 0
            self._on_reset()
        return state

    async def _read_up_to(self, last: int) -> None:
        """Apply the stream's facts up to ``last``; while one batch is applied, the server finds the next."""
        reading: asyncio.Task[list[Msg]] | None = None
        try:
            while self.applied < last:
                messages = await (reading or self._read_batch(self.applied + 1))
                reading = None
                if not messages:
                    await self._skip_purged(last)
                    continue
                following = _sequence(messages[-1]) + 1
                if following <= last:
                    reading = asyncio.create_task(self._read_batch(following))
                await self._take_all(messages)
        finally:
            if reading is not None:
                reading.cancel()
                await asyncio.gather(reading, return_exceptions=True)

    async def _read_batch(self, start: int) -> list[Msg]:
        """Read the first facts from ``start`` on; none where there are none now."""
        body = {"seq": start, "next_by_subj": ">", "batch": _BATCH}
        messages = await self._bus.request_batch(
            self._read_subject, json.dumps(body).encode(), within=_BATCH_SECONDS
        )
        status = (messages.pop().headers or {}).get("Status", "")
        if status not in ("204", "404"):
            raise BusTimeout(f"The state stream cannot be read (status {status}).")
        return messages

    async def _take_all(self, messages: list[Msg]) -> None:
        for position, msg in enumerate(messages, 1):
            self._take(_sequence(msg), msg)
            if position % _SLICE == 0:
                await asyncio.sleep(0)

    async def _skip_purged(self, last: int) -> None:
        """Nothing was found from here to ``last``: purged, unless only the replica that answered lags."""
        body = {"seq": self.applied + 1, "next_by_subj": ">"}
        try:
            await jsapi.call(self._bus, f"STREAM.MSG.GET.{self._bus.cell.stream(STATE)}", body)
        except jsapi.JetStreamRefused as refused:
            if refused.code not in jsapi.NOT_FOUND:
                raise Unavailable(f"The state stream cannot be read: {refused}") from refused
            self._advance(max(self.applied, last))
        else:
            await asyncio.sleep(_RETRY_SECONDS)

    def _take_heard(self) -> None:
        for seq in sorted(self._heard):
            if seq == self.applied + 1:
                self._take(seq, self._heard.pop(seq))
            elif seq <= self.applied:
                del self._heard[seq]
            else:
                return


def _sequence(msg: Msg) -> int:
    try:
        return int((msg.headers or {}).get(codec.SEQUENCE, "0"))
    except ValueError:
        return 0


def _fact(cell: Cell, seq: int, msg: Msg) -> Fact | None:
    headers = msg.headers or {}
    subject = headers.get(codec.SUBJECT, msg.subject)
    key = cell.key_of(subject)
    if key is None:
        codec.log_dropped(subject, "no record has this subject")
        return None
    try:
        return codec.decode_fact(key, msg.data, headers, seq=seq, time=headers.get(codec.TIME, ""))
    except codec.MalformedMessage as malformed:
        codec.log_dropped(subject, malformed)
        return None


async def follow_desired(bus: Bus, node: str, handler: Apply) -> Subscription:
    """Hear what is wanted of one node. Not gapless: the node also asks what it should be doing."""

    def hear(msg: Msg) -> None:
        fact = _fact(bus.cell, _sequence(msg), msg)
        if fact is not None:
            handler(fact)

    return await bus.listen(bus.cell.republished(DESIRED.any(cell=bus.cell.name, node=node)), hear)
