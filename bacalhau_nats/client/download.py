"""One result into one file, going on where an earlier try broke off.

The bytes go to ``<name>.part``, which is renamed when it is whole. A broken download goes on behind what is
there when the server proves that it is still the same file (``If-Range`` with a strong entity tag, kept in
``<name>.part.tag``), and starts anew otherwise.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urljoin, urlsplit

from bacalhau_nats.client.transport import BrokenOff, Transport, error_of
from bacalhau_nats.errors import BacalhauError

_UNSAFE = re.compile(r'[/\\:*?"<>|]')
_PARTIAL, _NOT_SATISFIABLE = 206, 416
_TRIES = 3


class Progress(NamedTuple):
    """How far the download of one result is, in bytes; ``total`` 0 means unknown."""

    name: str
    done: int
    total: int


class S3Folder(NamedTuple):
    """A folder in a bucket; ``key`` ends in a slash. An empty place is what the environment says."""

    bucket: str
    key: str
    region: str = ""
    endpoint: str = ""


@dataclass(frozen=True, slots=True)
class Result:
    """One result: whose it is, and where it can be had."""

    owner: str  # the execution's short id, or the file's name where that is unknown
    url: str
    size: int = 0
    sha256: str = ""
    digest: str = ""  # of the manifest in it, as its node reported it
    execution: str = ""
    cid: str = ""  # of a folder on IPFS; then there is no url
    s3: S3Folder | None = None  # the same

    @property
    def is_folder(self) -> bool:
        """Say whether it is fetched file by file, and not as an archive."""
        return bool(self.cid or self.s3)

    @property
    def shown(self) -> str:
        """The address for people: what follows a question mark may be as good as a key."""
        return self.url.partition("?")[0]

    @property
    def name(self) -> str:
        """The file's name below ``raw``: the address with everything unusual replaced."""
        parts = urlsplit(self.url)
        return _UNSAFE.sub("_", f"{parts.netloc}{parts.path}")


async def download(
    http: Transport, result: Result, raw: Path, on_progress: Callable[[Progress], None]
) -> Path:
    """Download ``result`` into the folder ``raw`` and give its file; what is there already is taken as it is.

    Raises BrokenOff after some tries, BacalhauError when its size or SHA-256 is not the one announced.
    """
    target = raw / result.name
    if not target.exists():
        part = raw / f"{result.name}.part"
        for left in reversed(range(_TRIES)):
            try:
                await _fill(http, result, part, on_progress)
                break
            except BrokenOff:
                if not left:
                    raise
        await asyncio.to_thread(_verify, part, result)
        part.replace(target)
        _tag(part).unlink(missing_ok=True)
    size = target.stat().st_size
    on_progress(Progress(result.owner, size, size))
    return target


async def _fill(http: Transport, result: Result, part: Path, on_progress: Callable[[Progress], None]) -> None:
    """Download into ``part``, going on behind what it holds where the server can prove it is the same."""
    have, tag = _already(part)
    headers = {"Range": f"bytes={have}-", "If-Range": tag} if have else {}
    async with http.stream(urljoin(f"{http.base_url}/", result.url), headers) as response:
        if response.status_code == _NOT_SATISFIABLE:
            _tag(part).unlink()
            raise BrokenOff(f"{result.shown} cannot be continued")
        if not response.is_success:
            raise error_of(response.status_code, await response.aread())
        if response.status_code != _PARTIAL:
            have = 0
            _tag(part).write_text(_validator(response.headers))
        total = have + int(response.headers.get("Content-Length") or 0)
        with part.open("ab" if have else "wb") as out:
            async for chunk in response.aiter_bytes():
                await asyncio.to_thread(out.write, chunk)
                have += len(chunk)
                on_progress(Progress(result.owner, have, total or result.size))


def _already(part: Path) -> tuple[int, str]:
    """How many bytes an earlier try left, and what proves that they are of the same file."""
    tag = _tag(part).read_text() if _tag(part).exists() else ""
    return (part.stat().st_size if part.exists() and tag else 0), tag


def _validator(headers: Any) -> str:
    """What proves later that a file is still the same: a strong entity tag, or nothing."""
    tag = str(headers.get("ETag") or "")
    return "" if tag.startswith("W/") else tag


def _tag(part: Path) -> Path:
    return part.with_name(f"{part.name}.tag")


def _verify(part: Path, result: Result) -> None:
    size = part.stat().st_size
    wrong = f"{size} bytes instead of {result.size}" if result.size and size != result.size else ""
    if not wrong and result.sha256:
        with part.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        wrong = f"SHA-256 {digest} instead of {result.sha256}" if digest != result.sha256 else ""
    if wrong:
        part.unlink()
        _tag(part).unlink(missing_ok=True)
        raise BacalhauError(
            f"what {result.shown} gave is damaged: {wrong}", hint="it was thrown away; run the command again"
        )
