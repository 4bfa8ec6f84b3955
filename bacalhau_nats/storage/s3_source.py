"""What an S3 input asks for, and where each of its objects lies below the target. Pure.

``Key`` names an object, all objects below a folder (it ends in ``/``), or all objects that begin so (it ends in
``*``); empty is the whole bucket. Names below the target are the keys without the folder part of ``Key``: of
``logs/2024-*`` the object ``logs/2024-01/a`` becomes ``2024-01/a``.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from pydantic import ConfigDict

from bacalhau_nats.clients.parameters import read_parameters
from bacalhau_nats.clients.s3 import Place
from bacalhau_nats.domain.model import Model
from bacalhau_nats.domain.spec import SpecConfig
from bacalhau_nats.storage.patterns import compiled
from bacalhau_nats.storage.s3_partition import Partitioning

_LONGEST_NAME = 255


class S3Object(NamedTuple):
    """One object as a listing shows it; ``etag`` is empty where the service gives none."""

    key: str
    size: int
    etag: str = ""
    version: str = ""


class S3Source(Model):
    """The parameters of an ``s3`` input."""

    model_config = ConfigDict(coerce_numbers_to_str=True)

    bucket: str = ""
    key: str = ""
    filter: str = ""
    region: str = ""
    endpoint: str = ""
    version_id: str = ""
    checksum_sha256: str = ""
    partition: Partitioning = Partitioning()

    @classmethod
    def read(cls, source: SpecConfig) -> S3Source:
        """Read parameters, their keys in any case. Raises ValueError saying what is wrong with them."""
        found = read_parameters(cls, source, "S3 input")
        if why := found.fault():
            raise ValueError(f"S3 input s3://{found.bucket}/{found.key}: {why}")
        return found

    def fault(self) -> str:
        """Say what is wrong with it; empty when nothing is."""
        if not self.bucket.strip():
            return "Bucket must not be empty"
        if not self.names_object and (self.version_id or self.checksum_sha256):
            return "VersionID and ChecksumSHA256 are those of one object, but Key names many"
        if self.filter:
            try:
                compiled(self.filter)
            except ValueError as error:
                return f"Filter: {error}"
        return self.partition.fault()

    @property
    def place(self) -> Place:
        """Where the bucket is."""
        return Place(self.endpoint, self.region)

    @property
    def prefix(self) -> str:
        """What all wanted keys begin with."""
        return self.key.strip().removesuffix("*")

    @property
    def names_object(self) -> bool:
        """Say whether ``Key`` is the whole key of one object."""
        key = self.key.strip()
        return bool(key) and not key.endswith(("*", "/"))

    def wants(self, key: str) -> bool:
        """Say whether an object that was listed is wanted. Markers of folders never are."""
        if key.endswith("/"):
            return False
        return not self.filter or compiled(self.filter).search(key.removeprefix(self.prefix)) is not None


def layout(objects: Iterable[S3Object], prefix: str) -> dict[str, S3Object]:
    """Say where each object lies, relative to the target.

    Raises ValueError when a key cannot be a file's name, or two objects would be in each other's way: ``a`` and
    ``a/b`` can both be objects, but not both be files.
    """
    above = prefix[: prefix.rfind("/") + 1]
    files: dict[str, S3Object] = {}
    folders: set[str] = set()
    for one in objects:
        path = _relative(one.key, above)
        if path in files:
            raise ValueError(f"objects {files[path].key!r} and {one.key!r} would be the same file")
        files[path] = one
        while (cut := path.rfind("/")) >= 0 and (path := path[:cut]) not in folders:
            folders.add(path)
    for path in folders.intersection(files):
        raise ValueError(f"object {files[path].key!r} would be a file, and a folder of other objects")
    return files


def _relative(key: str, above: str) -> str:
    parts = [part for part in key.removeprefix(above).split("/") if part]
    if not parts or ".." in parts or "." in parts or "\0" in key:
        raise ValueError(f"object {key!r} cannot be a file")
    if any(len(part.encode()) > _LONGEST_NAME for part in parts):
        raise ValueError(
            f"object {key[:80]!r}… has a part of more than {_LONGEST_NAME} bytes, too long for a file"
        )
    return "/".join(parts)
