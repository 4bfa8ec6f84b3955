"""Read a job as clients send it, with the habits of Go's JSON decoder.

A *draft* is that job as plain values under its exact keys: what the public API calls a Job before it is
checked, completed and stored as a `JobSpec`. Keys match without regard to case, unknown ones are ignored,
null leaves a field as if it were absent, and integers must be written without fraction or exponent.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from bacalhau_nats.domain.spec import NetworkType
from bacalhau_nats.errors import InvalidSpec

Draft = dict[str, Any]
Decoder = Callable[[Any, str], Any]

_INT64 = (-(2**63), 2**63 - 1)
_UINT64 = (0, 2**64 - 1)
_NETWORKS = {network.value.lower(): network.value for network in NetworkType}
WASM_ENTRY = "/wasm/entry.wasm"
WASM_IMPORT = "/wasm/imports/module_{index}.wasm"


def decode_job(value: Any, where: str = "Job") -> Draft:
    """Read a job. Raises InvalidSpec naming the first field of the wrong type."""
    draft: Draft = _JOB(value, where)
    for index, task in enumerate(draft.get("Tasks", ())):
        if task is not None:
            _modernise_wasm(task, f"{where}.Tasks[{index}]")
    return draft


# --- the decoder, in pieces -------------------------------------------------------------------------


def mismatch(expected: str, value: Any, where: str) -> InvalidSpec:
    """Make the error of a value of the wrong type."""
    match value:
        case bool():
            got = "bool"
        case int() | float():
            got = f"number {value}" if expected.startswith(("int", "uint")) else "number"
        case str():
            got = "string"
        case list():
            got = "array"
        case dict():
            got = "object"
        case _:
            got = "null"
    return InvalidSpec(
        f"Unmarshal type error: expected={expected}, got={got}, field={where}",
        hint=f"write {where} as {expected}",
        field=where,
    )


def text(value: Any, where: str) -> str:
    """Read a text."""
    if not isinstance(value, str):
        raise mismatch("string", value, where)
    return value


def _trimmed(value: Any, where: str) -> str:
    return text(value, where).strip()


def boolean(value: Any, where: str) -> bool:
    """Read true or false."""
    if not isinstance(value, bool):
        raise mismatch("bool", value, where)
    return value


def integer(kind: str = "int64", bounds: tuple[int, int] = _INT64) -> Decoder:
    """Make the reader of an integer that is written without fraction or exponent."""

    def read(value: Any, where: str) -> int:
        if not isinstance(value, int) or isinstance(value, bool) or not bounds[0] <= value <= bounds[1]:
            raise mismatch(kind, value, where)
        return value

    return read


def unsigned(value: Any, where: str) -> int:
    """Read an integer that is not negative."""
    read: int = integer("uint64", _UINT64)(value, where)
    return read


def fields(expected: str, table: Mapping[str, Decoder]) -> Decoder:
    """Make the reader of an object whose keys match without regard to case."""
    folded = {name.lower(): name for name in table}

    def read(value: Any, where: str) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise mismatch(expected, value, where)
        found: dict[str, Any] = {}
        for key, item in value.items():
            name = key if key in table else folded.get(key.lower())
            if name is not None and item is not None:
                found[name] = table[name](item, f"{where}.{name}" if where else name)
        return found

    return read


def _many(expected: str, each: Decoder, *, keep_null: bool = False) -> Decoder:
    def read(value: Any, where: str) -> list[Any]:
        if not isinstance(value, list):
            raise mismatch(expected, value, where)
        empty: Any = None if keep_null else {}
        return [
            each(item, f"{where}[{index}]") if item is not None else empty for index, item in enumerate(value)
        ]

    return read


def texts(value: Any, where: str) -> dict[str, str]:
    """Read a map of texts; a null value is an empty text."""
    if not isinstance(value, dict):
        raise mismatch("map[string]string", value, where)
    return {key: "" if item is None else text(item, f"{where}.{key}") for key, item in value.items()}


def _words(value: Any, where: str) -> list[str]:
    if not isinstance(value, list):
        raise mismatch("[]string", value, where)
    return ["" if item is None else text(item, f"{where}[{index}]") for index, item in enumerate(value)]


def _params(value: Any, where: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise mismatch("map[string]interface {}", value, where)
    return value


def _network_type(value: Any, where: str) -> str:
    if not isinstance(value, str):
        raise mismatch("models.Network", value, where)
    known = _NETWORKS.get(value.strip().lower())
    if known is None:
        raise InvalidSpec(
            f"models.Network: unknown type '{value}'",
            hint=f"use one of {', '.join(_NETWORKS.values())}",
            field=where,
        )
    return known


def _state_type(value: Any, where: str) -> str:
    if not isinstance(value, str):
        raise mismatch("models.JobStateType", value, where)
    return value


_int = integer("int")
_seconds = integer("int64")
_SPEC_CONFIG = fields("models.SpecConfig", {"Type": text, "Params": _params})
_INPUT = fields("models.InputSource", {"Source": _SPEC_CONFIG, "Alias": _trimmed, "Target": text})
_TASK = fields(
    "models.Task",
    {
        "Name": text,
        "Engine": _SPEC_CONFIG,
        "Publisher": _SPEC_CONFIG,
        "Env": texts,
        "Meta": texts,
        "InputSources": _many("[]*models.InputSource", _INPUT),
        "ResultPaths": _many(
            "[]*models.ResultPath", fields("models.ResultPath", {"Name": text, "Path": text})
        ),
        "Resources": fields(
            "models.ResourcesConfig", {"CPU": text, "Memory": text, "Disk": text, "GPU": text}
        ),
        "Network": fields(
            "models.NetworkConfig",
            {
                "Type": _network_type,
                "Domains": _words,
                "Ports": _many(
                    "[]*models.PortMapping",
                    fields(
                        "models.PortMapping",
                        {"Name": text, "Static": _int, "Target": _int, "HostNetwork": text},
                    ),
                ),
            },
        ),
        "Timeouts": fields(
            "models.TimeoutConfig",
            {"ExecutionTimeout": _seconds, "QueueTimeout": _seconds, "TotalTimeout": _seconds},
        ),
    },
)
_JOB = fields(
    "models.job",
    {
        "ID": text,
        "Name": text,
        "Namespace": text,
        "Type": text,
        "Priority": _int,
        "Count": _int,
        "Constraints": _many(
            "[]*models.LabelSelectorRequirement",
            fields("models.LabelSelectorRequirement", {"Key": text, "Operator": text, "Values": _words}),
        ),
        "Meta": texts,
        "Labels": texts,
        "Tasks": _many("[]*models.Task", _TASK, keep_null=True),
        "State": fields("models.State", {"StateType": _state_type, "Message": text, "Details": texts}),
        "Version": unsigned,
        "Revision": unsigned,
        "CreateTime": _seconds,
        "ModifyTime": _seconds,
    },
)


# --- the parameters of Bacalhau 1.4 ---------------------------------------------------------------------


def _modernise_wasm(task: Draft, where: str) -> None:
    """Turn the WASM parameters of 1.4, where modules are input sources, into those of 1.9.

    The modules become inputs of the task and are then named by their targets; `EntryPoint` becomes
    `Entrypoint`, and `EnvironmentVariables` is dropped as the public server does.
    """
    engine = task.get("Engine", {})
    params = {key.lower(): value for key, value in engine.get("Params", {}).items()}
    entry, imports = params.get("entrymodule"), params.get("importmodules") or []
    listed = isinstance(imports, list)
    if engine.get("Type", "").strip().lower() != "wasm" or not (
        isinstance(entry, dict) or (listed and any(isinstance(module, dict) for module in imports))
    ):
        return
    inputs = task.setdefault("InputSources", [])

    def place(module: Any, target: str) -> Any:
        if not isinstance(module, dict):
            return module
        source = _INPUT(module, f"{where}.Engine.Params")
        source.setdefault("Target", target)
        source["Target"] = source["Target"] or target
        inputs.append(source)
        return source["Target"]

    engine["Params"] = {
        "EntryModule": place(entry, WASM_ENTRY),
        "Entrypoint": params.get("entrypoint") or "",
        "Parameters": params.get("parameters"),
        "ImportModules": [
            place(module, WASM_IMPORT.format(index=index)) for index, module in enumerate(imports)
        ]
        or None
        if listed
        else imports,
    }
