"""Read a job from a YAML or JSON file: the rules, and errors that say where.

Keys are matched without regard to case and written as the API spells them. At the top a key that is not
known is an error; further down it is a warning, since the server ignores it: either way with its line and
the key that was perhaps meant. What the values mean is checked by the server (or ``job validate``).
"""

from __future__ import annotations

import difflib
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

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
    tree, lines = _parse(text, name)
    if not isinstance(tree, dict):
        raise InvalidSpec(f"{name} is a {_kind(tree)}, not a job", hint="a job is a map with Type and Tasks")
    reader = _Reader(name, lines)
    return JobFile(cast("Job", reader.top(tree)), reader.warnings)


def read_file(path: Path) -> JobFile:
    """Read a job from a file. Raises UserError when it is no text that can be read, else as `read`."""
    try:
        return read(path.read_text(encoding="utf-8"), str(path))
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is not a text file: {error.reason} at byte {error.start}") from error


Lines = dict[tuple[str | int, ...], int]


class _Reader:
    """Spells keys and checks them, remembering warnings."""

    def __init__(self, name: str, lines: Lines) -> None:
        self._name = name
        self._lines = lines
        self.warnings: list[str] = []

    def top(self, tree: dict[Any, Any]) -> dict[str, Any]:
        job: dict[str, Any] = {}
        for key, value in tree.items():
            known = _spelling(key, _TOP)
            if known is None:
                raise InvalidSpec(self._unknown(key), hint=_meant(key, list(_TOP)))
            if known in job:
                raise InvalidSpec(f"{self._at((key,))}'{known}' is given twice")
            if value is not None and not _fits(value, _TOP[known]):
                raise InvalidSpec(
                    f"{self._at((key,))}field: '{known}' in 'Job' is invalid type: {_kind(value)} "
                    f"expected: {_KINDS[_TOP[known]]}"
                )
            job[known] = self._below(value, _SHAPE.get(known), (key,), known)
        return job

    def _unknown(self, key: Any) -> str:
        if str(key).lower() in _SYSTEM:
            return f"{self._at((key,))}field: '{key}' in 'Job' is not allowed: the server sets it"
        return f"{self._at((key,))}unknown field: '{key}' in 'Job'"

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
        line = self._lines.get(path)
        return f"{self._name}:{line}: " if line else f"{self._name}: "


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


# --- text to values -----------------------------------------------------------------------------------


def _parse(text: str, name: str) -> tuple[Any, Lines]:
    """Read JSON where it is JSON, else YAML, remembering the line of each key."""
    if text.lstrip().startswith("{"):
        try:
            return json.loads(text), {}
        except ValueError:
            pass  # a flow map of YAML looks like JSON
    import yaml  # noqa: PLC0415 - only commands that read a file need it

    loader = _loader(yaml)(text)
    try:
        node = loader.get_single_node()
        lines: Lines = {}
        if node is not None:
            _walk(node, (), lines, name)
            return loader.construct_document(node), lines
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"{name}:{mark.line + 1}:{mark.column + 1}" if mark else name
        raise InvalidSpec(f"{where}: {error.problem or error.context}") from error
    except yaml.YAMLError as error:
        raise InvalidSpec(f"{name}: {error}") from error
    finally:
        loader.dispose()
    return None, lines


def _loader(yaml: Any) -> Any:
    base: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

    class Loader(base):  # type: ignore[misc]  # the base is chosen at run time
        """Reads dates as the text they are: a job has no dates."""

        yaml_implicit_resolvers = {  # noqa: RUF012 - replaces the base's own
            first: [(tag, pattern) for tag, pattern in found if not tag.endswith(":timestamp")]
            for first, found in base.yaml_implicit_resolvers.items()
        }

    return Loader


def _walk(node: Any, path: tuple[str | int, ...], lines: Lines, name: str) -> None:
    if node.id == "mapping":
        for key, value in node.value:
            here = (*path, key.value)
            if here in lines:
                raise InvalidSpec(
                    f"{name}:{key.start_mark.line + 1}: {key.value!r} is given twice",
                    hint=f"it stands in line {lines[here]} already",
                )
            lines[here] = key.start_mark.line + 1
            _walk(value, here, lines, name)
    elif node.id == "sequence":
        for index, value in enumerate(node.value):
            _walk(value, (*path, index), lines, name)
