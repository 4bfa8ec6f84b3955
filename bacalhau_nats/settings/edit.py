"""Write one key into a settings file, for `config set`."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

from bacalhau_nats.errors import InvalidSettings
from bacalhau_nats.settings.keys import Key
from bacalhau_nats.settings.sources import read_file
from bacalhau_nats.settings.tree import Settings, all_keys


def set_key(file: Path, name: str, text: str) -> None:
    """Set a key in ``file``, creating the file when it is not there; all other keys stay.

    The value is checked as it would be on reading. Keys are written in PascalCase whatever was typed;
    comments are lost. The file is replaced as a whole or not at all. Raises InvalidSettings.
    """
    key = all_keys().find(name)
    tree: dict[str, Any] = {}
    if file.exists():
        for found in read_file(file, all_keys()):
            _put(tree, found.key, found.value)
    Settings.load(overrides=[f"{key.name}={text}"])  # raises for a value that cannot be used
    value = _typed(key, text)
    if key.name == "DataDir" and not (Path(text).is_absolute() or text.startswith("~/") or text == "~"):
        raise InvalidSettings(
            f'DataDir: "{text}" cannot be kept in a file',
            hint="write an absolute path, or one that begins with ~/",
        )
    _put(tree, key, value)
    _replace(file, tree)


def _typed(key: Key, text: str) -> Any:
    value = key.read(text)
    if key.kind == "bool":
        return text.strip().lower() in ("1", "t", "true", "y", "yes", "on")
    return int(text) if key.kind == "int" else value


def _put(tree: dict[str, Any], key: Key, value: Any) -> None:
    for step in key.path[:-1]:
        tree = tree.setdefault(step, {})
    tree[key.path[-1]] = value


def _replace(file: Path, tree: dict[str, Any]) -> None:
    import yaml  # noqa: PLC0415 - only this command writes

    text = yaml.safe_dump(tree, sort_keys=False, allow_unicode=True, default_flow_style=False)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        mode = file.stat().st_mode & 0o777 if file.exists() else 0o600  # it may hold a token
        handle, name = tempfile.mkstemp(dir=file.parent, prefix=f".{file.name}.")
    except OSError as error:
        raise InvalidSettings(f"config file {file} cannot be written: {error.strerror}") from None
    try:
        with os.fdopen(handle, "w") as out:
            out.write(text)
            out.flush()
            os.fsync(out.fileno())
        Path(name).chmod(mode)
        Path(name).replace(file.resolve())
    except OSError as error:
        Path(name).unlink(missing_ok=True)
        raise InvalidSettings(f"config file {file} cannot be written: {error.strerror}") from None
