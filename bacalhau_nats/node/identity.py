"""Who this node is: its id, this life of it, and what it was built from."""

from __future__ import annotations

import platform
import re
import secrets
import socket
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import bacalhau_nats
from bacalhau_nats.domain.ids import NodeID
from bacalhau_nats.domain.node import BuildInfo
from bacalhau_nats.errors import InvalidSettings, StartFailed
from bacalhau_nats.settings import Settings

_ID_FILE = "node_id"
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm"}
_NAME = re.compile(r"^[^\s\x00-\x1f]{1,128}$")


@dataclass(frozen=True, slots=True)
class Self:
    """``instance`` is new at each start and sorts by time; ``node_id`` stays."""

    node_id: NodeID
    instance: str
    build: BuildInfo

    @property
    def version(self) -> str:
        """The version for `nats micro ls`, which wants it bare."""
        return bacalhau_nats.__version__


def who_am_i(settings: Settings, name: str | None) -> Self:
    """Find out, and keep a drawn id in the data folder, which is made if need be. Raises StartFailed."""
    folder = settings.data_dir
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        node_id = name or _kept_id(folder, settings.name_provider)
        probe = folder / f".probe-{secrets.token_hex(4)}"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise StartFailed(
            f"the data folder {folder} cannot be used: {error.strerror or error}",
            hint="choose a folder you may write with --data-dir or -c DataDir=...",
        ) from error
    if not _NAME.match(node_id):
        raise InvalidSettings(
            f"invalid node name {node_id!r}", hint="a name has 1 to 128 characters and no blanks"
        )
    return Self(NodeID(node_id), f"{time.time_ns():016x}-{secrets.token_hex(4)}", build_info())


def _kept_id(folder: Path, provider: str) -> str:
    match provider:
        case "hostname":
            return socket.gethostname()
        case "uuid":
            return str(uuid4())
        case "aws" | "gcp":
            raise InvalidSettings(
                f"NameProvider {provider} is not supported", hint="use puuid or hostname, or give --name"
            )
        case _:
            file = folder / _ID_FILE
            if not file.exists():
                draft = folder / f".{_ID_FILE}-{secrets.token_hex(4)}"
                draft.write_text(f"n-{uuid4()}\n")
                draft.rename(file)
            return file.read_text().strip()


def build_info() -> BuildInfo:
    """Describe this build as the public API does; the date is that of the installed package."""
    version = bacalhau_nats.__version__
    major, minor, *_ = version.split(".")
    installed = datetime.fromtimestamp(Path(bacalhau_nats.__file__).stat().st_mtime, UTC)
    return BuildInfo(
        major=major,
        minor=minor,
        git_version=f"v{version}",
        git_commit="",
        build_date=installed.strftime("%Y-%m-%dT%H:%M:%SZ"),
        goos=platform.system().lower(),
        goarch=_ARCHITECTURES.get(platform.machine(), platform.machine()),
    )
