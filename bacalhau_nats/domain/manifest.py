"""What is in a result: its files with size and sha256, and where they come from. Pure.

The node writes it as `MANIFEST` into the folder it publishes, and its digest into the execution's record. Whoever
has the result can tell from the two whether it is what the node published.

Two digests: that of the manifest itself names one result of one execution; that of the *outputs* (exit code,
stdout and result paths) is equal wherever the same work gave the same result. What a program says on stderr is
often the time, so it is no output.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

MANIFEST = "manifest.json"
"""Name of the manifest in a result; no result path can have it."""

FORMAT = 1
_DIGEST = "sha256:"
_NO_OUTPUTS = frozenset({MANIFEST, "stderr"})


@dataclass(frozen=True, slots=True)
class Summary:
    """What is told of a result: its two digests as ``sha256:<hex>``, and how much there is."""

    manifest: str
    outputs: str
    files: int
    bytes: int


@dataclass(frozen=True, slots=True, order=True)
class Entry:
    """A regular file of a result: path below its folder, size in bytes, sha256 in hex."""

    path: str
    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a result comes from. ``program`` is the digest of what ran, as far as the engine knows it."""

    job_id: str
    execution_id: str
    node_id: str
    version: int = 1
    partition: int = 0
    engine: str = ""
    program: str = ""


@dataclass(frozen=True, slots=True)
class Manifest:
    """What is in a result, its files sorted by path."""

    origin: Origin
    files: tuple[Entry, ...]


@dataclass(frozen=True, slots=True)
class Difference:
    """A file that is not as it should be; ``what`` reads after its path."""

    path: str
    what: str

    def __str__(self) -> str:
        return f"{self.path} {self.what}"


def encode(manifest: Manifest) -> bytes:
    """Write the canonical JSON: keys sorted, no blanks, ASCII; equal manifests give equal bytes."""
    origin = manifest.origin
    return _canonical(
        {
            "Format": FORMAT,
            "JobID": origin.job_id,
            "JobVersion": origin.version,
            "ExecutionID": origin.execution_id,
            "Partition": origin.partition,
            "NodeID": origin.node_id,
            "Engine": origin.engine,
            "Program": origin.program,
            "Files": [{"Path": f.path, "Size": f.size, "SHA256": f.sha256} for f in sorted(manifest.files)],
        }
    )


def decode(data: bytes) -> Manifest:
    """Read a manifest. Raises ValueError saying why it is none."""
    try:
        found = json.loads(data)
        if found["Format"] != FORMAT:
            raise ValueError(f"format {found['Format']!r} is not known")
        origin = Origin(
            job_id=_text(found["JobID"]),
            execution_id=_text(found["ExecutionID"]),
            node_id=_text(found["NodeID"]),
            version=_whole(found["JobVersion"]),
            partition=_whole(found["Partition"]),
            engine=_text(found["Engine"]),
            program=_text(found["Program"]),
        )
        files = [Entry(_text(f["Path"]), _whole(f["Size"]), _text(f["SHA256"])) for f in found["Files"]]
    except (KeyError, TypeError, RecursionError) as error:
        raise ValueError(f"not a manifest: {error!r}") from None
    if len({entry.path for entry in files}) != len(files):
        raise ValueError("a path is in it twice")
    return Manifest(origin, tuple(sorted(files)))


def digest_of(data: bytes) -> str:
    """Name bytes by their sha256."""
    return _DIGEST + hashlib.sha256(data).hexdigest()


def outputs_digest(files: Iterable[Entry]) -> str:
    """Name what the work made, apart from who made it and what it said on stderr."""
    outputs = sorted(entry for entry in files if entry.path not in _NO_OUTPUTS)
    return digest_of(_canonical([[entry.path, entry.size, entry.sha256] for entry in outputs]))


def summary(manifest: Manifest, encoded: bytes) -> Summary:
    """Give what the record says of a result."""
    return Summary(
        manifest=digest_of(encoded),
        outputs=outputs_digest(manifest.files),
        files=len(manifest.files),
        bytes=sum(entry.size for entry in manifest.files),
    )


def outputs(manifest: Manifest) -> tuple[Entry, ...]:
    """Give the files that must be equal when the same work is done again."""
    return tuple(entry for entry in manifest.files if entry.path not in _NO_OUTPUTS)


def differences(expected: Sequence[Entry], found: Sequence[Entry]) -> list[Difference]:
    """Name every file that differs, sorted by path; a file that only has another name is told as that.

    Empty exactly when both have the same paths with the same content.
    """
    before, after = {entry.path: entry for entry in expected}, {entry.path: entry for entry in found}
    told = [
        Difference(path, _changed(before[path], after[path]))
        for path in before.keys() & after.keys()
        if before[path] != after[path]
    ]
    gone = [before[path] for path in sorted(before.keys() - after.keys())]
    new = [after[path] for path in sorted(after.keys() - before.keys())]
    for entry in gone:
        twin = next((e for e in new if (e.size, e.sha256) == (entry.size, entry.sha256)), None)
        if twin is not None:
            new.remove(twin)
            told.append(Difference(entry.path, f"is called {twin.path}"))
        else:
            told.append(Difference(entry.path, "is missing"))
    told += [Difference(entry.path, "should not be there") for entry in new]
    return sorted(told, key=lambda one: one.path)


def _changed(expected: Entry, found: Entry) -> str:
    if expected.size != found.size:
        return f"has {found.size} bytes instead of {expected.size}"
    return f"has SHA-256 {found.sha256} instead of {expected.sha256}"


def _canonical(value: Any) -> bytes:
    # ASCII: a file name that is not UTF-8 has lone surrogates, which only survive as escapes.
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode("ascii")


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is not a text")
    return value


def _whole(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise TypeError(f"{value!r} is not a size or number")
    return value
