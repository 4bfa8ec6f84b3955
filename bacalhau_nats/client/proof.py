"""Are these results what their nodes published? Compares what was unpacked with the digests on the bus."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from bacalhau_nats.client.merge import Part
from bacalhau_nats.domain.manifest import MANIFEST, Entry, Manifest
from bacalhau_nats.errors import BacalhauError
from bacalhau_nats.sealing import below, check, entry_of


def prove(parts: Sequence[Part]) -> dict[Path, Entry]:
    """Compare every part that has a digest with it; give the files that are proven, by where they lie. Blocking.

    Raises BacalhauError naming each file that differs; the archives they came from are removed then, so that
    the next try fetches them anew.
    """
    proven: dict[Path, Entry] = {}
    wrong: list[str] = []
    for part in parts:
        if not part.digest:
            continue
        manifest, found = check(part.folder, part.digest, only=part.only)
        if manifest is None or found:
            wrong += [f"{part.owner}: {difference}" for difference in found]
            _discard(part.file)
            continue
        proven |= {part.folder / entry.path: entry for entry in below(manifest.files, part.only)}
        proven[part.folder / MANIFEST] = entry_of(part.folder / MANIFEST, MANIFEST)
    if wrong:
        lines = "\n  ".join(wrong)
        raise BacalhauError(
            f"these results are not what their nodes published:\n  {lines}",
            hint="they were altered after they were published, or on their way; nothing was kept. Run the "
            "command again; if it stays so, run the job again",
        )
    return proven


def manifests(parts: Sequence[Part]) -> dict[str, Manifest]:
    """Give the manifest of each part by its execution. Raises BacalhauError like `prove`. Blocking."""
    prove(parts)
    found: dict[str, Manifest] = {}
    for part in parts:
        manifest, _ = check(part.folder, part.digest)
        if manifest is not None:
            found[part.execution] = manifest
    return found


def _discard(obtained: Path) -> None:
    if obtained.is_dir():
        shutil.rmtree(obtained)
    else:
        obtained.unlink(missing_ok=True)
