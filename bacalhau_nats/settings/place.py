"""Where settings lie: ``~``, relative paths and the data folder."""

from __future__ import annotations

import os
import pwd
from collections.abc import Mapping
from pathlib import Path

from bacalhau_nats.errors import InvalidSettings
from bacalhau_nats.settings.sources import Assignment, refuse


class Place:
    """Where relative paths and ``~`` lead; ``cwd`` None leaves relative ones as they are."""

    def __init__(self, environ: Mapping[str, str], cwd: Path | None) -> None:
        self._environ, self._cwd = environ, cwd

    def expand(self, path: Path) -> Path:
        """Make a path absolute."""
        if path.parts[:1] == ("~",):
            return self._home().joinpath(*path.parts[1:])
        return path if path.is_absolute() or self._cwd is None else self._cwd / path

    def data_dir(self, given: Assignment | None) -> Path:
        """Give the absolute data folder. Raises InvalidSettings."""
        if given is None:
            return self.expand(Path("~/.bacalhau"))
        text = str(given.value).strip()
        if not text or "$" in text:
            raise refuse(given.key, text, given.where, "the data folder must be a path without $")
        path = Path(text)
        if path.is_absolute() or path.parts[0] == "~":
            return self.expand(path)
        if path.parts[0].startswith("~") or given.origin in ("file", "environment"):
            raise refuse(given.key, text, given.where, "it must be absolute or begin with ~/")
        return Path(os.path.normpath((self._cwd or Path.cwd()) / path))

    def _home(self) -> Path:
        home = self._environ.get("HOME", "")
        if home:
            return Path(home)
        try:
            return Path(pwd.getpwuid(os.getuid()).pw_dir)
        except KeyError:
            raise InvalidSettings("there is no home folder", hint="set DataDir to an absolute path") from None
