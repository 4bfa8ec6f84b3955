"""Inline content that is too large for a fact: set aside under its digest, and given back whole.

A job of the public API may carry megabytes in a data URL; a message may not. Content longer than the
limit is stored once in the object store, named by the hex of its sha256, and the spec carries
``{"Digest": "sha256:<hex>", "MediaType": …, "Size": <bytes>}`` instead of ``{"URL": …}``.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
from collections import OrderedDict
from collections.abc import Iterator
from typing import Any

from bacalhau_nats.domain.draft import Draft
from bacalhau_nats.errors import NotFound
from bacalhau_nats.gateway import refusals
from bacalhau_nats.ports import Blobs
from bacalhau_nats.storage.dataurl import parse_data_url

_KEPT = 32 * 1024 * 1024
_PREFIX = "sha256:"
_FRESH = 900.0  # seconds; well below the age at which a blob that no job names is swept


def _inline(job: Draft) -> Iterator[tuple[str, dict[str, Any]]]:
    for at, task in enumerate(job.get("Tasks") or ()):
        for index, source in enumerate(task.get("InputSources") or ()):
            config = source.get("Source") or {}
            if config.get("Type", "").strip().lower() == "inline":
                yield f"Job.Tasks[{at}].InputSources[{index}].Source.Params", config


class Content:
    """Moves inline content between jobs and the object store; keeps what was read lately."""

    def __init__(self, blobs: Blobs, limit: int) -> None:
        self._blobs = blobs
        self._limit = limit
        self._kept: OrderedDict[str, str] = OrderedDict()
        self._size = 0
        self._stored: dict[str, float] = {}  # what this gateway stored lately, and when

    async def set_aside(self, job: Draft) -> None:
        """Store long content and put its digest into ``job``. Raises Refusal when it is no data URL."""
        for where, config in _inline(job):
            params = config.get("Params", {})
            key = next((one for one in params if one.lower() == "url"), None)
            if key is None or not isinstance(params[key], str) or len(params[key]) <= self._limit:
                continue
            config["Params"] = await self._store(params[key], where)

    async def _store(self, url: str, where: str) -> dict[str, Any]:
        try:
            data, digest = await asyncio.to_thread(_decode, url)
        except ValueError as error:
            raise refusals.bad_request(
                f"invalid inline content in {where}: {error}", hint="write a data URL (RFC 2397)"
            ) from None
        now = asyncio.get_running_loop().time()
        if self._stored.get(digest, -_FRESH) + _FRESH <= now:
            # Stored again even if it is there: what is old and not named by a job may be swept any moment.
            await self._blobs.put(digest, data)
            self._stored = {d: at for d, at in self._stored.items() if at + _FRESH > now} | {digest: now}
        media = url.partition(":")[2].partition(",")[0].removesuffix(";base64")
        return {"Digest": _PREFIX + digest, "MediaType": media, "Size": len(data)}

    async def give_back(self, job: dict[str, Any]) -> dict[str, Any]:
        """Put the data URLs back into a job as the API shows it; content that is gone stays a digest."""
        for _, config in _inline(job):
            digest = config.get("Params", {}).get("Digest", "")
            if isinstance(digest, str) and digest.startswith(_PREFIX):
                url = await self._restore(digest.removeprefix(_PREFIX), config["Params"].get("MediaType", ""))
                if url is not None:
                    config["Params"] = {"URL": url}
        return job

    async def _restore(self, digest: str, media: str) -> str | None:
        key = f"{digest} {media}"
        if key in self._kept:
            self._kept.move_to_end(key)
            return self._kept[key]
        try:
            data = b"".join([chunk async for chunk in self._blobs.get(digest)])
        except NotFound:
            return None
        url = f"data:{media};base64,{base64.b64encode(data).decode()}"
        self._kept[key] = url
        self._size += len(url)
        while self._size > _KEPT and self._kept:
            self._size -= len(self._kept.popitem(last=False)[1])
        return url


def _decode(url: str) -> tuple[bytes, str]:
    data = parse_data_url(url).data
    return data, hashlib.sha256(data).hexdigest()
