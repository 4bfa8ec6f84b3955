"""Results on IPFS, by CID, through the IPFS node that the caller names."""

from __future__ import annotations

import asyncio
import re
import shutil
from collections.abc import Callable
from pathlib import Path, PurePosixPath

from bacalhau_nats.clients.ipfs_address import Endpoint, parse_endpoint
from bacalhau_nats.domain.manifest import MANIFEST
from bacalhau_nats.errors import InvalidSettings, NotFound, UserError

SETTING = "ResultDownloaders.Types.IPFS.Endpoint"
_LOOK_LIMIT = 120.0
_IDLE_LIMIT = 60.0
_ALL = PurePosixPath()
_UNSAFE = re.compile(r"[^A-Za-z0-9._-]")


def endpoint_of(text: str, cid: str) -> Endpoint:
    """Read the address of the IPFS node. Raises UserError when there is none, or none that can be used."""
    if not text:
        raise UserError(
            f"the results are on IPFS, at {cid}, and no IPFS node is named to fetch them through",
            hint=f"name one: --ipfs-connect /ip4/127.0.0.1/tcp/5001, or for good: {SETTING} in the configuration",
        )
    try:
        return parse_endpoint(text)
    except ValueError as error:
        raise InvalidSettings(f"{SETTING}: {error}") from None


async def fetch_cid(
    endpoint: Endpoint,
    cid: str,
    raw: Path,
    *,
    path: str = "",
    sealed: bool = False,
    on_progress: Callable[[int, int], None],
) -> Path:
    """Fetch the folder ``cid``, or only ``path`` of it with its parents, to a folder in ``raw``; give that.

    With a ``path`` of a ``sealed`` result its manifest comes along, so that the part can be proven. It is there whole or not at all; what is there already is not fetched again. ``on_progress`` is told the bytes
    so far and in all. Raises NotFound for a path that is not in it, NobodyHas, Unavailable and BadArchive.
    """
    from bacalhau_nats.clients.ipfs import IPFSNode  # noqa: PLC0415 - for those who have results on IPFS
    from bacalhau_nats.clients.ipfs_download import fetch  # noqa: PLC0415 - the same
    from bacalhau_nats.publishers.archive import RESULT_LIMITS  # noqa: PLC0415 - tarfile is slow to load

    wanted = PurePosixPath(path.strip("/"))
    if ".." in wanted.parts:
        raise NotFound(f"no result has {path!r}")
    target = raw / (_UNSAFE.sub("_", f"{cid}/{wanted}") if path else cid)
    if await asyncio.to_thread(target.exists):
        return target
    node = IPFSNode(endpoint)
    parts = {
        part: await node.look_up(f"{cid}/{part}" if path else cid, _LOOK_LIMIT)
        for part in _parts(wanted, sealed)
    }
    total, done = sum(content.size for content in parts.values()), 0

    def on_bytes(size: int) -> None:
        nonlocal done
        done += size
        on_progress(min(done, total), total)

    draft = raw / f"{target.name}.part"
    await asyncio.to_thread(shutil.rmtree, draft, ignore_errors=True)
    for number, (part, content) in enumerate(parts.items()):
        got = await fetch(
            endpoint,
            content.cid,
            draft / f"content-{number}",
            RESULT_LIMITS,
            idle=_IDLE_LIMIT,
            keep_links=False,
            on_bytes=on_bytes,
        )
        await asyncio.to_thread(_place, got, draft / "tree" / part)
    await asyncio.to_thread((draft / "tree").rename, target)
    await asyncio.to_thread(shutil.rmtree, draft)
    on_progress(total, total)
    return target


def _parts(wanted: PurePosixPath, sealed: bool) -> tuple[PurePosixPath, ...]:
    """Say what is fetched: all, or what is wanted and the manifest that proves it."""
    manifest = PurePosixPath(MANIFEST)
    return (wanted, manifest) if sealed and wanted not in (_ALL, manifest) else (wanted,)


def _place(got: Path, place: Path) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    got.rename(place)
