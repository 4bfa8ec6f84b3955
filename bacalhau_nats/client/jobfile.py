"""Read a job from a YAML or JSON file: the rules, and errors that say where.

Keys are matched without regard to case and written as the API spells them. At the top a key that is not
known is an error; further down it is a warning, since the server ignores it: either way with its line, its
column and the key that was perhaps meant. An error shows the line. What the values mean is checked by the server (or ``job validate``).
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from bacalhau_nats.client.jobvalues import Places, parse, snippet
from bacalhau_nats.errors import InvalidSpec, UserError

if TYPE_CHECKING:
    from bacalhau_nats.client.wire import Job

_SYSTEM = ("id", "state", "version", "revision", "createtime", "modifytime")
_KINDS: dict[type, str] = {str: "string", int: "int", list: "list", dict: "map"}
_NAMES: dict[type, str] = {
    bool: "bool",
    float: "float",
    type(None): "null",
    **_KINDS,
}
_TOP: dict[str, type] = {
    "Name": str,
    "Namespace": str,
    "Type": str,
    "Priority": int,
    "Count": int,
    "Constraints": list,
    "Meta": dict,
    "Labels": dict,
    "Tasks": list,
}
# Below the top: the keys of each place; "*" stands for the items of a list, None for free keys.
_SPEC: dict[str, Any] = {"Type": "", "Params": None}
_TASK: dict[str, Any] = {
    "Name": "",
    "Engine": _SPEC,
    "Publisher": _SPEC,
    "Env": None,
    "Meta": None,
    "InputSources": {"*": {"Source": _SPEC, "Alias": "", "Target": ""}},
    "ResultPaths": {"*": {"Name": "", "Path": ""}},
    "Resources": {"CPU": "", "Memory": "", "Disk": "", "GPU": ""},
    "Network": {
        "Type": "",
        "Domains": "",
        "Ports": {"*": {"Name": "", "Static": "", "Target": "", "HostNetwork": ""}},
    },
    "Timeouts": {"ExecutionTimeout": "", "QueueTimeout": "", "TotalTimeout": ""},
}
_SHAPE: dict[str, Any] = {
    "Constraints": {"*": {"Key": "", "Operator": "", "Values": ""}},
    "Tasks": {"*": _TASK},
}


@dataclass
class JobFile:
    """A job as it will be sent, and what should be said about how it was written."""

    job: Job
    warnings: list[str] = field(default_factory=list)


def read(text: str, name: str = "the job") -> JobFile:
    """Read a job; ``name`` is how errors call the file. Raises InvalidSpec with line and column."""
    if not text.strip():
        raise InvalidSpec(f"{name} is empty", hint="write a job in YAML or JSON, with Type and Tasks")
    tree, places = parse(text, name)
    if not isinstance(tree, dict):
        raise InvalidSpec(f"{name} is a {_kind(tree)}, not a job", hint="a job is a map with Type and Tasks")
    reader = _Reader(name, text, places)
    return JobFile(cast("Job", reader.top(tree)), reader.warnings)


def read_file(path: Path) -> JobFile:
    """Read a job from a file. Raises UserError when it is no text that can be read, else as `read`."""
    try:
        return read(path.read_text(encoding="utf-8"), str(path))
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is not a text file: {error.reason} at byte {error.start}") from error


class _Reader:
    """Spells keys and checks them, remembering warnings."""

    def __init__(self, name: str, text: str, places: Places) -> None:
        self._name = name
        self._text = text
        self._places = places
        self.warnings: list[str] = []

    def top(self, tree: dict[Any, Any]) -> dict[str, Any]:
        job: dict[str, Any] = {}
        for key, value in tree.items():
            known = _spelling(key, _TOP)
            if known is None:
                raise self._wrong(key, self._unknown(key), _meant(key, list(_TOP)))
            if known in job:
                raise self._wrong(key, f"'{known}' is given twice")
            if value is not None and not _fits(value, _TOP[known]):
                raise self._wrong(
                    key,
                    f"field: '{known}' in 'Job' is invalid type: {_kind(value)} "
                    f"expected: {_KINDS[_TOP[known]]}",
                )
            job[known] = self._below(value, _SHAPE.get(known), (key,), known)
        return job

    def _wrong(self, key: Any, message: str, hint: str = "") -> InvalidSpec:
        place = self._places.get((key,))
        shown = snippet(self._text, *place) if place else ""
        return InvalidSpec(f"{self._at((key,))}{message}{shown}", hint=hint)

    @staticmethod
    def _unknown(key: Any) -> str:
        if str(key).lower() in _SYSTEM:
            return f"field: '{key}' in 'Job' is not allowed: the server sets it"
        return f"unknown field: '{key}' in 'Job'"

    def _below(self, value: Any, shape: Any, path: tuple[Any, ...], where: str) -> Any:
        if not isinstance(shape, dict):
            return value
        if "*" in shape:
            if not isinstance(value, list):
                return value
            return [
                self._below(item, shape["*"], (*path, index), f"{where}[{index}]")
                for index, item in enumerate(value)
            ]
        if not isinstance(value, dict):
            return value
        found = {}
        for key, inner in value.items():
            known = _spelling(key, shape)
            if known is None:
                hint = _meant(key, list(shape))
                self.warnings.append(
                    f"{self._at((*path, key))}'{key}' in {where} is not known and is ignored"
                    + (f"; {hint}" if hint else "")
                )
                continue
            found[known] = self._below(inner, shape[known], (*path, key), f"{where}.{known}")
        return found

    def _at(self, path: tuple[Any, ...]) -> str:
        place = self._places.get(path)
        return f"{self._name}:{place[0]}:{place[1]}: " if place else f"{self._name}: "


def _spelling(key: Any, known: dict[str, Any]) -> str | None:
    return next((name for name in known if name.lower() == str(key).lower()), None)


def _meant(key: Any, known: list[str]) -> str:
    lower = {name.lower(): name for name in known}
    close = difflib.get_close_matches(str(key).lower(), lower, n=1)
    return f"did you mean {lower[close[0]]!r}?" if close else ""


def _fits(value: Any, wanted: type) -> bool:
    return isinstance(value, wanted) and not (wanted is int and isinstance(value, bool))


def _kind(value: Any) -> str:
    return _NAMES.get(type(value), type(value).__name__)
