"""Where settings come from: YAML files, the environment, flags and ``-c``.

Each source becomes a list of `Assignment`, in the order in which later ones win; each remembers where it
was written, so that an error or `config list` can say so.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from bacalhau_nats.errors import InvalidSettings
from bacalhau_nats.settings.keys import LIST_HINT, Key, Keys
from bacalhau_nats.settings.section import MASK, USERINFO

if TYPE_CHECKING:
    import yaml

PREFIX = "BACALHAU_"
# The general form wins over these, which is why they come first.
SPECIAL_VARIABLES = {
    "LOG_LEVEL": "Logging.Level",
    "BACALHAU_DIR": "DataDir",
    "DOCKER_USERNAME": "Engines.Types.Docker.Username",
    "DOCKER_PASSWORD": "Engines.Types.Docker.Password",
    "SKIP_IMAGE_PULL": "Engines.Types.Docker.SkipImagePull",
}


@dataclass(frozen=True, slots=True)
class Assignment:
    """A key was given a value. ``origin`` is file, environment, flag or ``-c``; ``where`` is for people."""

    key: Key
    value: Any
    origin: str
    where: str


@dataclass(frozen=True, slots=True)
class Overrides:
    """What the ``-c`` options say: files to read, and keys to set."""

    files: tuple[Path, ...]
    assignments: tuple[Assignment, ...]


def refuse(key: Key, value: Any, where: str, why: str = "") -> InvalidSettings:
    """Say that ``value`` cannot be used for ``key``; a secret is not repeated."""
    if isinstance(value, list | tuple):
        value = ",".join(str(item) for item in value)
    shown = "the value" if key.secret or key.kind == "objects" else f'"{USERINFO.sub(MASK, str(value))}"'
    because = f": {why}" if why else ""
    return InvalidSettings(
        f"{key.name}: {shown} from {where} cannot be used{because}",
        hint="" if key.kind == "text" else f"expected {key.expected}",
        key=key.name,
    )


def read_options(options: Sequence[str], keys: Keys) -> Overrides:
    """Read the three meanings of ``-c``: ``key=value``, ``file.yaml``, or a boolean key to switch on.

    Raises InvalidSettings.
    """
    files: list[Path] = []
    assignments: list[Assignment] = []
    for option in options:
        name, equals, text = option.partition("=")
        if equals:
            assignments.append(_from_text(keys.find(name), text, "-c", "-c"))
        elif option.endswith((".yaml", ".yml")):
            files.append(Path(option))
        else:
            key = keys.find(option)
            if key.kind != "bool":
                raise InvalidSettings(
                    f"-c {option}: {key.name} needs a value",
                    hint=f"write -c {key.name}=<value>, {key.expected}",
                )
            assignments.append(Assignment(key, True, "-c", "-c"))
    return Overrides(tuple(files), tuple(assignments))


def read_environment(environ: Mapping[str, str], keys: Keys) -> list[Assignment]:
    """Read ``BACALHAU_<KEY with _ for .>`` and the special variables; an empty one counts as not set."""
    variables = [(variable, keys.find(name)) for variable, name in SPECIAL_VARIABLES.items()]
    variables += [(PREFIX + key.name.upper().replace(".", "_"), key) for key in keys.all]
    return [
        _from_text(key, environ[variable], "environment", f"the variable {variable}")
        for variable, key in variables
        if environ.get(variable)
    ]


def read_flags(flags: Mapping[str, Any], keys: Keys) -> list[Assignment]:
    """Read dedicated flags, given by the key they stand for; None means the flag was not given."""
    found = []
    for name, value in flags.items():
        if value is not None:
            key = keys.find(name)
            where = f"the flag for {key.name}"
            found.append(
                _from_text(key, value, "flag", where)
                if isinstance(value, str)
                else Assignment(key, value, "flag", where)
            )
    return found


def _from_text(key: Key, text: str, origin: str, where: str) -> Assignment:
    try:
        return Assignment(key, key.read(text), origin, where)
    except ValueError as error:
        raise refuse(key, text, where, str(error)) from None


class Fault(NamedTuple):
    """A mistake in a file, with its place counted from 1 (0: of the whole file)."""

    line: int
    column: int
    message: str
    hint: str = ""


def read_file(path: Path, keys: Keys, faults: list[Fault] | None = None) -> list[Assignment]:
    """Read a YAML file. Raises InvalidSettings naming file and line of the first mistake.

    With ``faults`` each mistake is added there instead, and what can be read is read; a file that cannot be
    read at all is still an error.
    """
    import yaml  # noqa: PLC0415 - most commands of the CLI have no file to read

    if path.is_dir():
        raise InvalidSettings(f"config file {path} is a directory", hint="name a YAML file")
    try:
        text = path.read_text()
    except FileNotFoundError:
        raise InvalidSettings(
            f"config file {path} does not exist", hint="check the path given with -c"
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidSettings(f"config file {path} cannot be read: {error}") from None
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        return [] if node is None else list(_File(path, keys, faults).assignments(node, ()))
    except yaml.YAMLError as error:
        # Not the whole error: it quotes the file, where tokens are.
        mark, problem = getattr(error, "problem_mark", None), getattr(error, "problem", None) or "unreadable"
        line = f":{mark.line + 1}" if mark else ""
        raise InvalidSettings(f"config file {path}{line} is no valid YAML: {problem}") from None


class _File:
    """One file that is being read."""

    def __init__(self, path: Path, keys: Keys, faults: list[Fault] | None) -> None:
        self._path, self._keys, self._faults = path, keys, faults

    def _where(self, mark: yaml.Mark) -> str:
        line = f"{self._path}:{mark.line + 1}"
        return line if self._faults is None else f"{line}:{mark.column + 1}"

    def _fail(self, mark: yaml.Mark, message: str, hint: str) -> None:
        if self._faults is None:
            raise InvalidSettings(f"{self._where(mark)}: {message}", hint=hint)
        self._faults.append(Fault(mark.line + 1, mark.column + 1, message, hint))

    def assignments(self, node: yaml.Node, at: tuple[str, ...]) -> Iterator[Assignment]:
        """Read what stands below the section ``at``."""
        import yaml  # noqa: PLC0415 - as in `read_file`

        if not isinstance(node, yaml.MappingNode):
            if _construct(node) is not None:  # an empty section is none
                place = ".".join(at) or "the top"
                self._fail(node.start_mark, f"expected keys with values below {place}", LIST_HINT)
            return
        seen: set[str] = set()
        for name_node, value_node in node.value:
            name = str(name_node.value)
            dotted = ".".join((*at, name))
            if name.lower() in seen:
                self._fail(name_node.start_mark, f"{dotted} is given twice", "remove one of them")
                continue
            seen.add(name.lower())
            if self._keys.is_section(dotted):
                yield from self.assignments(value_node, (*at, name))
            else:
                yield from self._leaf(dotted, name_node, value_node)

    def _leaf(self, dotted: str, name: yaml.Node, node: yaml.Node) -> Iterator[Assignment]:
        try:
            key = self._keys.find(dotted)
        except InvalidSettings as error:
            self._fail(name.start_mark, error.message, error.hint)
            return
        value = _construct(node)
        if value is None:
            return
        where = self._where(name.start_mark)
        if isinstance(value, str) and key.kind in ("list", "map"):
            try:
                yield _from_text(key, value, "file", where)
            except InvalidSettings as error:
                if self._faults is None:
                    raise
                self._fail(name.start_mark, *without_place(error, where))
        else:
            yield Assignment(key, value, "file", where)


def without_place(error: InvalidSettings, where: str) -> tuple[str, str]:
    """Give message and hint of a refusal without the place, for one who says it in another way."""
    return error.message.replace(f" from {where}", ""), error.hint


def _construct(node: yaml.Node) -> Any:
    from yaml.constructor import SafeConstructor  # noqa: PLC0415 - as in `read_file`

    return SafeConstructor().construct_document(node)
