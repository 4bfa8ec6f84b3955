"""Results that are folders in S3 buckets, object by object, with the caller's own AWS credentials."""

from __future__ import annotations

import asyncio
import hashlib
import re
import shutil
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from bacalhau_nats.client.download import Progress, Result, S3Folder
from bacalhau_nats.domain.manifest import MANIFEST
from bacalhau_nats.errors import BacalhauError, NotFound, UserError

if TYPE_CHECKING:
    from bacalhau_nats.clients.s3 import S3Clients

_IDLE_LIMIT = 60.0
_CHECK = "check the AWS credentials in your environment, and whether they may list and read what is there"


async def must_have_credentials(environ: Mapping[str, str], folder: S3Folder) -> None:
    """Raise UserError unless ``environ`` leads to AWS credentials."""
    async with _clients(environ) as clients:
        why = await clients.why_not()
    if why:
        at = f" at {folder.endpoint}" if folder.endpoint else ""
        raise UserError(
            f"the results are in s3://{folder.bucket}/{folder.key}{at}, and cannot be fetched: {why}",
            hint="fetch them with AWS credentials in your environment, or with any S3 client",
        )


async def fetch_folder(
    environ: Mapping[str, str],
    result: Result,
    folder: S3Folder,
    raw: Path,
    *,
    path: str = "",
    on_progress: Callable[[Progress], None],
) -> Path:
    """Fetch the objects of ``folder``, or only ``path`` below it, to a folder in ``raw``; give that.

    With a ``path`` of a sealed result its manifest comes along, so that the part can be proven. It is there whole or
    not at all; what is there already is not fetched again. Raises NotFound for a path that is not in it, and
    BacalhauError for what cannot be read, or has a name that leads out of the folder.
    """
    from bacalhau_nats.domain.spec import SpecConfig  # noqa: PLC0415 - few results are so
    from bacalhau_nats.ports import WorkFailed  # noqa: PLC0415 - the same
    from bacalhau_nats.storage.s3 import S3Settings, S3Storage  # noqa: PLC0415 - the same

    only = PurePosixPath(path.strip("/"))
    target = raw / _name(result, path)
    if await asyncio.to_thread(target.exists):
        return target
    wanted = {**folder._asdict(), "filter": _filter(only, sealed=bool(result.digest)) if path else ""}
    draft = raw / f"{target.name}.part"
    await asyncio.to_thread(shutil.rmtree, draft, ignore_errors=True)
    on_progress(Progress(result.owner, 0, 0))
    try:
        async with _clients(environ) as clients:
            storage = S3Storage(clients, S3Settings(read_timeout=_IDLE_LIMIT))
            await storage.fetch(SpecConfig(type="s3", params=wanted), "/", draft, _Silent())
        await asyncio.to_thread(_must_have, draft, only, f"s3://{folder.bucket}/{folder.key}")
        await asyncio.to_thread(draft.rename, target)
    except WorkFailed as error:
        raise BacalhauError(error.failure.message, hint=_CHECK) from error
    finally:
        await asyncio.to_thread(shutil.rmtree, draft, ignore_errors=True)
    size = await asyncio.to_thread(_size, target)
    on_progress(Progress(result.owner, size, size))
    return target


class _Silent:
    """Nobody reads along."""

    async def write(self, stream: object, data: bytes) -> None: ...

    async def event(self, message: str) -> None: ...


@asynccontextmanager
async def _clients(environ: Mapping[str, str]) -> AsyncIterator[S3Clients]:
    from bacalhau_nats.clients.denied import DeniedNetworks  # noqa: PLC0415 - few results are so
    from bacalhau_nats.clients.s3 import S3Clients  # noqa: PLC0415 - the same

    clients = S3Clients(environ, DeniedNetworks(), read_timeout=_IDLE_LIMIT)
    try:
        yield clients
    finally:
        clients.close()


def _filter(only: PurePosixPath, *, sealed: bool) -> str:
    """Give the expression for the file or the folder ``only``, and for the manifest that proves it."""
    manifest = f"|{re.escape(MANIFEST)}" if sealed else ""
    return f"(?s)^(?:{re.escape(str(only))}(?:/.*)?{manifest})$"


def _must_have(fetched: Path, only: PurePosixPath, where: str) -> None:
    if not any(fetched.iterdir()) and not only.name:
        raise BacalhauError(f"there is nothing in {where}", hint="the results were removed there")
    if not (fetched / only).exists():
        raise NotFound(f"there is no {where}{only}")


def _name(result: Result, path: str) -> str:
    return f"{result.owner}-{hashlib.sha256(path.encode()).hexdigest()[:16]}" if path else result.owner


def _size(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
