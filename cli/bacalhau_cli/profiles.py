"""Profiles: servers by names of the user's own, each with its token and time limit.

They are files ``profiles/NAME.yaml`` of the data folder, as Bacalhau 1.9 keeps them; ``profiles/current`` is a
link to the one that is used when none is named. Files and link are replaced as a whole, never changed in place.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from bacalhau_nats.client.credentials import write_private
from bacalhau_nats.errors import NotFound, UserError

_ENDING = ".yaml"
_LONGEST = 100


@dataclass(frozen=True)
class Profile:
    """A server and how to talk to it; ``timeout`` is a duration as it was written, empty for the usual one."""

    endpoint: str
    description: str = ""
    timeout: str = ""
    token: str = field(default="", repr=False)
    insecure: bool = False


def address(endpoint: str) -> str:
    """Turn what somebody wrote into the address of a server: scheme, host and port. Raises UserError."""
    text = endpoint.strip()
    try:
        parts = urlsplit(text if "://" in text else f"http://{text}")
        host, _ = parts.hostname, parts.port
    except ValueError:
        host = None
    if host and (not parts.netloc.isprintable() or " " in parts.netloc):
        host = None
    if not host or parts.scheme not in ("http", "https"):
        raise UserError(
            f"{endpoint!r} is not the address of a server", hint="write it as https://host:port or host:port"
        )
    if "@" in parts.netloc:
        raise UserError(
            "an endpoint must not hold a name or password",
            hint="set BACALHAU_API_USERNAME and BACALHAU_API_PASSWORD instead",
        )
    return f"{parts.scheme}://{parts.netloc}"


def check_name(name: str) -> str:
    """Give a name that a profile can have. Raises UserError."""
    if (
        not name.strip()
        or name.startswith(".")
        or "/" in name
        or not name.isprintable()
        or len(name) > _LONGEST
    ):
        raise UserError(
            f"{name!r} is no name of a profile",
            hint=f"a name has up to {_LONGEST} characters, no / and no . at its beginning",
        )
    return name


class Profiles:
    """The profiles of a data folder."""

    def __init__(self, data_dir: Path) -> None:
        self.folder = data_dir / "profiles"
        self._link = self.folder / "current"

    def names(self) -> list[str]:
        """List the profiles, sorted."""
        try:
            found = [path.name for path in self.folder.iterdir()]
        except FileNotFoundError:
            return []
        except OSError as error:
            raise UserError(f"the profiles in {self.folder} cannot be read: {error.strerror}") from error
        return sorted(n.removesuffix(_ENDING) for n in found if n.endswith(_ENDING) and not n.startswith("."))

    def current(self) -> str:
        """Name the current profile, which may have been removed by hand; empty when there is none."""
        try:
            return self._link.readlink().name.removesuffix(_ENDING)
        except OSError:
            return ""

    def load(self, name: str) -> Profile:
        """Read a profile. Raises NotFound, or UserError when its file is damaged."""
        path = self._path(name)
        try:
            text = path.read_text()
        except FileNotFoundError:
            known = ", ".join(self.names()) or "none"
            raise NotFound(
                f'profile "{name}" not found',
                hint=f"there are: {known}; 'bacalhau profile save {name} --endpoint URL' makes it",
            ) from None
        except (OSError, UnicodeDecodeError) as error:
            raise UserError(f"profile {path} cannot be read: {error}") from error
        return _read(text, path)

    def save(self, name: str, profile: Profile) -> None:
        """Write a profile; only its owner may read it. Raises UserError."""
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            write_private(self._path(name), _written(profile))
        except OSError as error:
            raise self._cannot("save", name, error) from error

    def select(self, name: str) -> None:
        """Make a profile the current one. Raises NotFound, UserError."""
        self.load(name)
        draft = self.folder / f".current-{secrets.token_hex(4)}"
        try:
            draft.symlink_to(f"{name}{_ENDING}")
            draft.replace(self._link)
        except OSError as error:
            with suppress(OSError):
                draft.unlink()
            raise self._cannot("select", name, error) from error

    def delete(self, name: str) -> None:
        """Remove a profile, and the link to it first. Raises NotFound, UserError."""
        path = self._path(name)
        if not path.exists():
            self.load(name)  # says that it is not there
        try:
            if self.current() == name:
                self._link.unlink()
            path.unlink()
        except OSError as error:
            raise self._cannot("delete", name, error) from error

    def at(self, url: str) -> list[str]:
        """Name the profiles of a server; damaged ones are left out."""
        found = []
        for name in self.names():
            with suppress(UserError):
                if address(self.load(name).endpoint) == url:
                    found.append(name)
        return found

    def _path(self, name: str) -> Path:
        return self.folder / f"{check_name(name)}{_ENDING}"

    def _cannot(self, do: str, name: str, error: OSError) -> UserError:
        return UserError(
            f'cannot {do} profile "{name}" in {self.folder}: {error.strerror}',
            hint="choose a folder you may write with --data-dir",
        )


def _read(text: str, path: Path) -> Profile:
    import yaml  # noqa: PLC0415 - only who has profiles

    try:
        found = yaml.safe_load(text)
    except yaml.YAMLError:
        found = None
    auth, tls = (_part(found, name) for name in ("auth", "tls"))
    if not isinstance(found, dict) or not found.get("endpoint") or auth is None or tls is None:
        raise UserError(
            f"profile {path} is damaged: it should be YAML with an endpoint",
            hint=f"save it again: bacalhau profile save {path.stem} --endpoint URL",
        )
    return Profile(
        endpoint=str(found["endpoint"]),
        description=str(found.get("description") or ""),
        timeout=str(found.get("timeout") or ""),
        token=str(auth.get("token") or ""),
        insecure=tls.get("insecure") is True,
    )


def _part(found: Any, name: str) -> Mapping[str, Any] | None:
    part = (found.get(name) or {}) if isinstance(found, dict) else None
    return part if isinstance(part, dict) else None


def _written(profile: Profile) -> str:
    import yaml  # noqa: PLC0415 - only who has profiles

    found: dict[str, Any] = {"endpoint": profile.endpoint}
    found |= {"auth": {"token": profile.token}} if profile.token else {}
    found |= {"tls": {"insecure": True}} if profile.insecure else {}
    found |= {"timeout": profile.timeout} if profile.timeout else {}
    found |= {"description": profile.description} if profile.description else {}
    text: str = yaml.safe_dump(found, sort_keys=False)
    return text
