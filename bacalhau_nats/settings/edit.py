"""Write one key into a settings file, for `config set`."""

from __future__ import annotations

import io
import os
import tempfile
from collections.abc import Mapping, MutableMapping
from pathlib import Path
from typing import Any

from bacalhau_nats.errors import InvalidSettings
from bacalhau_nats.settings.keys import Key
from bacalhau_nats.settings.sources import read_file
from bacalhau_nats.settings.tree import Settings, all_keys


def set_key(file: Path, name: str, text: str) -> None:
    """Set a key in ``file``, creating the file when it is not there; all else in it stays, comments too.

    The value is checked as it would be on reading. A new key is written in PascalCase whatever was typed; one
    that is there keeps its spelling. The file is replaced as a whole or not at all. Raises InvalidSettings.
    """
    key = all_keys().find(name)
    if file.exists():
        read_file(file, all_keys())  # raises for a file that would not be read afterwards
    Settings.load(overrides=[f"{key.name}={text}"])  # raises for a value that cannot be used
    value = _typed(key, text)
    if key.name == "DataDir" and not (Path(text).is_absolute() or text.startswith("~/") or text == "~"):
        raise InvalidSettings(
            f'DataDir: "{text}" cannot be kept in a file',
            hint="write an absolute path, or one that begins with ~/",
        )
    _replace(file, _edited(file, key, value))


def _edited(file: Path, key: Key, value: Any) -> str:
    """Give the text of the file with the key set."""
    from ruamel.yaml import YAML  # noqa: PLC0415 - only this command writes

    yaml = YAML()  # keeps comments, order and quotes
    yaml.preserve_quotes = True
    yaml.width = 10_000
    tree = (yaml.load(file) if file.exists() else None) or {}
    _put(tree, key, _as_read(value))
    out = io.StringIO()
    yaml.dump(tree, out)
    return out.getvalue()


def _typed(key: Key, text: str) -> Any:
    value = key.read(text)
    if key.kind == "bool":
        return text.strip().lower() in ("1", "t", "true", "y", "yes", "on")
    return int(text) if key.kind == "int" else value


def _put(tree: MutableMapping[str, Any], key: Key, value: Any) -> None:
    for step in key.path[:-1]:
        spelled = _spelled(tree, step)
        if tree.get(spelled) is None:  # a section that is empty
            tree[spelled] = {}
        tree = tree[spelled]
    tree[_spelled(tree, key.path[-1])] = value


def _as_read(value: Any) -> Any:
    """Quote texts that a reader of YAML 1.1 would take for something else: ``yes``, ``12:30``."""
    from ruamel.yaml.scalarstring import DoubleQuotedScalarString  # noqa: PLC0415 - as above

    if isinstance(value, list):
        return [_as_read(item) for item in value]
    if isinstance(value, dict):
        return {_as_read(name): _as_read(item) for name, item in value.items()}
    return DoubleQuotedScalarString(value) if isinstance(value, str) and not _plain(value) else value


def _plain(text: str) -> bool:
    import yaml  # noqa: PLC0415 - as above

    try:
        return bool(yaml.safe_load(text) == text)
    except yaml.YAMLError:
        return False


def _spelled(tree: Mapping[str, Any], step: str) -> str:
    return next((name for name in tree if name.lower() == step.lower()), step)


def _replace(file: Path, text: str) -> None:
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
