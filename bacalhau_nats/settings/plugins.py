"""The sections of the plugin families: `InputSources`, `Publishers`, `Engines`, `ResultDownloaders`.

``Types`` holds one section per plugin. A name that is not ours belongs to a plugin from outside: its
section is kept as written and validated by that plugin's own model.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pydantic import ConfigDict, field_validator

from bacalhau_nats.settings.section import Section, key, part
from bacalhau_nats.settings.values import Duration, Size, Text


class PluginTypes(Section):
    """One section per plugin of a family."""

    model_config = ConfigDict(extra="allow")

    def __repr_args__(self) -> Iterator[tuple[str, Any]]:
        # Which keys of a plugin from outside are secret is not known here, so none is shown.
        return ((field, getattr(self, field)) for field in type(self).model_fields)

    def of(self, plugin: str) -> dict[str, Any]:
        """Give the section of one plugin with its keys in PascalCase; empty when it has none."""
        for field, info in type(self).model_fields.items():
            if (info.alias or field).lower() == plugin.lower():
                section: Section = getattr(self, field)
                return section.model_dump(by_alias=True)
        extra = self.model_extra or {}
        return next((dict(found) for name, found in extra.items() if name.lower() == plugin.lower()), {})


class IPFSSettings(Section):
    """An IPFS node."""

    endpoint: Text = key(
        "",
        "RPC address of the IPFS node, as /ip4/127.0.0.1/tcp/5001 or http://127.0.0.1:5001; none without it.",
    )


class IPFSInputSettings(IPFSSettings):
    """Inputs by CID."""

    max_size: Size = key(100 * 1000**3, "Largest input.", gt=0)


class URLSettings(Section):
    """Downloads named by a job."""

    max_size: Size = key(10 * 1000**3, "Largest download.", gt=0)
    cache_size: Size = key(5 * 1000**3, "Disk for downloads kept for later jobs; 0 for none.", ge=0)
    denied_networks: tuple[str, ...] = key(
        ("169.254.0.0/16", "fe80::/10"), "Networks a download may not reach, in CIDR form."
    )

    @field_validator("denied_networks")
    @classmethod
    def _networks(cls, networks: tuple[str, ...]) -> tuple[str, ...]:
        import ipaddress  # noqa: PLC0415 - wanted only where the key is set

        for network in networks:
            ipaddress.ip_network(network)
        return networks


class S3InputSettings(Section):
    """Objects of S3 buckets."""

    anonymous: bool = key(False, "Whether a node without AWS credentials reads public buckets.")


class InputSourceTypes(PluginTypes):
    """Settings of single input sources."""

    ipfs: IPFSInputSettings = part(IPFSInputSettings)
    s3: S3InputSettings = part(S3InputSettings)
    url: URLSettings = part(URLSettings)


class InputSourcesSettings(Section):
    """How inputs are fetched."""

    disabled: tuple[str, ...] = key((), "Input sources this node does not offer.")
    read_timeout: Duration = key(300.0, "Time an input may take to arrive.", gt=0)
    max_retry_count: int = key(3, "Further tries when an input does not arrive.", ge=0)
    types: InputSourceTypes = part(InputSourceTypes)


class S3Settings(Section):
    """Results in S3, read by clients through pre-signed URLs."""

    pre_signed_url_disabled: bool = key(False, "Whether results are named without signing.")
    pre_signed_url_expiration: Duration = key(
        0.0, "How long a signed URL is good, up to a week; 0 is 15 minutes.", ge=0, le=604800
    )


class S3ManagedSettings(Section):
    """A bucket the orchestrator owns, for the results of jobs whose publisher is s3managed."""

    bucket: Text = key("", "Name of the bucket.")
    key_: Text = key("", "Prefix of all object keys.")
    region: Text = key("", "Region of the bucket.")
    endpoint: Text = key("", "URL of the S3 service, as nodes and clients reach it; empty is AWS.")
    pre_signed_url_expiration: Duration = key(
        3600.0, "How long a signed URL is good, up to a week; 0 is 15 minutes.", ge=0, le=604800
    )


class LocalPublisherSettings(Section):
    """Results served by the compute node itself."""

    address: Text = key(
        "127.0.0.1",
        "Address results are served on: an address, or a class of addresses"
        " (private, public, loopback, linklocal, multicast, any).",
    )
    port: int = key(6001, "Port results are served on; 0 means any free one.", ge=0, le=65535)
    max_age: Duration = key(
        14 * 86400.0, "Age at which results are removed from the node; 0 means never.", ge=0
    )
    max_size: Size = key(
        0, "Room that all results on the node may take, the oldest go first; 0 means no limit.", ge=0
    )


class PublisherTypes(PluginTypes):
    """Settings of single publishers."""

    ipfs: IPFSSettings = part(IPFSSettings)
    s3: S3Settings = part(S3Settings)
    s3_managed: S3ManagedSettings = part(S3ManagedSettings)
    local: LocalPublisherSettings = part(LocalPublisherSettings)


class PublishersSettings(Section):
    """Where results go."""

    disabled: tuple[str, ...] = key((), "Publishers this node does not offer.")
    types: PublisherTypes = part(PublisherTypes)


class ManifestCacheSettings(Section):
    """What is remembered of image manifests."""

    size: int = key(1000, "Manifests remembered.", unused=True, ge=0)
    ttl: Duration = key(3600.0, "How long a manifest is remembered.", unused=True, ge=0)
    refresh: Duration = key(3600.0, "Time between clean-ups.", unused=True, ge=0)


class DockerSettings(Section):
    """The Docker engine."""

    registry: Text = key("docker.io", "Registry that gets the user name and the password; no other does.")
    username: Text = key("", "User name for that registry.")
    password: str = key("", "Its password or token.", secret=True)
    skip_image_pull: bool = key(
        False, "Whether only images run that are on the node already. Also: SKIP_IMAGE_PULL."
    )
    manifest_cache: ManifestCacheSettings = part(ManifestCacheSettings)


class WASMSettings(Section):
    """The WebAssembly engine; it has no keys."""


class EngineTypes(PluginTypes):
    """Settings of single engines."""

    docker: DockerSettings = part(DockerSettings)
    wasm: WASMSettings = part(WASMSettings)


class EnginesSettings(Section):
    """What runs work."""

    disabled: tuple[str, ...] = key((), "Engines this node does not offer.")
    types: EngineTypes = part(EngineTypes)


class DownloaderTypes(PluginTypes):
    """Settings of single downloaders."""

    ipfs: IPFSSettings = part(IPFSSettings)


class ResultDownloadersSettings(Section):
    """How a client fetches results."""

    disabled: tuple[str, ...] = key((), "Downloaders a client does not use.", unused=True)
    timeout: Duration = key(0.0, "Time a download may take; a flag decides.", unused=True, ge=0)
    types: DownloaderTypes = part(DownloaderTypes)
