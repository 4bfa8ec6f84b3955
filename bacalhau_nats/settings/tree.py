"""The settings as one frozen tree, and how they are put together.

defaults < config files in the order given < environment < dedicated flags < ``-c key=value``

Maps are merged from file to file; any other source replaces a map as a whole. Nothing here reads the
process's environment: it is an argument.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, Self

from pydantic import PrivateAttr, ValidationError
from pydantic_core import ErrorDetails

from bacalhau_nats.errors import InvalidSettings
from bacalhau_nats.settings.api import APISettings
from bacalhau_nats.settings.compute import ComputeSettings
from bacalhau_nats.settings.general import FeatureFlags, LoggingSettings, UpdateSettings, WebUISettings
from bacalhau_nats.settings.jobs import JobAdmissionControlSettings, JobDefaultsSettings
from bacalhau_nats.settings.keys import Key, Keys
from bacalhau_nats.settings.orchestrator import OrchestratorSettings
from bacalhau_nats.settings.place import Place
from bacalhau_nats.settings.plugins import (
    EnginesSettings,
    InputSourcesSettings,
    PublishersSettings,
    ResultDownloadersSettings,
)
from bacalhau_nats.settings.section import Section, key, part
from bacalhau_nats.settings.sources import (
    Assignment,
    Fault,
    read_environment,
    read_file,
    read_flags,
    read_options,
    refuse,
    without_place,
)
from bacalhau_nats.settings.values import Lower, Text
from bacalhau_nats.settings.wire import mask, prune

CONFIG_FILE = "config.yaml"


class Described(NamedTuple):
    """One line of `config list`; ``source`` is ``default`` or says where the value was written."""

    key: str
    value: Any
    description: str
    source: str


class Settings(Section):
    """Everything that can be set."""

    cell: Text = key(
        "main",
        "Deployment this node belongs to: the second word of every subject; letters, digits, - and _.",
        min_length=1,
        max_length=64,
        pattern="^[A-Za-z0-9_-]+$",
    )
    name_provider: Annotated[Literal["hostname", "aws", "gcp", "uuid", "puuid"], Lower] = key(
        "puuid", "Where a node without a name gets one from; puuid is n- and a UUID."
    )
    data_dir: Path = key(Path("~/.bacalhau"), "Folder of everything this node keeps.")
    strict_version_match: bool = key(False, "Whether client and server versions must match.", unused=True)
    disable_analytics: bool = key(False, "Whether to send no analytics; none are ever sent.", unused=True)
    labels: dict[str, str] = key(dict, "Labels of this node, matched by the constraints of jobs.")
    api: APISettings = part(APISettings)
    orchestrator: OrchestratorSettings = part(OrchestratorSettings)
    compute: ComputeSettings = part(ComputeSettings)
    web_ui: WebUISettings = part(WebUISettings)
    input_sources: InputSourcesSettings = part(InputSourcesSettings)
    publishers: PublishersSettings = part(PublishersSettings)
    engines: EnginesSettings = part(EnginesSettings)
    result_downloaders: ResultDownloadersSettings = part(ResultDownloadersSettings)
    job_defaults: JobDefaultsSettings = part(JobDefaultsSettings)
    job_admission_control: JobAdmissionControlSettings = part(JobAdmissionControlSettings)
    logging: LoggingSettings = part(LoggingSettings)
    update_config: UpdateSettings = part(UpdateSettings)
    feature_flags: FeatureFlags = part(FeatureFlags)

    _given: dict[str, Assignment] = PrivateAttr(default_factory=dict)

    @classmethod
    def load(
        cls,
        files: Sequence[Path] = (),
        environ: Mapping[str, str] | None = None,
        overrides: Sequence[str] = (),
        flags: Mapping[str, Any] | None = None,
        *,
        cwd: Path | None = None,
    ) -> Self:
        """Put the settings together.

        ``overrides`` are the ``-c`` options as given, ``flags`` the values of dedicated flags by the key
        they stand for (None: not given). With no file named anywhere, ``config.yaml`` in the data folder
        is read if it is there. Relative data folders are resolved against ``cwd``. Raises InvalidSettings.
        """
        keys, environ = all_keys(), environ or {}
        options = read_options(overrides, keys)
        from_flags = read_flags(flags or {}, keys)
        for flag in from_flags:
            if any(option.key.name == flag.key.name for option in options.assignments):
                raise InvalidSettings(
                    f"{flag.key.name} is given both by its flag and by -c", hint="give it once"
                )
        outer = [*read_environment(environ, keys), *from_flags, *options.assignments]
        place = Place(environ, cwd)
        named = [place.expand(path) for path in (*files, *options.files)]
        if not named:
            default = place.data_dir(_last(outer, "DataDir")) / CONFIG_FILE
            named = [default] if default.is_file() else []
        inner = [found for path in named for found in read_file(path, keys)]
        return cls._build(_merge([*inner, *outer]), place)

    @classmethod
    def check_file(cls, path: Path) -> list[Fault]:
        """List every mistake in a file: unknown keys, and values that cannot be used; in their order.

        Raises InvalidSettings when it is no readable YAML file.
        """
        faults: list[Fault] = []
        given = _merge(read_file(path, all_keys(), faults))
        try:
            cls.model_validate(_tree(given, Place({"HOME": "/"}, None)))
        except InvalidSettings as error:
            faults.append(_fault(error, given))
        except ValidationError as error:
            faults += [_fault(_explain(problem, given), given) for problem in error.errors(include_url=False)]
        return sorted(faults)

    @classmethod
    def _build(cls, given: dict[str, Assignment], place: Place) -> Self:
        try:
            return cls.model_validate(_tree(given, place), context=given)
        except ValidationError as error:
            raise _explain(error.errors(include_url=False)[0], given) from None

    def model_post_init(self, context: Any) -> None:
        """Remember where each value was written."""
        self._given.update(context or {})

    def describe(self) -> list[Described]:
        """List every key with its value as JSON shows it, secrets masked, sorted by key."""
        tree = mask(self.model_dump(mode="json", by_alias=True), all_keys())
        free = [found.key for found in self._given.values() if found.key.kind == "free"]
        return [
            Described(found.name, _at(tree, found.path), found.description, self.source(found.name))
            for found in sorted((*all_keys().all, *free), key=lambda found: found.name)
        ]

    def source(self, name: str) -> str:
        """Say where the value of a key comes from; ``default`` when nobody set it."""
        found = self._given.get(name)
        return found.where if found else "default"

    def unused(self) -> list[Described]:
        """List the keys somebody set that have no meaning here, for a warning at start."""
        known = {found.name for found in all_keys().all if found.unused}
        return [line for line in self.describe() if line.key in known and line.source != "default"]

    def to_wire(self, *, redact: bool = True) -> dict[str, Any]:
        """Give the object of ``GET /api/v1/agent/config``: PascalCase, durations as Go prints them.

        What is empty is left out; sections always appear. Secrets are masked unless told otherwise.
        """
        tree = self.model_dump(mode="json", by_alias=True)
        return prune(mask(tree, all_keys()) if redact else tree, all_keys())


@cache
def all_keys() -> Keys:
    """Give the index of all keys."""
    return Keys(Settings)


def _last(assignments: Sequence[Assignment], name: str) -> Assignment | None:
    return next((found for found in reversed(assignments) if found.key.name == name), None)


def _merge(assignments: Sequence[Assignment]) -> dict[str, Assignment]:
    merged: dict[str, Assignment] = {}
    for found in assignments:
        name = found.key.name if found.key.kind != "free" else _respelled(found.key, merged)
        below = merged.get(name)
        if (
            below
            and found.origin == "file"
            and isinstance(found.value, dict)
            and isinstance(below.value, dict)
        ):
            both = {**below.value, **found.value}
            merged[name] = Assignment(found.key, both, "file", f"{below.where}, {found.where}")
        else:
            merged.pop(name, None)
            merged[name] = found
    return merged


def _respelled(wanted: Key, merged: Mapping[str, Assignment]) -> str:
    return next((name for name in merged if name.lower() == wanted.name.lower()), wanted.name)


def _tree(given: Mapping[str, Assignment], place: Place) -> dict[str, Any]:
    tree: dict[str, Any] = {"DataDir": place.data_dir(given.get("DataDir"))}
    for name, found in given.items():
        if name != "DataDir":
            _put(tree, found)
    return tree


def _put(tree: dict[str, Any], found: Assignment) -> None:
    for step in found.key.path[:-1]:
        tree = tree.setdefault(_as_spelled(tree, step), {})
    if not isinstance(tree, dict):
        raise refuse(found.key, found.value, found.where, f"{'.'.join(found.key.path[:-1])} is a value")
    tree[found.key.path[-1]] = found.value


def _at(tree: Any, path: Sequence[str]) -> Any:
    for step in path:
        tree = tree[_as_spelled(tree, step)]
    return tree


def _as_spelled(tree: Any, step: str) -> str:
    """Find how ``step`` is spelled in ``tree``: a plugin's own keys have no case of ours."""
    if step in tree:
        return step
    return next((name for name in tree if name.lower() == step.lower()), step)


def _fault(error: InvalidSettings, given: Mapping[str, Assignment]) -> Fault:
    """Turn a refusal into a fault at the place of its key; without one, of the file as a whole."""
    found = given.get(error.details.get("key", ""))
    if found is None:
        return Fault(0, 0, error.message, error.hint)
    line, column = map(int, found.where.rpartition(", ")[2].rsplit(":", 2)[1:])
    return Fault(line, column, *without_place(error, found.where))


def _explain(problem: ErrorDetails, given: Mapping[str, Assignment]) -> InvalidSettings:
    location = [part for part in problem["loc"] if part != "[key]"]
    why = re.sub(r"^(Value error|Assertion failed), ", "", problem["msg"])
    found = all_keys().at(location)
    if found is not None and found.name in given:
        source = given[found.name]
        inside = location[len(found.path) :]
        detail = f"{'.'.join(str(part) for part in inside)}: {why}" if inside else why
        return refuse(found, source.value, source.where, detail)
    # A rule over several keys of one section: name those that were set.
    section = ".".join(str(part) for part in location)
    blamed = [entry for name, entry in given.items() if name.startswith(f"{section}.")]
    where = "; ".join(f"{entry.key.name} from {entry.where}" for entry in blamed)
    return InvalidSettings(f"{section}: {why} ({where})", key=section)
