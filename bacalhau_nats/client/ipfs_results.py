"""Results on IPFS, by CID, through the IPFS node that the caller names."""

from __future__ import annotations

import asyncio
import re
import shutil
from collections.abc import Callable
from pathlib import Path, PurePosixPath

from bacalhau_nats.clients.ipfs_address import Endpoint, parse_endpoint
from bacalhau_nats.errors import InvalidSettings, NotFound, UserError

SETTING = "ResultDownloaders.Types.IPFS.Endpoint"
_LOOK_LIMIT = 120.0
_IDLE_LIMIT = 60.0
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
    endpoint: Endpoint, cid: str, raw: Path, *, path: str = "", on_progress: Callable[[int, int], None]
) -> Path:
    """Fetch the folder ``cid``, or only ``path`` of it with its parents, to a folder in ``raw``; give that.

    It is there whole or not at all; what is there already is not fetched again. ``on_progress`` is told the bytes
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
    content = await IPFSNode(endpoint).look_up(f"{cid}/{wanted}" if path else cid, _LOOK_LIMIT)
    done = 0

    def on_bytes(size: int) -> None:
        nonlocal done
        done += size
        on_progress(min(done, content.size), content.size)

    draft = raw / f"{target.name}.part"
    await asyncio.to_thread(shutil.rmtree, draft, ignore_errors=True)
    got = await fetch(
        endpoint,
        content.cid,
        draft / "content",
        RESULT_LIMITS,
        idle=_IDLE_LIMIT,
        keep_links=False,
        on_bytes=on_bytes,
    )
    await asyncio.to_thread(_place, got, draft, wanted, target)
    on_progress(content.size, content.size)
    return target


def _place(got: Path, draft: Path, wanted: PurePosixPath, target: Path) -> None:
    tree = draft / "tree"
    (tree / wanted).parent.mkdir(parents=True, exist_ok=True)
    got.rename(tree / wanted)
    tree.rename(target)
    shutil.rmtree(draft)
