"""The text of a job file as values, and where in it each key stands; JSON where it is JSON, else YAML."""

from __future__ import annotations

import json
from math import isfinite
from typing import Any

from bacalhau_nats.errors import InvalidSpec

_MOST_VALUES = 200_000
_DEEPEST = 100
_SHOWN = 100  # characters of a line that an error shows

Places = dict[tuple[str | int, ...], tuple[int, int]]
"""Line and column of each key, counted from 1."""


def parse(text: str, name: str) -> tuple[Any, Places]:
    """Give the value of a text and the places of its keys. Raises InvalidSpec with line, column and that line."""
    import yaml  # noqa: PLC0415 - only commands that read a file need it

    if text.lstrip().startswith("{"):
        try:
            tree = json.loads(text)
        except RecursionError:
            raise InvalidSpec(f"{name} nests too deep", hint="write it flatter") from None
        except ValueError as error:
            if name.lower().endswith(".json"):
                raise _no_json(text, name, error) from error
            # a flow map of YAML looks like JSON
        else:
            return tree, _places_in_json(yaml, text, name)
    try:
        return _parse_yaml(yaml, text, name)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"{name}:{mark.line + 1}:{mark.column + 1}" if mark else name
        shown = snippet(text, mark.line + 1, mark.column + 1) if mark else ""
        raise InvalidSpec(
            f"{where}: {error.problem or error.context}{shown}", hint=_yaml_hint(text)
        ) from error
    except (yaml.YAMLError, ValueError) as error:
        raise InvalidSpec(f"{name} cannot be read as YAML: {error}") from error
    except RecursionError:
        raise InvalidSpec(f"{name} nests too deep", hint="write it flatter") from None


def _parse_yaml(yaml: Any, text: str, name: str) -> tuple[Any, Places]:
    loader = _loader(yaml)(text)
    try:
        node = loader.get_single_node()
        if node is None:
            return None, {}
        places = _walk(node, name)
        tree = loader.construct_document(node)
        _check_plain(tree, name)
        return tree, places
    finally:
        loader.dispose()


def _places_in_json(yaml: Any, text: str, name: str) -> Places:
    """Find the keys of a JSON text with the reader of YAML: tabs can only stand between its words."""
    try:
        return _parse_yaml(yaml, text.replace("\t", " "), name)[1]
    except (yaml.YAMLError, ValueError, RecursionError):
        return {}  # JSON that is no YAML: errors then name no line


def _no_json(text: str, name: str, error: ValueError) -> InvalidSpec:
    if not isinstance(error, json.JSONDecodeError):
        return InvalidSpec(f"{name} cannot be read as JSON: {error}")
    where = f"{name}:{error.lineno}:{error.colno}"
    return InvalidSpec(f"{where}: {error.msg}{snippet(text, error.lineno, error.colno)}")


def snippet(text: str, line: int, column: int) -> str:
    """Show a line of the text, and below it where in it something is."""
    lines = text.splitlines()
    if not 0 < line <= len(lines):
        return ""
    number, shown = str(line), lines[line - 1].replace("\t", " ")
    # A long line is shown from where something is.
    begin = max(0, column - _SHOWN // 2) if len(shown) > _SHOWN else 0
    shown = shown[begin : begin + _SHOWN]
    return f"\n  {number} | {shown}\n  {' ' * len(number)} | {' ' * (column - 1 - begin)}^"


def _yaml_hint(text: str) -> str:
    if any(line.lstrip(" ").startswith("\t") for line in text.splitlines()):
        return "YAML is indented with blanks, not with tabs"
    return ""


def _loader(yaml: Any) -> Any:
    base: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

    class Loader(base):  # type: ignore[misc]  # the base is chosen at run time
        """Reads dates as the text they are: a job has no dates."""

        yaml_implicit_resolvers = {  # noqa: RUF012 - replaces the base's own
            first: [(tag, pattern) for tag, pattern in found if not tag.endswith(":timestamp")]
            for first, found in base.yaml_implicit_resolvers.items()
        }

    return Loader


def _walk(root: Any, name: str) -> Places:
    """Note where each key stands; aliases are followed, up to a number of values that no job needs."""
    places: Places = {}
    left: list[tuple[Any, tuple[str | int, ...]]] = [(root, ())]
    seen = 0
    while left:
        node, path = left.pop()
        seen += 1
        if seen > _MOST_VALUES:
            raise InvalidSpec(
                f"{name} has more than {_MOST_VALUES} values", hint="aliases count as what they stand for"
            )
        if len(path) > _DEEPEST:
            raise InvalidSpec(f"{name} nests deeper than {_DEEPEST} levels, or refers to itself")
        if node.id == "sequence":
            left.extend((value, (*path, index)) for index, value in enumerate(node.value))
        for key, value in node.value if node.id == "mapping" else ():
            line, column = key.start_mark.line + 1, key.start_mark.column + 1
            if key.id != "scalar":
                raise InvalidSpec(f"{name}:{line}:{column}: a key must be a text, not a {key.id}")
            here = (*path, key.value)
            if here in places:
                raise InvalidSpec(
                    f"{name}:{line}:{column}: {key.value!r} is given twice",
                    hint=f"it stands in line {places[here][0]} already",
                )
            places[here] = (line, column)
            left.append((value, here))
    return places


def _check_plain(tree: Any, name: str) -> None:
    """Refuse what YAML has and JSON has not: bytes, sets, numbers that are none. Raises InvalidSpec."""
    left = [tree]
    while left:
        value = left.pop()
        if isinstance(value, dict):
            left.extend(value.values())
        elif isinstance(value, list):
            left.extend(value)
        elif not isinstance(value, str | int | float | None) or (
            isinstance(value, float) and not isfinite(value)
        ):
            raise InvalidSpec(
                f"{name} holds {value!r}, which a job cannot hold", hint='write it as a text: "…"'
            )
