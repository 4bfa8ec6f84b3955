"""Every stream and consumer, as data, and `ensure`, which makes them so.

=======  ========  ==================================================================================
Stream   Keeps     Why so
=======  ========  ==================================================================================
STATE    facts     on disk, whole history; refuses when full (it must not forget); republishes what it
                   has accepted, so that followers never hear a refused write
NUDGES   nudges    in memory, a work queue with one pending nudge per job: publishing again replaces it
LOGS     output    on disk, bounded by age and size, forgets the oldest
BIDS     answers   in memory, the last one of a node about an execution, bounded by age, size and number:
                   nobody waits for it and nothing depends on it; it is read to explain a job
=======  ========  ==================================================================================

Two processes may call `ensure` at once: creating a stream that is there with the same configuration is no
error to JetStream.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass

from nats.js.api import (
    AckPolicy,
    ConsumerConfig,
    DiscardPolicy,
    PersistMode,
    RePublish,
    RetentionPolicy,
    StorageType,
    StreamConfig,
)

from bacalhau_nats.errors import BusTimeout, InvalidSettings, StorageFull
from bacalhau_nats.messaging import jsapi
from bacalhau_nats.messaging.bus import Bus
from bacalhau_nats.messaging.subjects import BID, EVALUATE, FACT, LOG, ROOT, Cell, encode

log = logging.getLogger(__name__)

STATE, NUDGES, LOGS, BIDS = "STATE", "NUDGES", "LOGS", "BIDS"
REQUESTERS = "requesters"
"""The consumer that all requesters take nudges from."""
ACK_WAIT_SECONDS = 15.0
"""After this long without a word, a nudge goes to another requester."""

_DAY = 24 * 3600
_MOST_BIDS, _BIDS_BYTES, _BIDS_AGE = 50_000, 32 << 20, 1 * _DAY
_NAME_IN_USE = 10058
_ATTEMPTS = 4


@dataclass(frozen=True, slots=True)
class Topology:
    """What an operator may choose. Sizes in bytes (-1: no limit), age in seconds (0: no limit).

    The server sets the sizes aside when a stream is made, so they must fit into its store.
    """

    replicas: int = 1
    state_max_bytes: int = 1 << 30
    logs_max_bytes: int = 1 << 30
    logs_max_age: float = 7 * _DAY


def streams(cell: Cell, topology: Topology) -> tuple[StreamConfig, StreamConfig, StreamConfig]:
    """Give the streams that a cell cannot do without: STATE, NUDGES, LOGS."""
    return _state(cell, topology), _nudges(cell, topology), _logs(cell, topology)


def _state(cell: Cell, topology: Topology) -> StreamConfig:
    return StreamConfig(
        name=cell.stream(STATE),
        description="Facts: what is wanted and what is so. The last message of a subject is the record.",
        subjects=cell.facts(),
        storage=StorageType.FILE,
        num_replicas=topology.replicas,
        retention=RetentionPolicy.LIMITS,
        discard=DiscardPolicy.NEW,
        max_bytes=topology.state_max_bytes,
        deny_delete=True,
        allow_direct=True,
        allow_msg_ttl=True,
        republish=RePublish(src=f"{ROOT}.{encode(cell.name)}.>", dest=FACT.any(cell=cell.name)),
    )


def _nudges(cell: Cell, topology: Topology) -> StreamConfig:
    return StreamConfig(
        name=cell.stream(NUDGES),
        description="Nudges: look at this job again. One per job.",
        subjects=[EVALUATE.any(cell=cell.name)],
        storage=StorageType.MEMORY,
        num_replicas=topology.replicas,
        retention=RetentionPolicy.WORK_QUEUE,
        discard=DiscardPolicy.OLD,
        max_msgs_per_subject=1,
    )


def _logs(cell: Cell, topology: Topology) -> StreamConfig:
    return StreamConfig(
        name=cell.stream(LOGS),
        description="Output of executions, chunk by chunk.",
        subjects=[LOG.any(cell=cell.name)],
        storage=StorageType.FILE,
        num_replicas=topology.replicas,
        retention=RetentionPolicy.LIMITS,
        discard=DiscardPolicy.OLD,
        max_bytes=topology.logs_max_bytes,
        max_age=topology.logs_max_age,
        allow_direct=True,
        # Output may lose its last moments in a power cut; that buys a sixfold rate. Refused for replicas.
        persist_mode=PersistMode.ASYNC if topology.replicas == 1 else None,
    )


def _bids(cell: Cell) -> StreamConfig:
    return StreamConfig(
        name=cell.stream(BIDS),
        description="What nodes last answered to offers, to explain where jobs went.",
        subjects=[BID.any(cell=cell.name)],
        storage=StorageType.MEMORY,
        num_replicas=1,  # losing it loses explanations, not jobs
        retention=RetentionPolicy.LIMITS,
        discard=DiscardPolicy.OLD,
        max_msgs_per_subject=1,
        max_msgs=_MOST_BIDS,
        max_bytes=_BIDS_BYTES,
        max_age=_BIDS_AGE,
        no_ack=True,
        allow_direct=True,
    )


def requesters() -> ConsumerConfig:
    """Give the consumer of the nudges.

    ``max_ack_pending`` is unlimited because a nudge that waits for its time counts as pending: at the
    default a fresh one would wait behind the first 1,000 timers.
    """
    return ConsumerConfig(
        durable_name=REQUESTERS,
        description="All requesters together.",
        ack_policy=AckPolicy.EXPLICIT,
        ack_wait=ACK_WAIT_SECONDS,
        max_ack_pending=-1,
        max_deliver=-1,
        max_waiting=4096,
    )


async def ensure(bus: Bus, topology: Topology | None = None) -> None:
    """Create what is missing, change what differs.

    Raises InvalidSettings when a stream cannot be made or changed as configured, StorageFull when the
    server has no room for it, and Unavailable when JetStream is not there.
    """
    for attempt in range(_ATTEMPTS):
        try:
            for config in streams(bus.cell, topology or Topology()):
                await _ensure_stream(bus, config)
            await ensure_requesters(bus)
        except BusTimeout:  # a cluster that has just been started elects before it answers
            if attempt == _ATTEMPTS - 1:
                raise
        else:
            return


async def ensure_nudges(bus: Bus, topology: Topology | None = None) -> str:
    """Create the queue of nudges again: it lives in memory and is gone when a lone server restarts.

    Gives the time of its creation, by which a new queue is told from the old one.
    """
    created = await _ensure_stream(bus, _nudges(bus.cell, topology or Topology()))
    await ensure_requesters(bus)
    return created


async def ensure_bids(bus: Bus) -> None:
    """Create the stream that keeps what nodes answer. Raises as `ensure` does; nothing depends on it."""
    await _ensure_stream(bus, _bids(bus.cell))


async def ensure_requesters(bus: Bus) -> None:
    """Create the consumer of the nudges."""
    stream = bus.cell.stream(NUDGES)
    body = {"stream_name": stream, "config": requesters().as_dict()}
    await jsapi.call(bus, f"CONSUMER.CREATE.{stream}.{REQUESTERS}", body)


async def _ensure_stream(bus: Bus, config: StreamConfig) -> str:
    try:
        answer = await jsapi.call(bus, f"STREAM.CREATE.{config.name}", config.as_dict())
    except StorageFull as full:
        raise StorageFull(
            f"The NATS server has no room for the stream {config.name}: {config.max_bytes} bytes are set"
            " aside when it is made.",
            hint="Lower the stream's limit, or raise max_file_store (max_memory_store) in nats.conf.",
        ) from full
    except jsapi.JetStreamRefused as refused:
        if refused.code != _NAME_IN_USE:
            raise InvalidSettings(
                f"The stream {config.name} cannot be created: {refused.description}.",
                hint="Check replicas and limits against the NATS server.",
            ) from refused
    else:
        return str(answer["created"])
    try:
        answer = await jsapi.call(bus, f"STREAM.UPDATE.{config.name}", config.as_dict())
    except jsapi.JetStreamRefused as refused:
        raise InvalidSettings(
            f"The stream {config.name} exists and cannot be changed as configured: {refused.description}.",
            hint="Go back to the earlier setting, or back the stream up, delete it and restore"
            " (nats stream backup | rm | restore).",
        ) from refused
    log.info("changed the stream %s", config.name, extra={"action": "stream_changed"})
    return str(answer["created"])
