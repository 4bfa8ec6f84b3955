"""Flags of ``docker run`` and ``wasm run`` become a job in the wire form of the public API."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, cast

from bacalhau_nats.client import build, shorthand
from bacalhau_nats.client.build import NO_STATE, Wishes
from bacalhau_nats.client.shorthand import Wire
from bacalhau_nats.errors import WrongArgument

if TYPE_CHECKING:
    from bacalhau_nats.client import Job

_AS_GIVEN = (
    "name", "namespace", "priority", "count", "target", "constraints", "task_name",
    "cpu", "memory", "disk", "gpu", "network", "timeout", "queue_timeout",
)  # fmt: skip


def docker_job(image: str, command: Sequence[str], flags: Mapping[str, Any]) -> Job:
    """Build the job of ``docker run IMAGE [COMMAND…]``. Raises WrongArgument."""
    entrypoint = shorthand.split(flags["entrypoint"])
    with _flags_named():
        return build.docker_job(
            image, command, entrypoint=entrypoint, workdir=flags["workdir"], **_wishes(flags)
        )


def wasm_job(module: str, arguments: Sequence[str], flags: Mapping[str, Any]) -> Job:
    """Build the job of ``wasm run MODULE [ARG…]``; local modules are read. Raises WrongArgument."""
    imports = shorthand.split(flags["import_modules"])
    with _flags_named():
        return build.wasm_job(
            module, arguments, imports=imports, entry_point=flags["entry_point"], **_wishes(flags)
        )


def document(job: Job) -> Wire:
    """Give the job as somebody would write it in a file for ``job run``."""
    return {key: value for key, value in job.items() if value and key not in NO_STATE}


@contextmanager
def _flags_named() -> Iterator[None]:
    """Call an argument by its flag where a message begins with it."""
    try:
        yield
    except WrongArgument as error:
        if "argument" not in error.details:
            raise
        raise WrongArgument(f"--{error.message}", hint=error.hint) from error


def _wishes(flags: Mapping[str, Any]) -> Wishes:
    wishes = {name: flags[name] for name in _AS_GIVEN} | {
        "labels": shorthand.label_flags(flags["labels"]),
        "env": shorthand.environment(flags["env"]),
        "inputs": flags["input"],
        "outputs": flags["output"],
        "publisher": flags["publisher"][-1] if flags["publisher"] else "",
        "domains": flags["domain"],
    }
    if flags.get("concurrency") is not None:  # the former name of --count
        wishes["count"] = flags["concurrency"]
    if flags.get("selector"):  # the former name of --constraints
        wishes["constraints"] = flags["selector"]
    return cast("Wishes", wishes)
