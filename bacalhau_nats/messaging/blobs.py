"""Bytes too large for a fact, in a JetStream object store, streamed both ways.

The layout is that of every NATS object store (ADR-20), so that ``nats object ls | get`` work on it: chunks on
a subject of their own, then one message with name, size and digest. That message is written last, and
without it there is no object: a put that is interrupted, even by kill -9, leaves at most chunks that nobody
sees, and `ObjectStore.sweep` removes those.

nats-py has an object store too; it waits for each chunk's acknowledgement before the next, keeps a whole object
in memory while reading, and leaves a message behind for each deleted name.
"""

from __future__ import annotations

import asyncio
import hashlib
import io
import json
from base64 import b64decode, urlsafe_b64encode
from collections.abc import AsyncIterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import IO
from uuid import uuid4

from nats.js.api import DiscardPolicy, Header, StorageType, StreamConfig
from nats.js.kv import MSG_ROLLUP_SUBJECT
from nats.js.object_store import (
    OBJ_ALL_CHUNKS_PRE_TEMPLATE,
    OBJ_ALL_META_PRE_TEMPLATE,
    OBJ_CHUNKS_PRE_TEMPLATE,
    OBJ_META_PRE_TEMPLATE,
    OBJ_STREAM_TEMPLATE,
)

from bacalhau_nats.errors import (
    InvalidSettings,
    NoResponders,
    NotFound,
    StorageFull,
    Unavailable,
)
from bacalhau_nats.messaging import codec, jsapi, stored
from bacalhau_nats.messaging.blob_format import CHUNK_BYTES, BlobInfo, read_info, write_digest, write_info
from bacalhau_nats.messaging.bus import Bus, Msg
from bacalhau_nats.messaging.stored import patiently

DEFAULT_MAX_BYTES = 2 << 30  # the server sets this much of its storage aside when the bucket is made

_IN_FLIGHT = 8  # chunks
_ACK_WAIT = 10.0  # seconds
_PATIENCE = 10.0  # seconds that a server may be away
_RETRY = 0.1  # seconds
_BATCH, _BATCH_BYTES = 256, 1 << 20
_MISSES = 5  # a replica may not have the chunks yet
_NAME_IN_USE = 10058


class ObjectStore:
    """One bucket; `ports.Blobs` over the bus.

    The bucket is made at the first put that does not find it (or by `ensure`, for those who may create streams),
    keeps at most ``max_bytes`` and refuses more with StorageFull. Every method raises Unavailable when the
    server is away for ten seconds.
    """

    def __init__(
        self, bus: Bus, bucket: str, *, max_bytes: int = DEFAULT_MAX_BYTES, replicas: int = 1
    ) -> None:
        self._bus = bus
        self._bucket = bucket
        self._stream = OBJ_STREAM_TEMPLATE.format(bucket=bucket)
        self._max_bytes = max_bytes
        self._replicas = replicas

    async def ensure(self) -> None:
        """Make the bucket, or give it our limits. Raises InvalidSettings when the server cannot have it so."""
        config = StreamConfig(
            name=self._stream,
            description=f"{self._bucket}: bytes too large for a fact.",
            subjects=[
                OBJ_ALL_CHUNKS_PRE_TEMPLATE.format(bucket=self._bucket),
                OBJ_ALL_META_PRE_TEMPLATE.format(bucket=self._bucket),
            ],
            storage=StorageType.FILE,
            num_replicas=self._replicas,
            discard=DiscardPolicy.NEW,
            max_bytes=self._max_bytes,
            allow_rollup_hdrs=True,
            allow_direct=True,
        ).as_dict()
        try:
            try:
                await jsapi.call(self._bus, f"STREAM.CREATE.{self._stream}", config)
            except jsapi.JetStreamRefused as refused:
                if refused.code != _NAME_IN_USE:
                    raise
                await jsapi.call(self._bus, f"STREAM.UPDATE.{self._stream}", config)
        except jsapi.JetStreamRefused as refused:
            raise InvalidSettings(
                f"The object store {self._bucket} cannot be made: {refused.description}.",
                hint="Check replicas and limits against the NATS server.",
            ) from refused

    async def put(self, name: str, source: Path | bytes) -> int:
        """Store ``source`` under ``name``, replacing what was there; give its size in bytes.

        Readers see the old object or the new one, nothing in between. Raises StorageFull, and OSError when
        the file cannot be read.
        """
        clock = asyncio.get_running_loop().time
        deadline = clock() + _PATIENCE
        while True:
            try:
                return await self._put_once(name, source)
            except StorageFull:
                raise
            except NoResponders:
                await self.ensure()
            except Unavailable:
                await asyncio.sleep(_RETRY)
            if clock() > deadline:
                raise Unavailable(
                    f"{name} could not be stored in {self._bucket}: the NATS server was away too long."
                )

    async def get(self, name: str) -> AsyncIterator[bytes]:
        """Read it chunk by chunk. Raises NotFound, and Unavailable at the end when the digest is wrong."""
        info = await self._info(name)
        digest, chunks, seq, misses = hashlib.sha256(), 0, 0, 0
        while chunks < info.chunks:
            batch = await self._chunk_batch(info, seq + 1)
            misses = 0 if batch else misses + 1
            if misses > _MISSES:
                raise Unavailable(
                    f"{name} in {self._bucket} is not whole: it was replaced or deleted while it was read.",
                    hint="Read it again.",
                )
            if misses:
                await asyncio.sleep(_RETRY)
            for msg in batch:
                seq = stored.sequence(msg)
                chunks += 1
                digest.update(msg.data)
                yield msg.data
        if write_digest(digest) != info.digest:
            raise Unavailable(
                f"{name} in {self._bucket} is damaged: its bytes have another digest than when it was stored.",
                hint="Store it again.",
            )

    async def size(self, name: str) -> int:
        """Give its size in bytes. Raises NotFound."""
        return (await self._info(name)).size

    async def delete(self, name: str) -> None:
        """Forget it; forgetting what is not there is no error."""
        with suppress(NotFound):
            info = await self._info(name)
            await self._purge(self._meta(name))  # first, so that nobody finds an object without its chunks
            await self._purge(self._chunks(info.nuid))

    async def names(self) -> dict[str, BlobInfo]:
        """Give all objects: for the sweep of those nobody refers to any more."""
        found: dict[str, BlobInfo] = {}
        subject, seq = OBJ_ALL_META_PRE_TEMPLATE.format(bucket=self._bucket), 0
        while True:
            body = {"seq": seq + 1, "next_by_subj": subject, "batch": _BATCH}
            try:
                messages, status = await stored.direct_get(self._bus, self._stream, body)
            except NoResponders:
                return found  # there is no bucket yet
            for msg in messages:
                seq = stored.sequence(msg)
                info = read_info(msg.data, codec.nanoseconds((msg.headers or {}).get(codec.TIME, "")))
                if info is not None:
                    found[info.name] = info
            if not messages or status != "204":
                return found

    async def ages(self) -> dict[str, float]:
        """Give the age of each object in seconds, by name."""
        now = datetime.now(UTC).timestamp()
        return {name: now - info.mtime for name, info in (await self.names()).items()}

    async def sweep(self, older_than: float) -> int:
        """Remove chunks of puts that never finished, last written ``older_than`` seconds ago; give how many puts."""
        subject = OBJ_ALL_CHUNKS_PRE_TEMPLATE.format(bucket=self._bucket)
        try:
            state = await jsapi.call(self._bus, f"STREAM.INFO.{self._stream}", {"subjects_filter": subject})
        except jsapi.JetStreamRefused:
            return 0  # there is no bucket yet
        known = {self._chunks(info.nuid) for info in (await self.names()).values()}
        swept = 0
        for orphan in set(state["state"].get("subjects") or ()) - known:
            last = await stored.last_message(self._bus, self._stream, orphan)
            now = datetime.now(UTC).timestamp()
            if last is not None and now - codec.nanoseconds(last["time"]) / 1e9 >= older_than:
                await self._purge(orphan)
                swept += 1
        return swept

    # --- one put --------------------------------------------------------------------------------------

    async def _put_once(self, name: str, source: Path | bytes) -> int:
        try:
            replaced = await self._info(name)
        except NotFound:
            replaced = None
        nuid = uuid4().hex
        try:
            size, chunks, digest = await self._put_chunks(nuid, source)
            info = BlobInfo(name, size, 0.0, nuid, chunks, digest)
            meta = write_info(self._bucket, info, datetime.now(UTC).isoformat())
            await self._store(self._meta(name), meta, {Header.ROLLUP.value: MSG_ROLLUP_SUBJECT})
        except BaseException:
            await self._withdraw(name, nuid)
            raise
        if replaced is not None:
            await self._purge(self._chunks(replaced.nuid))
        return size

    async def _put_chunks(self, nuid: str, source: Path | bytes) -> tuple[int, int, str]:
        digest, subject = hashlib.sha256(), self._chunks(nuid)
        size = chunks = 0

        def read(file: IO[bytes]) -> bytes:
            data = file.read(CHUNK_BYTES * _IN_FLIGHT)
            digest.update(data)
            return data

        file = io.BytesIO(source) if isinstance(source, bytes) else await asyncio.to_thread(source.open, "rb")
        with file:
            while data := await asyncio.to_thread(read, file):
                pieces = [data[at : at + CHUNK_BYTES] for at in range(0, len(data), CHUNK_BYTES)]
                # Tasks begin in order, and so the chunks go out in order. All are waited for, so that none
                # arrives after a purge.
                answers = await asyncio.gather(
                    *(self._store(subject, piece, None) for piece in pieces), return_exceptions=True
                )
                for problem in filter(None, answers):
                    raise problem
                size += len(data)
                chunks += len(pieces)
        return size, chunks, write_digest(digest)

    async def _store(self, subject: str, payload: bytes, headers: dict[str, str] | None) -> None:
        reply = await self._bus.request(subject, payload, headers, within=_ACK_WAIT)
        error = json.loads(reply.data).get("error")
        if error:
            raise jsapi.failure(subject, error)

    async def _withdraw(self, name: str, nuid: str) -> None:
        # The answer to the last message may have been lost: then the object is there, and stays whole.
        with suppress(Unavailable, NotFound):
            if (await self._info(name)).nuid == nuid:
                return
        with suppress(Unavailable):
            await self._purge(self._chunks(nuid))

    # --- the stream -----------------------------------------------------------------------------------

    async def _info(self, name: str) -> BlobInfo:
        message = await patiently(
            lambda: stored.last_message(self._bus, self._stream, self._meta(name)), _PATIENCE
        )
        if message is not None:
            info = read_info(b64decode(message["data"]), codec.nanoseconds(message["time"]))
            if info is not None:
                return info
        raise NotFound(f"There is no object {name} in {self._bucket}.")

    async def _chunk_batch(self, info: BlobInfo, seq: int) -> list[Msg]:
        body = {
            "seq": seq,
            "next_by_subj": self._chunks(info.nuid),
            "batch": _BATCH,
            "max_bytes": _BATCH_BYTES,
        }
        messages, _ = await patiently(lambda: stored.direct_get(self._bus, self._stream, body), _PATIENCE)
        return messages

    async def _purge(self, subject: str) -> None:
        with suppress(jsapi.JetStreamRefused):
            await jsapi.call(self._bus, f"STREAM.PURGE.{self._stream}", {"filter": subject})

    def _meta(self, name: str) -> str:
        return OBJ_META_PRE_TEMPLATE.format(
            bucket=self._bucket, obj=urlsafe_b64encode(name.encode()).decode()
        )

    def _chunks(self, nuid: str) -> str:
        return OBJ_CHUNKS_PRE_TEMPLATE.format(bucket=self._bucket, obj=nuid)
