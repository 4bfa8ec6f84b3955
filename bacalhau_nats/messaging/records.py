"""Facts by compare-and-set: the `Records` port on a JetStream stream.

The stream sequence is the revision; the expected last sequence of the subject is the compare-and-set, 0
meaning "does not exist". The first desired record of an execution expects 0 over the wildcard of *all*
nodes: that is the fence.

A write may be answered three ways: accepted, refused, or not at all. After no answer it is sent again
with the same expectation, so it can be accepted at most once. After a refusal the record is read back from
the leader: if it holds exactly our bytes, with our nonce, then it was ours that got there first.
"""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import nats.errors
from nats.js.api import Header

from bacalhau_nats.domain.facts import Fact, Key, Kind, Record, spec_key
from bacalhau_nats.domain.ids import ExecutionID, JobID
from bacalhau_nats.errors import BusTimeout, Conflict, InternalError, InvalidSpec, StorageFull, Unavailable
from bacalhau_nats.messaging import codec, jsapi
from bacalhau_nats.messaging.bus import Bus
from bacalhau_nats.messaging.subjects import CONCLUSION, DESIRED, LOG, OBSERVED, WAITING
from bacalhau_nats.messaging.topology import LOGS, STATE

ANSWER_SECONDS = 2.0
"""How long one attempt waits; the server's own stall on a slow disk is far below that."""
PATIENCE_SECONDS = 8.0
"""How long a write is tried before the caller hears BusTimeout: a restart or an election fits in."""
_PAUSE_SECONDS = 0.05

_EXPECT: str = Header.EXPECTED_LAST_SUBJECT_SEQUENCE.value
_EXPECT_OVER = f"{_EXPECT}-Subject"


@dataclass(frozen=True, slots=True)
class StreamState:
    """How far the state stream is; ``created`` tells a new stream of the same name from the old one."""

    created: str
    last_seq: int


async def stream_state(bus: Bus) -> StreamState:
    """Ask the leader how far the state stream is. Raises Unavailable, BusTimeout."""
    try:
        answer = await jsapi.call(bus, f"STREAM.INFO.{bus.cell.stream(STATE)}")
    except jsapi.JetStreamRefused as refused:
        raise Unavailable(f"The state stream cannot be read: {refused}") from refused
    return StreamState(answer["created"], answer["state"]["last_seq"])


class JetRecords:
    """`ports.Records` on the state stream of the bus' cell."""

    def __init__(self, bus: Bus, *, patience: float = PATIENCE_SECONDS) -> None:
        self._bus = bus
        self._patience = patience
        self._get = f"STREAM.MSG.GET.{bus.cell.stream(STATE)}"

    async def create(self, key: Key, record: Record) -> int:
        """Write the first value; a DESIRED one only if no node has this execution yet."""
        expect = {_EXPECT: "0"}
        if key.kind is Kind.DESIRED:
            expect[_EXPECT_OVER] = self._bus.cell.fence_of(key.owner)
        return await self._write(key, record, expect)

    async def update(self, key: Key, record: Record, revision: int) -> int:
        """Replace the value whose revision is ``revision``."""
        return await self._write(key, record, {_EXPECT: str(revision)})

    async def put(self, key: Key, record: Record) -> int:
        """Write whatever was there."""
        return await self._write(key, record, {})

    async def get(self, key: Key) -> Fact | None:
        """Read the present value from the leader; None when there is none, without a record when purged."""
        stored = await self._read(key)
        if stored is None:
            return None
        try:
            return codec.decode_fact(key, stored.payload, stored.headers, seq=stored.seq, time=stored.time)
        except codec.MalformedMessage as malformed:
            raise InternalError(
                f"The record {self._bus.cell.of_key(key)} cannot be read: {malformed}"
            ) from None

    async def last_seq(self) -> int:
        """Give the sequence of the newest fact, as the leader knows it."""
        return (await stream_state(self._bus)).last_seq

    async def purge(self, key: Key, revision: int, *, remember: float) -> int:
        """Forget a record and its history. Raises Conflict when it has moved on.

        A tombstone says so to all followers and is itself forgotten after ``remember`` seconds.
        """
        subject = self._bus.cell.of_key(key)
        headers = {_EXPECT: str(revision), Header.MSG_TTL.value: f"{max(1, round(remember))}s"}
        seq = await self._send(key, subject, b"", headers, nonce="")
        await self._purge(STATE, {"filter": subject, "seq": seq})
        return seq

    async def purge_rest(self, job: JobID, executions: Iterable[ExecutionID]) -> None:
        """Remove everything of a job but its spec: executions and logs, then its conclusions.

        As long as a conclusion lies, something may be left. What may lie under the spec's tombstone goes first:
        it would come up when that is forgotten, and a spec without its conclusion would be run again.
        """
        cell = self._bus.cell
        name = cell.name
        under = {"filter": cell.of_key(spec_key(job)), "keep": 1}
        await jsapi.call(self._bus, f"STREAM.PURGE.{cell.stream(STATE)}", under)
        wanted = [(LOGS, LOG.any(cell=name, job=job))]
        for execution in executions:
            wanted += [(STATE, s.any(cell=name, execution=execution)) for s in (DESIRED, OBSERVED)]
        wanted += [(STATE, s.any(cell=name, job=job)) for s in (WAITING, CONCLUSION)]
        for stream, subject in wanted:
            await self._purge(stream, {"filter": subject})

    async def _purge(self, stream: str, what: dict[str, Any]) -> None:
        name = self._bus.cell.stream(stream)
        try:
            await jsapi.call(self._bus, f"STREAM.PURGE.{name}", what)
        except jsapi.JetStreamRefused as refused:
            if refused.code not in jsapi.NOT_FOUND:
                raise Unavailable(f"The stream {name} cannot be purged: {refused}") from refused

    # --- one write ----------------------------------------------------------------------------------

    async def _write(self, key: Key, record: Record, expect: dict[str, str]) -> int:
        payload, headers = codec.encode(record)
        headers.update(expect)
        nonce = getattr(record, "nonce", "")
        return await self._send(key, self._bus.cell.of_key(key), payload, headers, nonce=nonce)

    async def _send(
        self, key: Key, subject: str, payload: bytes, headers: dict[str, str], *, nonce: str
    ) -> int:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._patience
        unanswered: BusTimeout | None = None
        while True:
            try:
                return await self._attempt(key, subject, payload, headers, nonce=nonce)
            except StorageFull:
                raise
            except BusTimeout as error:
                unanswered = error
                last: Unavailable = error
            except Unavailable as error:  # not stored by this attempt; an earlier one may still have been
                last = error
            if loop.time() >= deadline:
                raise unanswered or last
            await asyncio.sleep(_PAUSE_SECONDS)

    async def _attempt(
        self, key: Key, subject: str, payload: bytes, headers: dict[str, str], *, nonce: str
    ) -> int:
        try:
            reply = await self._bus.request(subject, payload, headers, within=ANSWER_SECONDS)
        except nats.errors.MaxPayloadError as error:
            raise InvalidSpec(
                f"The record {subject} has {len(payload)} bytes; one message carries at most"
                f" {self._bus.client.max_payload}.",
                hint="Store large content apart and refer to it.",
            ) from error
        answer = json.loads(reply.data)
        if "error" not in answer:
            return int(answer["seq"])
        refused = jsapi.failure(f"writing {subject}", answer["error"])
        if not isinstance(refused, jsapi.JetStreamRefused):
            raise refused
        if refused.code not in jsapi.MOVED_ON:
            raise InternalError(str(refused)) from refused
        if nonce:
            stored = await self._read(key)
            if stored is not None and stored.payload == payload:
                return stored.seq
        raise Conflict(f"{key.kind} of {key.owner} has moved on: {refused.description}.") from refused

    async def _read(self, key: Key) -> _Stored | None:
        subject = self._bus.cell.of_key(key)
        try:
            answer = await jsapi.call(self._bus, self._get, {"last_by_subj": subject})
        except jsapi.JetStreamRefused as refused:
            if refused.code in jsapi.NOT_FOUND:
                return None
            raise Unavailable(f"The record {subject} cannot be read: {refused}") from refused
        return _Stored.of(answer["message"])


@dataclass(frozen=True, slots=True)
class _Stored:
    """One stored message, as the leader gives it."""

    seq: int
    time: str
    payload: bytes
    headers: dict[str, str]

    @classmethod
    def of(cls, message: dict[str, Any]) -> _Stored:
        lines = base64.b64decode(message.get("hdrs", "")).decode("utf-8", "replace").split("\r\n")[1:]
        pairs = (line.partition(":") for line in lines if line)
        return cls(
            seq=message["seq"],
            time=message["time"],
            payload=base64.b64decode(message.get("data", "")),
            headers={name.strip(): value.strip() for name, _, value in pairs},
        )
