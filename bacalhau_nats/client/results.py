"""Fetch the results of a job into a folder, so that doing it again is always safe.

Each archive goes to ``raw/<name>.part`` and is renamed when it is whole; an interrupted download goes on
where it stopped when the server says it is still the same file (``If-Range``), and starts anew otherwise.
Size and SHA-256 are checked where the result names them. What was unpacked is put together in a hidden
folder beside the results first (see `merge`), so that a failure leaves no half of them.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import re
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urljoin, urlsplit

from bacalhau_nats.client import merge
from bacalhau_nats.client.transport import BrokenOff, Transport, error_of
from bacalhau_nats.client.wire import Execution, SpecConfig
from bacalhau_nats.domain.ids import short
from bacalhau_nats.errors import BacalhauError, UserError

_UNSAFE = re.compile(r'[/\\:*?"<>|]')
_EXECUTION = re.compile(r"e-[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_ADDRESS = {"urldownload": "url", "s3presigned": "presignedurl"}
_ARCHIVES = (".tar.gz", ".tgz")
_PARTIAL, _NOT_SATISFIABLE = 206, 416
_TRIES = 3
_HEX = re.compile(r"[0-9a-fA-F]{64}")
_STAGE = ".bacalhau-get"


class Progress(NamedTuple):
    """How far the download of one result is, in bytes; ``total`` 0 means unknown."""

    name: str
    done: int
    total: int


@dataclass(frozen=True, slots=True)
class Result:
    """One result: whose it is, and where it can be had."""

    owner: str  # the execution's short id, or the file's name where that is unknown
    url: str
    size: int = 0
    sha256: str = ""

    @property
    def shown(self) -> str:
        """The address for people: what follows a question mark may be as good as a key."""
        return self.url.partition("?")[0]

    @property
    def name(self) -> str:
        """The file's name below ``raw``: the address with everything unusual replaced."""
        parts = urlsplit(self.url)
        return _UNSAFE.sub("_", f"{parts.netloc}{parts.path}")


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the caller wants: where, which part (empty: all), packed or not, old files replaced or not."""

    into: Path
    path: str = ""
    raw: bool = False
    replace: bool = False


@dataclass(frozen=True, slots=True)
class Downloaded:
    """What was done. ``clashes`` are files that several executions have; each is kept in its own folder."""

    into: Path
    results: int = 0
    files: int = 0
    clashes: tuple[str, ...] = field(default=())


def order(items: Sequence[SpecConfig], executions: Iterable[Execution]) -> list[Result]:
    """Turn result specs into results, in the order of their partitions.

    Raises UserError when one has a type that cannot be downloaded from here.
    """
    partition = {e.get("ID", ""): e.get("PartitionIndex", 0) for e in executions}
    found: list[tuple[int, int, Result]] = []
    for index, item in enumerate(items):
        params = {key.lower(): value for key, value in (item.get("Params") or {}).items()}
        kind = item.get("Type", "").strip()
        url = str(params.get(_ADDRESS.get(kind.lower(), ""), "") or "")
        if not url:
            raise UserError(
                f"results of type {kind!r} cannot be downloaded by this command",
                hint=_where_else(kind, params),
            )
        match = _EXECUTION.search(str(params.get("executionid") or url))
        owner = match.group() if match else ""
        result = Result(
            owner=short(owner) or f"result-{index + 1}",
            url=url,
            size=_whole(params.get("size")),
            sha256=_digest(str(params.get("sha256") or _of_source(params, "ChecksumSHA256"))),
        )
        found.append((partition.get(owner, 0), index, result))
    return [result for _, _, result in sorted(found, key=lambda entry: entry[:2])]


async def fetch(
    http: Transport, results: Sequence[Result], wanted: Wanted, on_progress: Callable[[Progress], None]
) -> Downloaded:
    """Download ``results`` and put them together in ``wanted.into``, which is made when it is missing.

    With ``raw`` the archives stay packed below ``raw/``. With ``path`` only that file or folder is kept.
    Raises NotFound when no result has ``path``, Conflict when a different file is in the way and
    ``replace`` is off, BacalhauError when a download does not match its size or checksum.
    """
    if not results:
        return Downloaded(wanted.into)
    raw = wanted.into / "raw"
    await asyncio.to_thread(raw.mkdir, parents=True, exist_ok=True)
    files = [await _download(http, result, raw, on_progress) for result in results]
    if wanted.raw:
        return Downloaded(wanted.into, results=len(files), files=len(files))
    merged = await _put_together(results, files, wanted)
    await asyncio.to_thread(shutil.rmtree, raw)
    return merged


async def _put_together(results: Sequence[Result], files: Sequence[Path], wanted: Wanted) -> Downloaded:
    from bacalhau_nats.publishers.archive import unpack  # noqa: PLC0415 - tarfile is slow to load

    stage = wanted.into / _STAGE
    await asyncio.to_thread(shutil.rmtree, stage, ignore_errors=True)
    try:
        parts = [
            merge.Part(result.owner, stage / str(number), file)
            for number, (result, file) in enumerate(zip(results, files, strict=True))
        ]
        for part in parts:
            await asyncio.to_thread(part.folder.mkdir, parents=True)
            if part.file.name.endswith(_ARCHIVES):
                await unpack(part.file, part.folder)
            else:
                await asyncio.to_thread(shutil.copyfile, part.file, part.folder / part.file.name)
        plan = await asyncio.to_thread(merge.plan, parts, only=wanted.path)
        await asyncio.to_thread(merge.carry_out, plan, stage / "merged", wanted.into, replace=wanted.replace)
    finally:
        await asyncio.to_thread(shutil.rmtree, stage, ignore_errors=True)
    return Downloaded(wanted.into, results=len(parts), files=len(plan.files), clashes=plan.clashes)


async def _download(
    http: Transport, result: Result, raw: Path, on_progress: Callable[[Progress], None]
) -> Path:
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


def _where_else(kind: str, params: Mapping[str, Any]) -> str:
    """Say how to come by results that are not for us."""
    if kind.lower() == "s3" and params.get("bucket"):
        at = f" at {params['endpoint']}" if params.get("endpoint") else ""
        return (
            f"they are in s3://{params['bucket']}/{params.get('key', '')}{at}: fetch an archive (.tar.gz) with AWS "
            "credentials in your environment, a folder with any S3 client"
        )
    return f"they are at {dict(params)}" if params else "read them with 'bacalhau job logs'"


def _of_source(params: Mapping[str, Any], name: str) -> str:
    """Look into what a signed result says of the object that it is of."""
    source = params.get("sourcespec")
    return str(source.get(name) or "") if isinstance(source, Mapping) else ""


def _digest(text: str) -> str:
    """Give a SHA-256 in hex; S3 writes it in base64. Empty for what is none, such as that of an upload's parts."""
    if _HEX.fullmatch(text):
        return text.lower()
    try:
        digest = base64.b64decode(text, validate=True)
    except ValueError:
        return ""
    return digest.hex() if len(digest) == hashlib.sha256().digest_size else ""


def _whole(value: Any) -> int:
    try:
        return int(value or 0)
    except (TypeError, ValueError):
        return 0
