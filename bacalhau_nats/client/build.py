"""The two common jobs, an image and a WASM module, in the wire form of the public API.

Pure but for WASM modules, which are read when they are files here. The command line and `jobs` build on it;
the models of the domain are not needed for it, which keeps the command line quick to start.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, TypedDict, Unpack, cast

from bacalhau_nats.client import modules as wasm_modules
from bacalhau_nats.client import shorthand
from bacalhau_nats.client.shorthand import Wire
from bacalhau_nats.errors import InvalidSpec, WrongArgument

if TYPE_CHECKING:
    from bacalhau_nats.client.wire import Job
    from bacalhau_nats.domain.spec import InputSource

_TYPES = {"any": "batch", "all": "ops"}
NO_STATE: Wire = {
    "State": {"StateType": "Undefined"},
    "Version": 0,
    "Revision": 0,
    "CreateTime": 0,
    "ModifyTime": 0,
}
"""What a client sends for the fields that are the server's."""


class Wishes(TypedDict, total=False):
    """What a job may ask for beside its program, under the names of the command line's flags.

    ``target`` is ``any`` (run ``count`` times, on any nodes) or ``all`` (once on each node that matches
    ``constraints``, a selector such as ``region=eu,gpu,tier in (a,b)``). ``inputs`` are ``URI[:TARGET]`` with
    ``ipfs://``, ``http(s)://``, ``s3://`` or ``file:///``, or InputSources; ``outputs`` are ``NAME:/path``.
    ``publisher`` is ``local``, ``nats``, ``ipfs``, ``s3managed`` or ``s3://bucket/key``. ``cpu`` is ``0.5`` or
    ``500m``, ``memory`` and ``disk`` are ``512Mb``. ``network`` is None, Host, HTTP (with ``domains``) or
    Bridge. ``timeout`` and ``queue_timeout`` are seconds, 0 means none.
    """

    name: str
    namespace: str
    priority: int
    count: int
    target: Literal["any", "all"]
    constraints: str
    labels: Mapping[str, str]
    task_name: str
    env: Mapping[str, str]
    inputs: Sequence[str | InputSource]
    outputs: Sequence[str]
    publisher: str
    cpu: str | float
    memory: str
    disk: str
    gpu: str | int
    network: str
    domains: Sequence[str]
    timeout: int
    queue_timeout: int


def docker_job(
    image: str,
    command: Sequence[str] = (),
    *,
    entrypoint: Sequence[str] = (),
    workdir: str = "",
    **wishes: Unpack[Wishes],
) -> Job:
    """Build the job that runs ``command`` in ``image``. Raises WrongArgument."""
    if workdir and not workdir.startswith("/"):
        raise WrongArgument(f"workdir {workdir!r} must be absolute", hint=f"write /{workdir}")
    params = {
        "Image": image,
        "Entrypoint": list(entrypoint) or None,
        "Parameters": list(command) or None,
        "EnvironmentVariables": None,
        "WorkingDirectory": workdir,
    }
    return _job({"Type": "docker", "Params": params}, [], wishes)


def wasm_job(
    module: str,
    arguments: Sequence[str] = (),
    *,
    imports: Sequence[str] = (),
    entry_point: str = "_start",
    **wishes: Unpack[Wishes],
) -> Job:
    """Build the job that calls ``entry_point`` of ``module``; local modules are read. Raises WrongArgument."""
    entry, entry_input = wasm_modules.entry_module(module)
    imported = [wasm_modules.import_module(text) for text in imports]
    params = {
        "EntryModule": entry,
        "Entrypoint": entry_point,
        "Parameters": list(arguments) or None,
        "ImportModules": [name for name, _ in imported] or None,
    }
    given = [source["Target"] for source in map(_input, wishes.get("inputs", ()))]
    for name, found in ((entry, entry_input), *imported):
        if found is None and name not in given:
            raise WrongArgument(
                f"module {name!r} is neither a file here nor the target of an input",
                hint="give a file, a URI as for an input, or an input that brings it",
            )
    brought = [entry_input, *(found for _, found in imported)]
    return _job({"Type": "wasm", "Params": params}, [found for found in brought if found], wishes)


def _job(engine: Wire, modules: list[Wire], wishes: Wishes) -> Job:
    unknown = sorted(wishes.keys() - Wishes.__annotations__.keys())
    if unknown:
        raise TypeError(f"a job has no {unknown[0]!r}; known are {', '.join(Wishes.__annotations__)}")
    target, count = wishes.get("target", "any"), wishes.get("count", 1)
    if target not in _TYPES:
        raise WrongArgument(f"there is no target {target!r}", hint="write any or all")
    if target == "all" and count > 1:
        raise WrongArgument(
            "count makes no sense with target all", hint="such a job runs once on each node", argument="count"
        )
    job = {
        "ID": "",
        "Name": wishes.get("name", ""),
        "Namespace": wishes.get("namespace", "default"),
        "Type": _TYPES[target],
        "Priority": wishes.get("priority", 0),
        "Count": count if target == "any" else 0,
        "Constraints": constraints(wishes.get("constraints", "")),
        "Meta": None,
        "Labels": shorthand.labels(wishes.get("labels", {})),
        "Tasks": [_task(engine, modules, wishes)],
        **NO_STATE,
    }
    return cast("Job", job)


def _task(engine: Wire, modules: list[Wire], wishes: Wishes) -> Wire:
    task: Wire = {"Name": wishes.get("task_name", "main"), "Engine": engine}
    publisher = wishes.get("publisher", "")
    task["Publisher"] = shorthand.publisher(publisher) if publisher else None
    optional = {
        "Env": dict(wishes.get("env", {})),
        "InputSources": [*modules, *map(_input, wishes.get("inputs", ()))],
        "ResultPaths": [shorthand.result_path(text) for text in wishes.get("outputs", ())],
        "Network": shorthand.network(wishes.get("network", "Default"), wishes.get("domains", ())),
    }
    task.update({key: value for key, value in optional.items() if value})
    amounts = {
        "CPU": wishes.get("cpu"),
        "Memory": wishes.get("memory"),
        "Disk": wishes.get("disk"),
        "GPU": wishes.get("gpu"),
    }
    task["Resources"] = _amounts({key: str(value) for key, value in amounts.items() if value})
    timeouts = {
        "TotalTimeout": wishes.get("timeout", 0),
        "QueueTimeout": wishes.get("queue_timeout", 0),
    }
    task["Timeouts"] = {key: value for key, value in timeouts.items() if value}
    _check(task)
    return task


def _amounts(given: dict[str, str]) -> dict[str, str]:
    """Check amounts such as ``500m``, ``1GiB`` and ``1``; they are sent as they are written."""
    if given:
        from bacalhau_nats.domain import resources  # noqa: PLC0415 - the models take 60 ms to load

        try:
            resources.parse_cpu(given.get("CPU", ""))
            resources.parse_bytes(given.get("Memory", ""), "memory")
            resources.parse_bytes(given.get("Disk", ""), "disk")
            resources.parse_gpu(given.get("GPU", ""))
        except InvalidSpec as error:
            raise WrongArgument(error.message, hint=error.hint) from error
    return given


def _input(given: str | InputSource) -> Wire:
    return shorthand.input_source(given) if isinstance(given, str) else given.to_wire()


def _check(task: Wire) -> None:
    for key in ("Target", "Alias"):
        seen = [source[key] for source in task.get("InputSources", ()) if source.get(key)]
        twice = next((value for value in seen if seen.count(value) > 1), None)
        if twice:
            raise WrongArgument(
                f"two inputs have the {key.lower()} {twice!r}",
                hint="write the target behind each input: URI:TARGET",
            )


def constraints(text: str) -> list[Wire] | None:
    """Read a selector such as ``a=b,c in (x,y),!d`` into requirements, sorted by key. Raises WrongArgument."""
    if not text.strip():
        return None
    from bacalhau_nats.domain.constraints import parse  # noqa: PLC0415 - the models take 60 ms to load

    try:
        wire: list[dict[str, Any]] = [one.model_dump(mode="json", by_alias=True) for one in parse(text)]
    except InvalidSpec as error:
        raise WrongArgument(
            f"constraints: {error.message}", hint=error.hint, argument="constraints"
        ) from error
    for requirement in wire:
        requirement["Values"] = sorted(requirement["Values"]) or None
    return sorted(wire, key=lambda requirement: str(requirement["Key"]))
