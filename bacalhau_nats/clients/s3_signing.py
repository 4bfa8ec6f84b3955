"""URLs that let others read or write one object for a while, signed with this machine's credentials."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from bacalhau_nats.clients.s3 import Place, S3Clients
from bacalhau_nats.clients.s3_errors import S3Failed
from bacalhau_nats.domain.spec import SpecConfig
from bacalhau_nats.errors import InvalidSettings, Unavailable

SHARED, MANAGED = "s3", "s3managed"
"""Types of results: in a bucket the job named, and in the orchestrator's own."""

DEFAULT_EXPIRATION = 900.0
"""Seconds that a URL is good where no setting says: what the AWS SDK, and so Bacalhau, takes."""

ARCHIVE = ".tar.gz"
_SIGNED = "s3PreSigned"


@dataclass(frozen=True, slots=True)
class ManagedBucket:
    """`Publishers.Types.S3Managed`: the bucket that the orchestrator owns. ``expiration`` is in seconds."""

    bucket: str = ""
    prefix: str = ""
    place: Place = field(default_factory=Place)
    expiration: float = 3600.0

    def key(self, job: str, execution: str) -> str:
        """Give the key of the results of an execution."""
        prefix = self.prefix.rstrip("/")
        return f"{prefix}/{job}/{execution}{ARCHIVE}" if prefix else f"{job}/{execution}{ARCHIVE}"


@dataclass(frozen=True, slots=True)
class SigningSettings:
    """What is signed. ``expiration`` is in seconds, 0 for the default; ``shared``: whether type ``s3`` is at all."""

    shared: bool = True
    expiration: float = 0.0
    managed: ManagedBucket = field(default_factory=ManagedBucket)


class ResultSigner:
    """Signs results for their readers, and places for those who have to write them."""

    def __init__(self, clients: S3Clients, settings: SigningSettings) -> None:
        self._clients = clients
        self._settings = settings

    @property
    def manages(self) -> bool:
        """Say whether a bucket of the orchestrator's own is set."""
        return bool(self._settings.managed.bucket)

    async def must_manage(self) -> None:
        """Raise InvalidSettings unless there is a bucket of the orchestrator's own, and credentials for it."""
        why = await self._clients.why_not() if self.manages else "this orchestrator has no bucket of its own"
        if why:
            raise InvalidSettings(
                f"results of type {MANAGED} cannot be kept: {why}",
                hint="set Publishers.Types.S3Managed.Bucket and AWS credentials on every orchestrator",
            )

    async def signed(self, result: SpecConfig) -> SpecConfig:
        """Give a result as its reader needs it; what needs no signature stays as it is.

        An ``s3`` archive stays as it is where signing is switched off or there are no credentials, and folders
        always. Raises InvalidSettings when a managed result cannot be signed, Unavailable when its place does
        not answer.
        """
        if result.kind == MANAGED:
            await self.must_manage()
            job, execution = str(result.param("JobID", "")), str(result.param("ExecutionID", ""))
            own = self._settings.managed
            url = await self._sign("GET", own.place, own.bucket, own.key(job, execution), own.expiration)
            return _pre_signed(url, _empty_source(), managed=True)
        key = str(result.param("Key", ""))
        wanted = result.kind == SHARED and self._settings.shared and key.endswith(ARCHIVE)
        if not wanted or await self._clients.why_not():
            return result
        place = Place(str(result.param("Endpoint", "")), str(result.param("Region", "")))
        expiration = self._settings.expiration or DEFAULT_EXPIRATION
        version = str(result.param("VersionID", "")) or None
        url = await self._sign("GET", place, str(result.param("Bucket", "")), key, expiration, version)
        return _pre_signed(url, _empty_source() | dict(result.params), managed=False)

    async def upload_url(self, job: str, execution: str) -> str:
        """Give the URL to which the results of an execution may be put. Raises InvalidSettings, Unavailable."""
        await self.must_manage()
        own = self._settings.managed
        return await self._sign("PUT", own.place, own.bucket, own.key(job, execution), own.expiration)

    async def _sign(
        self,
        method: str,
        place: Place,
        bucket: str,
        key: str,
        expiration: float,
        version: str | None = None,
    ) -> str:
        good_for = timedelta(seconds=max(1.0, expiration))
        try:
            async with self._clients.session(place, size=1) as session:
                return await session.run(
                    bucket,
                    key,
                    lambda client: client.get_presigned_url(
                        method, bucket, key, expires=good_for, version_id=version
                    ),
                )
        except S3Failed as failed:
            raise Unavailable(f"no URL can be signed for {failed}", hint=failed.hint) from failed


def source_params(**given: Any) -> dict[str, Any]:
    """Give the parameters of an S3 object as a result names them: all keys, empty ones too."""
    return _empty_source() | given


def _pre_signed(url: str, source: Mapping[str, Any], *, managed: bool) -> SpecConfig:
    params = {"Managed": managed, "PreSignedURL": url, "SourceSpec": dict(source)}
    return SpecConfig(type=_SIGNED, params=params)


def _empty_source() -> dict[str, Any]:
    names = ("Bucket", "Key", "Filter", "Region", "Endpoint", "VersionID", "ChecksumSHA256")
    partition = {"Type": "", "Pattern": "", "StartIndex": 0, "EndIndex": 0, "DateFormat": ""}
    return dict.fromkeys(names, "") | {"Partition": partition}
