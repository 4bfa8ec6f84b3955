"""Compares an answer with a recorded one that holds placeholders; the rules are in ``tests/exchanges/README.md``."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

SHORT = 10
PLACE = re.compile(r"\{\{(.*?)\}\}")
_KINDS = {
    "time": r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)",
    "string": r"[\s\S]*",
    "text": r"[\s\S]+",
    "semver": r"v?\d+\.\d+\.\d+.*",
    "digits": r"\d+",
    "port": r"\d+",
    "uuid": r"[0-9a-f-]{36}",
    "reqid": r"[A-Za-z0-9]{32}",
    "gotime": r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d \+0000 UTC",
    "base64": r"[A-Za-z0-9+/=]+",
    "int": r"-?\d+",
    "ns": r"\d+",
}
_TYPES: dict[str, type | tuple[type, ...]] = {
    "int": int,
    "ns": int,
    "number": (int, float),
    "object": dict,
    "list": list,
    "any": object,
}
_FOR_PEOPLE = frozenset({"Message", "Hint", "ErrorMsg", "reason", "error", "Diff"})


@dataclass(frozen=True)
class Instead:
    """A value that may be at some places instead of the recorded one."""

    place: str
    recorded: object
    ours: object


@dataclass
class Rules:
    """How one response is compared: places that are soft, unordered or optional, and what we may add.

    Without ``wording``, texts for people are only looked at for being there.
    """

    soft: list[str] = field(default_factory=list)
    unordered: list[str] = field(default_factory=list)
    optional: list[str] = field(default_factory=list)
    wording: bool = True
    instead: Sequence[Instead] = ()
    added: Sequence[str] = ()

    @staticmethod
    def covers(patterns: Sequence[str], path: str) -> bool:
        for pattern in patterns:
            rule = re.escape(pattern).replace(r"\*\*", ".*").replace(r"\*", "[^/]*")
            if re.fullmatch(rule, path):
                return True
        return False

    def allows(self, want: object, got: object, path: str) -> bool:
        """Say whether this value may be here instead of the recorded one."""
        return any(
            (one.recorded, one.ours) == (want, got) and self.covers([one.place], path) for one in self.instead
        )

    def is_loose(self, path: str) -> bool:
        """Say whether only the kind of what is there counts."""
        return self.covers(self.soft, path) or (not self.wording and path.rpartition("/")[2] in _FOR_PEOPLE)


class Comparison:
    """Finds differences; ``names`` is what placeholders stand for, and grows."""

    def __init__(self, names: dict[str, str]) -> None:
        self.names = names

    def bind(self, name: str, value: str) -> bool:
        """Let a name stand for a value; false when another name does already."""
        if value in self.names.values():
            return self.names.get(name) == value
        self.names[name] = value
        if name.endswith(".id"):
            self.names[f"{name[:-3]}.short"] = value[:SHORT]
        return True

    def differences(self, want: Any, got: Any, path: str, rules: Rules) -> list[str]:
        if rules.is_loose(path):
            return [] if _same_kind(want, got) else [f"{path}: {got!r} is of another kind"]
        if rules.allows(want, got, path):
            return []
        if isinstance(want, str):
            return self._texts(want, got, path)
        if isinstance(want, dict) and isinstance(got, dict):
            return list(self._objects(want, got, path, rules))
        if isinstance(want, list) and isinstance(got, list):
            return list(self._lists(want, got, path, rules))
        same = want == got and isinstance(want, bool) == isinstance(got, bool)
        return [] if same else [f"{path}: {got!r} instead of {want!r}"]

    def _objects(self, want: dict[str, Any], got: dict[str, Any], path: str, rules: Rules) -> Iterator[str]:
        for key in sorted(want.keys() | got.keys()):
            here = f"{path}/{key.replace('~', '~0').replace('/', '~1')}"
            if key not in got:
                if not rules.covers(rules.optional, here):
                    yield f"{here} is missing"
            elif key not in want:
                if rules.covers(rules.added, here):
                    continue
                yield f"{here} is too much: {got[key]!r}"
        for key, wanted in want.items():
            if key in got:
                here = f"{path}/{key.replace('~', '~0').replace('/', '~1')}"
                yield from self.differences(wanted, got[key], here, rules)

    def _lists(self, want: list[Any], got: list[Any], path: str, rules: Rules) -> Iterator[str]:
        if len(want) != len(got):
            yield f"{path}: {len(got)} items instead of {len(want)}"
            return
        if not rules.covers(rules.unordered, path):
            for index, (one, other) in enumerate(zip(want, got, strict=True)):
                yield from self.differences(one, other, f"{path}/{index}", rules)
            return
        left = list(got)
        for index, one in enumerate(want):
            for other in left:
                before = dict(self.names)
                if not self.differences(one, other, f"{path}/{index}", rules):
                    left.remove(other)
                    break
                self.names.clear()
                self.names.update(before)
            else:
                yield f"{path}: nothing is like {one!r} in {left!r}"

    def _texts(self, want: str, got: Any, path: str) -> list[str]:
        whole = re.fullmatch(r"\{\{@(\w+)\}\}", want)
        kind = _TYPES.get(whole[1]) if whole else None
        if kind is not None and not isinstance(got, str):
            return [] if isinstance(got, kind) else [f"{path}: {got!r} instead of {want}"]
        if not isinstance(got, str):
            return [f"{path}: {got!r} instead of {want!r}"]
        pattern, new = self._pattern(want)
        match = re.fullmatch(pattern, got)
        if match is None:
            known = PLACE.sub(lambda place: self.names.get(place[1], place[0]), want)
            return [f"{path}: {got!r} instead of {known!r}"]
        for index, name in enumerate(new):
            if not self.bind(name, match[f"n{index}"]):
                return [f"{path}: {got!r} is known as another name than {name}"]
        return []

    def _pattern(self, text: str) -> tuple[str, list[str]]:
        new: list[str] = []

        def part(name: str) -> str:
            if name.startswith("@"):
                return f"(?:{_KINDS[name[1:]]})"
            if name in self.names:
                return re.escape(self.names[name])
            if name in new:
                return f"(?P=n{new.index(name)})"
            new.append(name)
            return f"(?P<n{len(new) - 1}>.+?)"

        pieces = PLACE.split(text)
        pattern = re.escape(pieces[0])
        for name, after in zip(pieces[1::2], pieces[2::2], strict=True):
            pattern += part(name) + re.escape(after)
        return pattern, new


def _same_kind(want: Any, got: Any) -> bool:
    whole = re.fullmatch(r"\{\{@(\w+)\}\}", want) if isinstance(want, str) else None
    kind = _TYPES.get(whole[1]) if whole else None
    return type(want) is type(got) or (kind is not None and isinstance(got, kind))
