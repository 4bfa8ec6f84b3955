"""The blocking part of an S3 input: list, read, check. Runs in threads; see `S3Session.run`."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bacalhau_nats.clients.s3_errors import S3Failed, shown
from bacalhau_nats.storage.s3_source import S3Object, S3Source

if TYPE_CHECKING:
    from minio import Minio

MOST_OBJECTS = 1_000_000
"""Objects that one input may list; each costs memory on the node."""

_CHUNK = 1024 * 1024
_PARTIAL = 206
_FOLDER_TYPE = "application/x-directory"
_CHECKSUM = "x-amz-checksum-sha256"
_ASK_CHECKSUM: dict[str, str | list[str] | tuple[str]] = {"x-amz-checksum-mode": "ENABLED"}


def find(client: Minio, wanted: S3Source) -> list[S3Object]:
    """List the objects that ``wanted`` names, in the order of their keys."""
    if wanted.names_object:
        seen = _look_at(client, wanted)
        if not (seen.content_type or "").startswith(_FOLDER_TYPE):
            return [S3Object(wanted.key.strip(), seen.size or 0, seen.etag or "", wanted.version_id)]
    found: list[S3Object] = []
    for one in client.list_objects(wanted.bucket, prefix=wanted.prefix, recursive=True):
        if wanted.wants(one.object_name):
            found.append(S3Object(one.object_name, one.size or 0, (one.etag or "").strip('"')))
            if len(found) > MOST_OBJECTS:
                raise S3Failed(
                    f"{shown(wanted.bucket, wanted.key)} has more than {MOST_OBJECTS:,} objects",
                    hint="name fewer with Key or Filter",
                )
    return found


class Download:
    """One object on its way to ``path``. `go_on` may be called again after it has failed."""

    def __init__(self, bucket: str, wanted: S3Object, path: Path) -> None:
        self._bucket = bucket
        self._object = wanted
        self._path = path
        self.done = 0

    def go_on(self, client: Minio) -> None:
        """Read what is missing. Without an entity tag nothing proves that it is still the same: from the start."""
        one = self._object
        if not one.etag:
            self.done = 0
        self._path.parent.mkdir(parents=True, exist_ok=True)
        response = client.get_object(
            self._bucket,
            one.key,
            offset=self.done,
            request_headers={"If-Match": f'"{one.etag}"'} if one.etag else None,
            version_id=one.version or None,
        )
        try:
            if response.status != _PARTIAL:
                self.done = 0
            with self._path.open("r+b" if self.done else "wb", buffering=0) as out:
                out.seek(self.done)
                while chunk := response.read(_CHUNK, decode_content=False):
                    self._count(len(chunk))
                    out.write(chunk)
        except BaseException:
            response.close()
            raise
        finally:
            response.release_conn()
        if self.done != one.size:
            raise self._wrong(f"{self.done} bytes, not")

    def _count(self, size: int) -> None:
        self.done += size
        if self.done > self._object.size:
            raise self._wrong("more than")

    def _wrong(self, amount: str) -> S3Failed:
        """Say that it has another size than it was listed with: it was changed, and is read from the start."""
        self.done = 0
        one = self._object
        return S3Failed(
            f"{shown(self._bucket, one.key)}: there came {amount} the {one.size} bytes that were listed",
            again=True,
        )


def verify(client: Minio, wanted: S3Source, path: Path) -> None:
    """Compare a file with the ``ChecksumSHA256`` of its input. Raises S3Failed when they differ.

    A checksum of parts (``…-3``) can only be compared with what the service says of the object.
    """
    expected = wanted.checksum_sha256
    if "-" in expected:
        seen = _look_at(client, wanted)
        found = str((seen.metadata or {}).get(_CHECKSUM, "")) or "none that the service knows"
    else:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").digest()
        found = base64.b64encode(digest).decode()
    if found != expected:
        raise S3Failed(
            f"{shown(wanted.bucket, wanted.key)}: its content has the SHA-256 checksum {found}, not {expected}",
            hint="check VersionID and ChecksumSHA256 (base64)",
        )


def _look_at(client: Minio, wanted: S3Source) -> Any:
    """Ask for an object's size and tag. An answer to HEAD has no text, so GET is asked for the cause of a failure."""
    from minio.error import S3Error  # noqa: PLC0415 - loaded already

    key, version = wanted.key.strip(), wanted.version_id or None
    asked = dict(_ASK_CHECKSUM) if wanted.checksum_sha256 else None
    try:
        return client.stat_object(wanted.bucket, key, version_id=version, extra_headers=asked)
    except S3Error:
        response = client.get_object(wanted.bucket, key, length=1, version_id=version)
        response.close()
        raise
