"""How an object is written down in a NATS object store (ADR-20). Pure."""

from __future__ import annotations

import hashlib
import json
from base64 import urlsafe_b64encode
from dataclasses import dataclass

from nats.js.object_store import OBJ_DIGEST_TYPE

CHUNK_BYTES = 128 * 1024


@dataclass(frozen=True, slots=True)
class BlobInfo:
    """What is known of an object without reading it; ``mtime`` in seconds since the epoch, the server's clock."""

    name: str
    size: int
    mtime: float
    nuid: str
    chunks: int
    digest: str


def read_info(payload: bytes, nanoseconds: int) -> BlobInfo | None:
    """Read the message that makes an object; None when another client marked it as deleted."""
    meta = json.loads(payload)
    if meta.get("deleted"):
        return None
    return BlobInfo(
        name=meta["name"],
        size=int(meta.get("size", 0)),
        mtime=nanoseconds / 1e9,
        nuid=meta["nuid"],
        chunks=int(meta.get("chunks", 0)),
        digest=meta.get("digest", ""),
    )


def write_info(bucket: str, info: BlobInfo, mtime: str) -> bytes:
    """Write it; ``mtime`` as ISO 8601, for people (readers take the message's own time)."""
    meta = {
        "name": info.name,
        "bucket": bucket,
        "nuid": info.nuid,
        "size": info.size,
        "chunks": info.chunks,
        "digest": info.digest,
        "mtime": mtime,
        "options": {"max_chunk_size": CHUNK_BYTES},
    }
    return json.dumps(meta).encode()


def write_digest(digest: hashlib._Hash) -> str:
    """Write a SHA-256."""
    return OBJ_DIGEST_TYPE + urlsafe_b64encode(digest.digest()).decode()
