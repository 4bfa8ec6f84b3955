"""Fetch the results of a job into a folder, so that doing it again is always safe.

Each archive goes to ``raw/<name>`` (see `download`). What was unpacked is compared with the digest on the
bus (see `proof`) and put together in a hidden folder beside the results first (see `merge`), so that a failure
leaves no half of them, and a `kill -9` no file that is not whole. A receipt (see `receipt`) makes a repeated
fetch find out that all is there. Results on IPFS are folders, not archives (see `ipfs_results`).
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bacalhau_nats.client import ipfs_results, merge, proof, receipt
from bacalhau_nats.client.download import Progress, Result, download
from bacalhau_nats.client.transport import Transport
from bacalhau_nats.client.wire import Execution, PublishedResult
from bacalhau_nats.domain.ids import short
from bacalhau_nats.domain.manifest import Entry, Manifest
from bacalhau_nats.errors import BadArchive, NotFound, UserError

_EXECUTION = re.compile(r"e-[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_ADDRESS = {"urldownload": "url", "s3presigned": "presignedurl"}
_ARCHIVES = (".tar.gz", ".tgz")
_HEX = re.compile(r"[0-9a-fA-F]{64}")
_STAGE = ".bacalhau-get"


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the caller wants: where, which part (empty: all), packed or not, old files replaced or not.

    ``ipfs`` is the address of the IPFS node to fetch results on IPFS through.
    """

    into: Path
    path: str = ""
    raw: bool = False
    replace: bool = False
    ipfs: str = ""


@dataclass(frozen=True, slots=True)
class Downloaded:
    """What was done.

    ``fetched`` and ``verified`` count results: those that were not there already, and those that are proven to
    be what their nodes published. ``clashes`` are files that several executions have; each is kept in its own
    folder. ``left`` are files of an earlier fetch that the results do not have any more.
    """

    into: Path
    results: int = 0
    files: int = 0
    clashes: tuple[str, ...] = ()
    fetched: int = 0
    verified: int = 0
    left: tuple[str, ...] = ()


def order(items: Sequence[PublishedResult], executions: Iterable[Execution]) -> list[Result]:
    """Turn result specs into results, in the order of their partitions.

    Raises UserError when one has a type that cannot be downloaded from here.
    """
    partition = {e.get("ID", ""): e.get("PartitionIndex", 0) for e in executions}
    found: list[tuple[int, int, Result]] = []
    for index, item in enumerate(items):
        params = {key.lower(): value for key, value in (item.get("Params") or {}).items()}
        kind = item.get("Type", "").strip()
        url = str(params.get(_ADDRESS.get(kind.lower(), ""), "") or "")
        cid = str(params.get("cid") or "") if kind.lower() == "ipfs" else ""
        if not url and not cid:
            raise UserError(
                f"results of type {kind!r} cannot be downloaded by this command",
                hint=_where_else(kind, params),
            )
        match = _EXECUTION.search(str(item.get("ExecutionID") or params.get("executionid") or url))
        owner = match.group() if match else ""
        result = Result(
            owner=short(owner) or f"result-{index + 1}",
            url=url,
            size=_whole(params.get("size")),
            sha256=_digest(str(params.get("sha256") or _of_source(params, "ChecksumSHA256"))),
            digest=str((item.get("ResultDigest") or {}).get("Manifest", "")),
            execution=owner,
            cid=cid,
        )
        found.append((partition.get(owner, 0), index, result))
    return [result for _, _, result in sorted(found, key=lambda entry: entry[:2])]


async def fetch(
    http: Transport, results: Sequence[Result], wanted: Wanted, on_progress: Callable[[Progress], None]
) -> Downloaded:
    """Download ``results`` and put them together in ``wanted.into``, which is made when it is missing.

    With ``raw`` the archives stay packed below ``raw/``. With ``path`` only that file or folder is kept.
    Raises NotFound when no result has ``path``, Conflict when a file is in the way that is neither the same nor
    of an earlier fetch (and ``replace`` is off), BacalhauError when what was downloaded is not what was
    published; what was there before stays as it was then.
    """
    if not results:
        return Downloaded(wanted.into)
    for result in results:
        if result.cid:
            ipfs_results.endpoint_of(wanted.ipfs, result.cid)  # refuse before anything is made
    made = not wanted.into.exists()
    await asyncio.to_thread(wanted.into.mkdir, parents=True, exist_ok=True)
    try:
        return await _fetch(http, results, wanted, on_progress)
    except BaseException:
        with suppress(OSError):  # what is not empty stays: a download goes on from there
            (wanted.into / "raw").rmdir()
            if made:
                wanted.into.rmdir()
        raise


async def _fetch(
    http: Transport, results: Sequence[Result], wanted: Wanted, on_progress: Callable[[Progress], None]
) -> Downloaded:
    with receipt.only_fetch(wanted.into):
        before = await asyncio.to_thread(receipt.read, wanted.into)
        digests = {result.owner: result.digest for result in results}
        if not wanted.raw and await asyncio.to_thread(before.covers, wanted.into, wanted.path, digests):
            files = len(before.fetches[wanted.path].files)
            return Downloaded(wanted.into, len(results), files, verified=len(results))
        raw = wanted.into / "raw"
        await asyncio.to_thread(raw.mkdir, exist_ok=True)
        obtained = [await _obtain(http, result, raw, wanted, on_progress) for result in results]
        there = [(result, file) for result, file in zip(results, obtained, strict=True) if file is not None]
        if not there:
            raise NotFound(f"no result has {wanted.path!r}", hint="see what there is: fetch all of it")
        merged = await _put_together(there, wanted, before)
        if not wanted.raw:
            await asyncio.to_thread(shutil.rmtree, raw)
        return merged


async def _obtain(
    http: Transport, result: Result, raw: Path, wanted: Wanted, on_progress: Callable[[Progress], None]
) -> Path | None:
    """Bring a result to ``raw``; None when it does not have the path that is wanted, as far as is known."""
    if not result.cid:
        return await download(http, result, raw, on_progress)
    try:
        return await ipfs_results.fetch_cid(
            ipfs_results.endpoint_of(wanted.ipfs, result.cid),
            result.cid,
            raw,
            path=wanted.path,
            sealed=bool(result.digest),
            on_progress=lambda done, total: on_progress(Progress(result.owner, done, total)),
        )
    except NotFound:
        return None


async def manifests(http: Transport, results: Sequence[Result], *, ipfs: str = "") -> dict[str, Manifest]:
    """Download results that have a digest and give the manifest of each by its execution; nothing is kept.

    ``ipfs`` is the address of an IPFS node, for results that are on IPFS. Raises BacalhauError when one is not
    what its node published.
    """
    sealed = [result for result in results if result.digest]
    with tempfile.TemporaryDirectory(prefix="bacalhau-") as folder:
        raw = Path(folder, "raw")
        await asyncio.to_thread(raw.mkdir)
        wanted = Wanted(Path(folder), ipfs=ipfs)
        obtained = [(one, await _obtain(http, one, raw, wanted, lambda _: None)) for one in sealed]
        there = [(result, file) for result, file in obtained if file is not None]
        parts = await unpacked(there, Path(folder, "unpacked"))
        return await asyncio.to_thread(proof.manifests, parts)


async def unpacked(there: Sequence[tuple[Result, Path]], stage: Path, path: str = "") -> list[merge.Part]:
    """Unpack each archive into its own folder below ``stage``. Raises BadArchive.

    Of results on IPFS only ``path`` was fetched.
    """
    from bacalhau_nats.publishers.archive import unpack  # noqa: PLC0415 - tarfile is slow to load

    parts = []
    for number, (result, file) in enumerate(there):
        packed, folder = file.name.endswith(_ARCHIVES), bool(result.cid)
        digest = result.digest if packed or folder else ""  # a single file has no manifest beside it
        only = path if folder else ""
        part = merge.Part(result.owner, stage / str(number), file, digest, result.execution, only)
        await asyncio.to_thread(part.folder.mkdir, parents=True)
        if packed:
            try:
                await unpack(part.file, part.folder)
            except BadArchive:
                part.file.unlink()  # the next try fetches it anew
                raise
        elif folder:
            await asyncio.to_thread(
                shutil.copytree, file, part.folder, copy_function=os.link, dirs_exist_ok=True
            )
        else:
            await asyncio.to_thread(shutil.copyfile, part.file, part.folder / part.file.name)
        parts.append(part)
    return parts


async def _put_together(
    there: Sequence[tuple[Result, Path]], wanted: Wanted, before: receipt.Receipt
) -> Downloaded:
    stage = wanted.into / _STAGE
    await asyncio.to_thread(shutil.rmtree, stage, ignore_errors=True)
    try:
        parts = await unpacked(there, stage, wanted.path)
        proven = await asyncio.to_thread(proof.prove, parts)
        if not wanted.raw:
            return await asyncio.to_thread(_merge, parts, stage, wanted, before, proven)
        verified = sum(bool(part.digest) for part in parts)
        return Downloaded(wanted.into, len(parts), len(parts), fetched=len(parts), verified=verified)
    finally:
        await asyncio.to_thread(shutil.rmtree, stage, ignore_errors=True)


def _merge(
    parts: Sequence[merge.Part],
    stage: Path,
    wanted: Wanted,
    before: receipt.Receipt,
    proven: Mapping[Path, Entry],
) -> Downloaded:
    plan = merge.plan(parts, only=wanted.path)
    files = merge.carry_out(
        plan,
        stage / "merged",
        wanted.into,
        may_replace=lambda name: wanted.replace or before.wrote(wanted.into, name),
        known=proven,
    )
    fetched = receipt.Fetched({part.owner: part.digest for part in parts}, files)
    left = before.left_over(wanted.into, wanted.path, files)
    if not wanted.path or before.fetches:  # who wants one file wants no other beside it
        receipt.write(wanted.into, before.and_also(wanted.path, fetched))
    return Downloaded(
        wanted.into,
        results=len(parts),
        files=len(files),
        clashes=plan.clashes,
        fetched=len(parts),
        verified=sum(bool(part.digest) for part in parts),
        left=left,
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
