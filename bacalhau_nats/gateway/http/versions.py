"""Which clients are recent enough, by the version that they send in ``X-Bacalhau-Git-Version``."""

from __future__ import annotations

import re

MINIMUM = "1.4.0"
_UNVERSIONED = frozenset({"", "v0.0.0", "v0.0.0-xxxxxxx"})
_SEMVER = re.compile(
    r"v?(0|[1-9][0-9]*)(?:\.(0|[1-9][0-9]*))?(?:\.(0|[1-9][0-9]*))?"
    r"(?:-([0-9A-Za-z.-]+))?(?:\+([0-9A-Za-z.-]+))?"
)

Version = tuple[int, int, int, str]


def parse(text: str) -> Version | None:
    """Read a version; short forms are filled up with zeros. None when it is none."""
    match = _SEMVER.fullmatch(text)
    if match is None:
        return None
    major, minor, patch, release = (match.group(index) for index in range(1, 5))
    return int(major), int(minor or 0), int(patch or 0), release or ""


def gate(sent: str, server: str) -> tuple[int, dict[str, str]] | None:
    """Refuse a client that is too old, or whose version is none: its status and body, or None to go on."""
    if sent in _UNVERSIONED:
        return None
    version = parse(sent)
    if version is None:
        return 400, {"Error": f"Invalid client version {sent}"}
    if not _older(version, parse(MINIMUM) or (0, 0, 0, "")):
        return None
    major, minor, patch, release = version
    return 403, {
        "Error": "Client version is outdated. Update your client",
        "MinVersion": MINIMUM,
        "ClientVersion": f"{major}.{minor}.{patch}" + (f"-{release}" if release else ""),
        "ServerVersion": server.removeprefix("v"),
    }


def _older(one: Version, other: Version) -> bool:
    # A release candidate comes before its release.
    return one[:3] < other[:3] or (one[:3] == other[:3] and bool(one[3]) and not other[3])


def before_1_5(sent: str) -> bool:
    """Say whether a client expects the history of 1.4; compared as text, as the public server does."""
    return sent not in _UNVERSIONED and sent < "v1.5."
