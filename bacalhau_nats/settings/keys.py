"""Every key there is, found by walking the tree of sections: its name, type, default and meaning.

Keys are matched without regard to case. What stands below ``Engines.Types.<name>`` (and the like) of a
plugin that is not ours is free: any key, any value.
"""

from __future__ import annotations

import difflib
import json
import types
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from bacalhau_nats.errors import InvalidSettings
from bacalhau_nats.settings.plugins import PluginTypes
from bacalhau_nats.settings.section import Section
from bacalhau_nats.settings.values import format_duration, format_size, parse_duration, parse_size

LIST_HINT = "run `bacalhau config list` to see all keys"


@dataclass(frozen=True, slots=True)
class Key:
    """One key. ``kind`` is text, bool, int, duration, size, choice, list, map, objects or free."""

    path: tuple[str, ...]
    kind: str
    description: str = ""
    default: Any = None  # as JSON shows it
    secret: bool = False
    unused: bool = False
    choices: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The key as it is written: ``API.TLS.CertFile``."""
        return ".".join(self.path)

    @property
    def expected(self) -> str:
        """What a value must look like, for messages."""
        if self.choices:
            return f"one of {', '.join(self.choices)}"
        return _EXPECTED[self.kind]

    def read(self, text: str) -> Any:
        """Turn the text of a variable, flag or ``-c`` into the value; the model validates it later.

        Raises ValueError.
        """
        if self.kind == "list":
            return read_list(text)
        if self.kind == "map":
            return read_map(text)
        if self.kind == "objects":
            return json.loads(text)
        if self.kind == "free":
            return _read_free(text)
        return text


_EXPECTED = {
    "text": "a text",
    "bool": "true or false",
    "int": "a whole number",
    "duration": "a duration such as 1m30s, 24h or 500ms",
    "size": "a size such as 512MB or 1GiB",
    "choice": "one of the choices",
    "list": "texts separated by commas",
    "map": "pairs such as a=b,c=d",
    "objects": "a structure as in the YAML file, or its JSON",
    "free": "anything",
}


def read_list(text: str) -> list[str]:
    """Read ``a,b``. Raises ValueError when a blank or ``;`` stands where a comma belongs."""
    items = [item.strip() for item in text.split(",")] if text.strip() else []
    for item in items:
        if not item:
            raise ValueError("an item is empty")
        if ";" in item or len(item.split()) > 1:
            raise ValueError("items are separated by commas, not by blanks or ;")
    return items


def read_map(text: str) -> dict[str, str]:
    """Read ``k=v,k2=v2``. Raises ValueError unless each pair has one ``=`` and two sides."""
    pairs: dict[str, str] = {}
    for pair in text.split(",") if text.strip() else []:
        name, equals, value = (part.strip() for part in pair.partition("="))
        if not equals or not name or not value or "=" in value:
            raise ValueError(f"{pair!r} is not of the form name=value")
        pairs[name] = value
    return pairs


def _read_free(text: str) -> Any:
    try:
        return json.loads(text)  # true, 5, ["a"]: what YAML would have made of it
    except ValueError:
        return text


class Keys:
    """The index of all keys below a root section."""

    def __init__(self, root: type[Section]) -> None:
        self.all: tuple[Key, ...] = tuple(_walk(root, ()))
        self._by_name = {key.name.lower(): key for key in self.all}
        self._sections = dict(_sections(root, ()))
        self._open = {name for name, section in self._sections.items() if issubclass(section[1], PluginTypes)}

    def find(self, name: str) -> Key:
        """Find a key by its name in any case.

        Raises InvalidSettings for a name that is unknown (with the nearest that are known) or that is a
        whole section.
        """
        wanted = name.strip().lower()
        found = self._by_name.get(wanted)
        if found is not None:
            return found
        free = self._free(name.strip())
        if free is not None:
            return free
        if wanted in self._sections:
            inside = next((key.name for key in self.all if key.name.lower().startswith(f"{wanted}.")), "")
            raise InvalidSettings(
                f"{self.spelled(name)} is a section, not a key",
                hint=f"set one of its keys, such as {inside}" if inside else LIST_HINT,
            )
        near = difflib.get_close_matches(wanted, [*self._by_name, *self._sections], n=3, cutoff=0.7)
        raise InvalidSettings(
            f'"{name}" is not a valid config key',
            hint=f"did you mean {' or '.join(self.spelled(match) for match in near)}?" if near else LIST_HINT,
        )

    def is_section(self, name: str) -> bool:
        """Say whether ``name`` is a section, or one of a plugin from outside."""
        wanted = name.lower()
        return wanted in self._sections or (
            wanted.rpartition(".")[0] in self._open and self._free(name) is None
        )

    def spelled(self, name: str) -> str:
        """Write a known key or section in its own case."""
        wanted = name.strip().lower()
        if wanted in self._by_name:
            return self._by_name[wanted].name
        return ".".join(self._sections[wanted][0]) if wanted in self._sections else name

    def at(self, location: Sequence[str | int]) -> Key | None:
        """Find the key to which a place in the tree belongs, such as ``("Labels", "team")``."""
        for length in range(len(location), 0, -1):
            found = self._by_name.get(".".join(str(part) for part in location[:length]).lower())
            if found is not None:
                return found
        return None

    def _free(self, name: str) -> Key | None:
        parts = name.split(".")
        for length in range(1, len(parts) - 1):
            head = ".".join(parts[:length]).lower()
            plugin = f"{head}.{parts[length].lower()}"
            if head in self._open and plugin not in self._sections and all(parts):
                return Key((*self._sections[head][0], *parts[length:]), "free", "A plugin's own key.")
        return None


def _sections(
    section: type[Section], path: tuple[str, ...]
) -> Iterator[tuple[str, tuple[tuple[str, ...], type[Section]]]]:
    for field, info in section.model_fields.items():
        if isinstance(info.annotation, type) and issubclass(info.annotation, Section):
            here = (*path, info.alias or field)
            yield ".".join(here).lower(), (here, info.annotation)
            yield from _sections(info.annotation, here)


def _walk(section: type[Section], path: tuple[str, ...]) -> Iterator[Key]:
    for field, info in section.model_fields.items():
        here = (*path, info.alias or field)
        if isinstance(info.annotation, type) and issubclass(info.annotation, Section):
            yield from _walk(info.annotation, here)
            continue
        kind = _kind(info)
        extra = info.json_schema_extra
        marks: dict[str, Any] = extra if isinstance(extra, dict) else {}
        yield Key(
            path=here,
            kind=kind,
            description=info.description or "",
            default=_shown(kind, info.get_default(call_default_factory=True)),
            secret=bool(marks.get("secret")),
            unused=bool(marks.get("unused")),
            choices=get_args(info.annotation) if kind == "choice" else (),
        )


def _kind(info: FieldInfo) -> str:
    readers = {getattr(mark, "func", None) for mark in info.metadata}
    if parse_duration in readers:
        return "duration"
    if parse_size in readers:
        return "size"
    annotation, origin = info.annotation, get_origin(info.annotation)
    if origin is Literal:
        return "choice"
    if origin is tuple:
        return "objects" if _is_model(get_args(annotation)[0]) else "list"
    if origin is dict:
        return "objects" if _is_model(get_args(annotation)[1]) else "map"
    if annotation in (bool, int):
        return annotation.__name__ if isinstance(annotation, type) else "text"
    return "text"


def _is_model(annotation: Any) -> bool:
    if get_origin(annotation) in (Annotated, types.UnionType):
        annotation = get_args(annotation)[0]
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)


def _shown(kind: str, value: Any) -> Any:
    if kind == "duration":
        return format_duration(value)
    if kind == "size":
        return format_size(value)
    if kind == "list":
        return list(value)
    if kind == "objects":
        pairs = value.items() if isinstance(value, dict) else enumerate(value)
        shown = {name: part.model_dump(mode="json", by_alias=True) for name, part in pairs}
        return shown if isinstance(value, dict) else list(shown.values())
    return str(value) if isinstance(value, Path) else value
