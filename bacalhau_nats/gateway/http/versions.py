"""Which clients are recent enough, by the version that they send in ``X-Bacalhau-Git-Version``."""

from __future__ import annotations

import re

MINIMUM = "1.4.0"
_UNVERSIONED = frozenset({"", "v0.0.0", "v0.0.0-xxxxxxx"})
_WORDS = r"[0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*"
_SEMVER = re.compile(rf"v?([0-9]+)(?:\.([0-9]+))?(?:\.([0-9]+))?(?:-({_WORDS}))?(?:\+({_WORDS}))?", re.ASCII)
_LARGEST = 2**63 - 1

Version = tuple[int, int, int, str, str]


def parse(text: str) -> Version | None:
    """Read a version: its numbers, its pre-release and its metadata. None when it is none.

    Short forms are filled up with zeros; zeros before a number say nothing.
    """
    match = _SEMVER.fullmatch(text)
    if match is None:
        return None
    numbers = [
        int(one or 0) if len(one or "") <= len(str(_LARGEST)) else _LARGEST + 1 for one in match.groups()[:3]
    ]
    if max(numbers) > _LARGEST:
        return None
    major, minor, patch = numbers
    return major, minor, patch, match[4] or "", match[5] or ""


def gate(sent: str, server: str) -> tuple[int, dict[str, str]] | None:
    """Refuse a client that is too old, or whose version is none: its status and body, or None to go on."""
    if sent in _UNVERSIONED:
        return None
    version = parse(sent.strip(" \t"))
    if version is None:
        return 400, {"Error": f"Invalid client version {sent}"}
    if not _older(version):
        return None
    major, minor, patch, release, built = version
    return 403, {
        "Error": "Client version is outdated. Update your client",
        "MinVersion": MINIMUM,
        "ClientVersion": f"{major}.{minor}.{patch}"
        + (f"-{release}" if release else "")
        + (f"+{built}" if built else ""),
        "ServerVersion": server.removeprefix("v"),
    }


def _older(one: Version) -> bool:
    # A release candidate comes before its release.
    minimum = parse(MINIMUM)
    return minimum is not None and (one[:3] < minimum[:3] or (one[:3] == minimum[:3] and bool(one[3])))


def before_1_5(sent: str) -> bool:
    """Say whether a client expects the history of 1.4; compared as text, as the public server does."""
    return sent not in _UNVERSIONED and sent < "v1.5."
