"""Flags of ``docker run`` and ``wasm run`` become a job in the wire form of the public API. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

from bacalhau_cli import shorthand
from bacalhau_cli.exits import WrongFlags
from bacalhau_cli.shorthand import Wire
from bacalhau_nats.errors import InvalidSpec

if TYPE_CHECKING:
    from bacalhau_nats.client import Job

_TYPES = {"any": "batch", "all": "ops"}
_NO_STATE: Wire = {
    "State": {"StateType": "Undefined"},
    "Version": 0,
    "Revision": 0,
    "CreateTime": 0,
    "ModifyTime": 0,
}


def docker_job(image: str, command: Sequence[str], flags: Mapping[str, Any]) -> Job:
    """Build the job of ``docker run IMAGE [COMMAND…]``. Raises WrongFlags."""
    workdir = flags["workdir"]
    if workdir and not workdir.startswith("/"):
        raise WrongFlags(f"workdir {workdir!r} must be absolute", hint=f"write /{workdir}")
    params = {
        "Image": image,
        "Entrypoint": shorthand.split(flags["entrypoint"]) or None,
        "Parameters": list(command) or None,
        "EnvironmentVariables": None,
        "WorkingDirectory": workdir,
    }
    return _job({"Type": "docker", "Params": params}, [], flags)


def wasm_job(module: str, arguments: Sequence[str], flags: Mapping[str, Any]) -> Job:
    """Build the job of ``wasm run MODULE [ARG…]``; local modules are read. Raises WrongFlags."""
    entry, entry_input = shorthand.entry_module(module)
    imports = [shorthand.import_module(text) for text in shorthand.split(flags["import_modules"])]
    params = {
        "EntryModule": entry,
        "Entrypoint": flags["entry_point"],
        "Parameters": list(arguments) or None,
        "ImportModules": [name for name, _ in imports] or None,
    }
    given = [shorthand.input_source(text)["Target"] for text in flags["input"]]
    for name, found in ((entry, entry_input), *imports):
        if found is None and name not in given:
            raise WrongFlags(
                f"module {name!r} is neither a file here nor the target of an --input",
                hint="give a file, a URI as for --input, or an --input that brings it",
            )
    brought = [entry_input, *(found for _, found in imports)]
    return _job({"Type": "wasm", "Params": params}, [found for found in brought if found], flags)


def document(job: Job) -> Wire:
    """Give the job as somebody would write it in a file for ``job run``."""
    return {key: value for key, value in job.items() if value and key not in _NO_STATE}


def _job(engine: Wire, modules: list[Wire], flags: Mapping[str, Any]) -> Job:
    kind = _TYPES[flags["target"]]
    count = flags["count"]
    if kind == "ops" and count > 1:
        raise WrongFlags("--count makes no sense with --target all", hint="such a job runs once on each node")
    job = {
        "ID": "",
        "Name": flags["name"],
        "Namespace": flags["namespace"],
        "Type": kind,
        "Priority": flags["priority"],
        "Count": count if kind == "batch" else 0,
        "Constraints": constraints(flags["constraints"]),
        "Meta": None,
        "Labels": shorthand.labels(flags["labels"]),
        "Tasks": [_task(engine, modules, flags)],
        **_NO_STATE,
    }
    return cast("Job", job)


def _task(engine: Wire, modules: list[Wire], flags: Mapping[str, Any]) -> Wire:
    task: Wire = {"Name": flags["task_name"], "Engine": engine}
    task["Publisher"] = shorthand.publisher(flags["publisher"][-1]) if flags["publisher"] else None
    sources = [*modules, *(shorthand.input_source(text) for text in flags["input"])]
    timeouts = {"TotalTimeout": flags["timeout"], "QueueTimeout": flags["queue_timeout"]}
    optional = {
        "Env": shorthand.environment(flags["env"]),
        "InputSources": sources,
        "ResultPaths": [shorthand.result_path(text) for text in flags["output"]],
        "Network": shorthand.network(flags["network"], flags["domain"]),
    }
    task.update({key: value for key, value in optional.items() if value})
    task["Resources"] = shorthand.resources(*(flags[name] for name in ("cpu", "memory", "disk", "gpu")))
    task["Timeouts"] = {key: value for key, value in timeouts.items() if value}
    _check(task)
    return task


def _check(task: Wire) -> None:
    for key in ("Target", "Alias"):
        seen = [source[key] for source in task.get("InputSources", ()) if source[key]]
        twice = next((value for value in seen if seen.count(value) > 1), None)
        if twice:
            raise WrongFlags(
                f"two inputs have the {key.lower()} {twice!r}",
                hint="write the target behind each input: URI:TARGET",
            )


def constraints(text: str) -> list[Wire] | None:
    """Read a selector such as ``a=b,c in (x,y),!d`` into requirements, sorted by key. Raises WrongFlags."""
    if not text.strip():
        return None
    from bacalhau_nats.domain.constraints import parse  # noqa: PLC0415 - the models take 60 ms to load

    try:
        wire = [requirement.model_dump(mode="json", by_alias=True) for requirement in parse(text)]
    except InvalidSpec as error:
        raise WrongFlags(f"--constraints: {error.message}", hint=error.hint) from error
    for requirement in wire:
        requirement["Values"] = sorted(requirement["Values"]) or None
    return sorted(wire, key=lambda requirement: str(requirement["Key"]))
