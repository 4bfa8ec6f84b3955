"""Fetch the results of a job into a folder, so that doing it again is always safe.

Each archive goes to ``raw/<name>`` (see `download`). What was unpacked is compared with the digest on the
bus (see `proof`) and put together in a hidden folder beside the results first (see `merge`), so that a failure
leaves no half of them, and a `kill -9` no file that is not whole. A receipt (see `receipt`) makes a repeated
fetch find out that all is there. Results on IPFS are folders, not archives (see `ipfs_results`), and so are some in
buckets (see `s3_results`).
"""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from bacalhau_nats.client import ipfs_results, merge, proof, receipt, s3_results
from bacalhau_nats.client.download import Progress, Result, download
from bacalhau_nats.client.transport import Transport
from bacalhau_nats.domain.manifest import Entry, Manifest
from bacalhau_nats.errors import BadArchive, NotFound

_ARCHIVES = (".tar.gz", ".tgz")
_STAGE = ".bacalhau-get"


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the caller wants: where, which part (empty: all), packed or not, old files replaced or not.

    ``ipfs`` is the address of the IPFS node to fetch results on IPFS through, ``environ`` leads to AWS credentials
    for folders in buckets.
    """

    into: Path
    path: str = ""
    raw: bool = False
    replace: bool = False
    ipfs: str = ""
    environ: Mapping[str, str] = field(default_factory=dict)


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
        elif result.s3:
            await s3_results.must_have_credentials(wanted.environ, result.s3)
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
    if not result.is_folder:
        return await download(http, result, raw, on_progress)
    try:
        if result.s3:
            return await s3_results.fetch_folder(
                wanted.environ, result, result.s3, raw, path=wanted.path, on_progress=on_progress
            )
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


async def manifests(
    http: Transport, results: Sequence[Result], *, ipfs: str = "", environ: Mapping[str, str]
) -> dict[str, Manifest]:
    """Download results that have a digest and give the manifest of each by its execution; nothing is kept.

    ``ipfs`` and ``environ`` are as in `Wanted`. Raises BacalhauError when one is not what its node published.
    """
    sealed = [result for result in results if result.digest]
    with tempfile.TemporaryDirectory(prefix="bacalhau-") as folder:
        raw = Path(folder, "raw")
        await asyncio.to_thread(raw.mkdir)
        wanted = Wanted(Path(folder), ipfs=ipfs, environ=environ)
        obtained = [(one, await _obtain(http, one, raw, wanted, lambda _: None)) for one in sealed]
        there = [(result, file) for result, file in obtained if file is not None]
        parts = await unpacked(there, Path(folder, "unpacked"))
        return await asyncio.to_thread(proof.manifests, parts)


async def unpacked(there: Sequence[tuple[Result, Path]], stage: Path, path: str = "") -> list[merge.Part]:
    """Unpack each archive into its own folder below ``stage``. Raises BadArchive.

    Of results that are folders only ``path`` was fetched.
    """
    from bacalhau_nats.publishers.archive import unpack  # noqa: PLC0415 - tarfile is slow to load

    parts = []
    for number, (result, file) in enumerate(there):
        packed, folder = file.name.endswith(_ARCHIVES), result.is_folder
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
