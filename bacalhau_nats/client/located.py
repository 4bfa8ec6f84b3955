"""Where results are: what the server says of them, as something that can be fetched."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from bacalhau_nats.client.download import Result, S3Folder
from bacalhau_nats.client.wire import Execution, PublishedResult
from bacalhau_nats.domain.ids import short
from bacalhau_nats.errors import UserError

_EXECUTION = re.compile(r"e-[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_ADDRESS = {"urldownload": "url", "s3presigned": "presignedurl"}
_HEX = re.compile(r"[0-9a-fA-F]{64}")


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
        s3 = _folder(params) if kind.lower() == "s3" else None
        if not url and not cid and s3 is None:
            raise UserError(
                f"results of type {kind!r} cannot be downloaded by this command",
                hint=_where_else(kind, params),
            )
        named = item.get("ExecutionID") or params.get("executionid") or url or params.get("key")
        match = _EXECUTION.search(str(named))
        owner = match.group() if match else ""
        result = Result(
            owner=short(owner) or f"result-{index + 1}",
            url=url,
            size=_whole(params.get("size")),
            sha256=_digest(str(params.get("sha256") or _of_source(params, "ChecksumSHA256"))),
            digest=str((item.get("ResultDigest") or {}).get("Manifest", "")),
            execution=owner,
            cid=cid,
            s3=s3,
        )
        found.append((partition.get(owner, 0), index, result))
    return [result for _, _, result in sorted(found, key=lambda entry: entry[:2])]


def _folder(params: Mapping[str, Any]) -> S3Folder | None:
    """Give the folder in a bucket; None for an archive there, which has to be signed."""
    given = {name: str(params.get(name) or "") for name in S3Folder._fields}
    return S3Folder(**given) if given["bucket"] and given["key"].endswith("/") else None


def _where_else(kind: str, params: Mapping[str, Any]) -> str:
    """Say how to come by results that are not for us."""
    if kind.lower() == "s3" and params.get("bucket"):
        at = f" at {params['endpoint']}" if params.get("endpoint") else ""
        where = f"s3://{params['bucket']}/{params.get('key', '')}{at}"
        return (
            f"they are in {where}: fetch them with AWS credentials in your environment, or with any S3 client"
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
