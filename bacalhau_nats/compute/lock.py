"""One compute node to a data folder."""

from __future__ import annotations

import asyncio
import fcntl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import IO

from bacalhau_nats.domain.ids import NodeID
from bacalhau_nats.errors import StartFailed

_LOCK_RETRY = 0.1


@asynccontextmanager
async def only_process(data_dir: Path, node_id: NodeID, patience: float = 5.0) -> AsyncIterator[None]:
    """Hold the lock of a compute node's folder. Raises StartFailed when another process keeps it.

    Tried for ``patience`` seconds: the reaper of an earlier life holds it while it removes containers.
    """
    with (data_dir / "compute.lock").open("a") as file:
        deadline = asyncio.get_running_loop().time() + patience
        while not _locked(file):
            if asyncio.get_running_loop().time() >= deadline:
                raise StartFailed(
                    f"the data folder {data_dir} is in use by another compute node",
                    hint=f"stop that process, or give {node_id} its own folder with --data-dir",
                )
            await asyncio.sleep(_LOCK_RETRY)
        yield


def _locked(file: IO[str]) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
