"""Uploads that a process which was killed has begun: the next one on this node takes them back.

Parts without their end are no object and nobody sees them, but their bucket's owner pays for them. So a note
lies on disk while an upload goes on. A node that never comes back takes nothing back: a lifecycle rule
``AbortIncompleteMultipartUpload`` of the bucket does.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import ValidationError

from bacalhau_nats.clients.s3 import Place, S3Clients
from bacalhau_nats.clients.s3_errors import S3Failed, shown
from bacalhau_nats.domain.model import Model

if TYPE_CHECKING:
    from minio import Minio

log = logging.getLogger(__name__)
_PATIENCE = 15.0  # seconds for each: nothing is published meanwhile
_SUFFIX = ".upload"


class Note(Model):
    """What is being uploaded, and to where; no credentials."""

    bucket: str = ""
    key: str = ""
    endpoint: str = ""
    region: str = ""


@contextmanager
def noted(folder: Path, name: str, note: Note) -> Iterator[None]:
    """Keep a note in ``folder`` while something is uploaded. Raises OSError. Blocking, for microseconds."""
    path = folder / (name + _SUFFIX)
    folder.mkdir(parents=True, exist_ok=True)
    path.write_bytes(note.to_json())
    try:
        yield
    finally:
        path.unlink(missing_ok=True)


def read_notes(folder: Path) -> list[Note]:
    """Read what an earlier process was uploading, and clear the folder. Blocking."""
    notes = []
    for path in folder.iterdir() if folder.is_dir() else ():
        if path.name.endswith(_SUFFIX):
            try:
                notes.append(Note.model_validate_json(path.read_bytes()))
            except ValidationError:
                log.debug("%s was not written to its end", path)
        path.unlink()
    return notes


async def take_back(clients: S3Clients, notes: list[Note]) -> None:
    """End the uploads that ``notes`` are of. What cannot be reached now is left, with a warning."""
    for note in notes:
        place = shown(note.bucket, note.key, note.endpoint)
        try:
            async with (
                asyncio.timeout(_PATIENCE),
                clients.session(Place(note.endpoint, note.region)) as session,
            ):
                count = await session.run(note.bucket, note.key, partial(_abort, note))
        except (S3Failed, TimeoutError) as failed:
            log.warning(
                "an upload to %s that was broken off may have left parts there: %s",
                place,
                failed or "no answer in time",
            )
        else:
            log.info("took back %d uploads to %s", count, place, extra={"action": "upload_taken_back"})


def _abort(note: Note, client: Minio) -> int:
    # The library has both calls, for its own use; it offers no public one.
    found = client._list_multipart_uploads(note.bucket, prefix=note.key).uploads  # noqa: SLF001
    mine = [one for one in found if one.object_name == note.key]
    for one in mine:
        client._abort_multipart_upload(note.bucket, note.key, one.upload_id or "")  # noqa: SLF001
    return len(mine)
