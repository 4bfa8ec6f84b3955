"""Every rule that a job must satisfy, with all failures of one submission collected.

A submission is checked twice: as it was sent (`submission_faults`, on the draft) and again when names,
ids and defaults are filled in (`stored_faults`, on the spec). Texts are those of the public API; each
fault also names the field it is about, so that a client can point at it.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from bacalhau_nats.domain import resources
from bacalhau_nats.domain.draft import Draft
from bacalhau_nats.domain.faults import Fault, led_by
from bacalhau_nats.domain.network import network_faults
from bacalhau_nats.domain.spec import JobSpec, JobType, Task
from bacalhau_nats.errors import InvalidSpec

_JOB_TYPES = frozenset(kind.value for kind in JobType)
_RESERVED_ENV = "BACALHAU_"
_MINUTE, _HOUR = 60, 3600
LONGEST_ID = 255
"""Bytes. An id is part of subjects, written with three characters for some of its bytes, and NATS ends the
connection of whoever sends a subject of 4 kB."""
MOST_EXECUTIONS = 10_000
"""Of one job at a time. Each has a plan and records: two thousand million would take a requester's memory."""


def show_duration(seconds: int) -> str:
    """Write whole seconds as Go writes a duration: ``1m40s``, ``5m0s``, ``1h0m0s``."""
    sign, rest = ("-", -seconds) if seconds < 0 else ("", seconds)
    hours, minutes = rest // _HOUR, rest // _MINUTE % _MINUTE
    if hours:
        return f"{sign}{hours}h{minutes}m{rest % _MINUTE}s"
    return f"{sign}{minutes}m{rest % _MINUTE}s" if minutes else f"{sign}{rest}s"


# --- as it was sent -----------------------------------------------------------------------------------


def submission_faults(job: Draft | None, where: str = "Job") -> list[Fault]:
    """List what is wrong with a job as a client sent it."""
    if job is None:
        return [Fault(where, "empty/nil job")]
    found: list[Fault] = []
    kind, count = job.get("Type", ""), job.get("Count", 0)
    if not kind:
        found.append(Fault(f"{where}.Type", "missing job type"))
    elif kind not in _JOB_TYPES:
        found.append(Fault(f"{where}.Type", f'invalid job type: "{kind}"'))
    elif count > 1 and JobType(kind).everywhere:
        found.append(
            Fault(f"{where}.Count", f"{kind} jobs cannot specify count > 1 as they run on all matching nodes")
        )
    if count < 0:
        found.append(Fault(f"{where}.Count", "job count must be >= 0"))
    if count > MOST_EXECUTIONS:
        found.append(
            Fault(
                f"{where}.Count", f"job count must be <= {MOST_EXECUTIONS}; split the work into several jobs"
            )
        )
    tasks = job.get("Tasks", [])
    if not tasks:
        found.append(Fault(f"{where}.Tasks", "missing job tasks"))
    for index, requirement in enumerate(job.get("Constraints", ())):
        faults = _constraint(requirement, f"{where}.Constraints[{index}]")
        found += led_by(f"constraint {index + 1} validation failed: ", faults)
    for index, task in enumerate(one or {} for one in tasks):
        faults = _task(task, f"{where}.Tasks[{index}]")
        found += led_by(f"task {task.get('Name', '')} validation failed: ", faults)
    return found


def _constraint(requirement: Mapping[str, Any], where: str) -> list[Fault]:
    found: list[Fault] = []
    if not requirement.get("Key", "").strip():
        found.append(Fault(f"{where}.Key", "selector key cannot be blank"))
    values = len(requirement.get("Values", ()))
    operator = requirement.get("Operator", "")
    if operator in ("in", "notin"):
        wrong = "selector values cannot be empty for In or NotIn operators" if not values else ""
    elif operator in ("exists", "!"):
        wrong = "selector values must be empty for Exists or KeyNotInImap operators" if values else ""
    else:
        wrong = "selector values must have exactly one value for other operators" if values != 1 else ""
    return [*found, Fault(f"{where}.Values", wrong)] if wrong else found


def _task(task: Mapping[str, Any], where: str) -> list[Fault]:
    found: list[Fault] = []
    name = task.get("Name", "")
    if not name.strip():
        found.append(Fault(f"{where}.Name", "missing task name"))
    if "\0" in name:
        found.append(Fault(f"{where}.Name", "task name cannot contain null characters"))
    found += _env(task.get("Env", {}), f"{where}.Env")
    found += led_by("invalid engine: ", _spec_config(task.get("Engine"), f"{where}.Engine"))
    found += led_by("invalid timeouts: ", _timeouts(task.get("Timeouts", {}), f"{where}.Timeouts"))
    found += led_by("invalid resources: ", _resources(task.get("Resources", {}), f"{where}.Resources"))
    found += _inputs(task.get("InputSources", ()), f"{where}.InputSources")
    found += _results(task.get("ResultPaths", ()), f"{where}.ResultPaths")
    found += led_by("invalid network: ", network_faults(task.get("Network", {}), f"{where}.Network"))
    return found


def _spec_config(config: Mapping[str, Any] | None, where: str) -> list[Fault]:
    if config is None:
        return [Fault(where, "nil spec config")]
    if not config.get("Type", "").strip():
        return [Fault(f"{where}.Type", "missing spec type")]
    return []


def _timeouts(timeouts: Mapping[str, int], where: str) -> list[Fault]:
    found = []
    for key, name in (
        ("ExecutionTimeout", "execution"),
        ("QueueTimeout", "queue"),
        ("TotalTimeout", "total"),
    ):
        value = timeouts.get(key, 0)
        if value < 0:
            # The public server prints the effective execution timeout, which is never negative.
            shown = max(0, timeouts.get("TotalTimeout", 0)) if key == "ExecutionTimeout" else value
            found.append(Fault(f"{where}.{key}", f"invalid {name} timeout value: {show_duration(shown)}"))
    return found


def _resources(wanted: Mapping[str, str], where: str) -> list[Fault]:
    readers: tuple[tuple[str, Callable[[str], int]], ...] = (
        ("GPU", resources.parse_gpu),
        ("CPU", resources.parse_cpu),
        ("Memory", lambda text: resources.parse_bytes(text, "memory")),
        ("Disk", lambda text: resources.parse_bytes(text, "disk")),
    )
    found = []
    for key, read in readers:
        try:
            read(wanted.get(key, ""))
        except InvalidSpec as error:
            found.append(Fault(f"{where}.{key}", error.message))
            if key == "GPU":
                break  # the public server says nothing of the others then
    return found


def _env(env: Mapping[str, str], where: str) -> list[Fault]:
    found = []
    for name, value in sorted(env.items()):
        wrong = _env_name(name)
        if wrong:
            found.append(Fault(f"{where}.{name}", wrong))
        elif not value:
            found.append(Fault(f"{where}.{name}", f"environment variable '{name}' cannot have empty value"))
    return found


def _env_name(name: str) -> str:
    if not name:
        return "environment variable name cannot be empty"
    if name != "".join(map(_upper, name)):
        return f"environment variable '{name}' must be uppercase"
    if not _is(name[0], "L"):
        return f"environment variable '{name}' must start with a letter"
    if not all(one == "_" or _is(one, "L", "Nd") for one in name):
        return f"environment variable '{name}' can only contain letters, numbers, and underscores"
    if name.startswith(_RESERVED_ENV):
        return f"environment variable '{name}' cannot start with {_RESERVED_ENV}"
    return ""


def _upper(one: str) -> str:
    """Give the upper case of a character; like Go, its own where that would be several."""
    changed = one.upper()
    return changed if len(changed) == 1 else one


def _is(one: str, *kinds: str) -> bool:
    return unicodedata.category(one).startswith(kinds)


def _inputs(inputs: Iterable[Mapping[str, Any]], where: str) -> list[Fault]:
    found: list[Fault] = []
    aliases, targets = set(), set()
    for index, source in enumerate(inputs):
        here = f"{where}[{index}]"
        faults: list[Fault] = []
        target, alias = source.get("Target", ""), source.get("Alias", "")
        if not target.strip():
            faults.append(Fault(f"{here}.Target", "input source is missing a target"))
        faults += led_by("invalid input source: ", _spec_config(source.get("Source"), f"{here}.Source"))
        found += led_by("invalid input sources: ", faults)
        if alias and alias in aliases:
            found.append(Fault(f"{here}.Alias", f"input source with alias '{alias}' already exists"))
        if target and target in targets:
            found.append(Fault(f"{here}.Target", f"input source with target '{target}' already exists"))
        aliases.add(alias)
        targets.add(target)
    return found


def _results(results: Iterable[Mapping[str, Any]], where: str) -> list[Fault]:
    found: list[Fault] = []
    names, paths = set(), set()
    for index, result in enumerate(results):
        here = f"{where}[{index}]"
        faults: list[Fault] = []
        name, path = result.get("Name", ""), result.get("Path", "")
        if not path.strip():
            faults.append(Fault(f"{here}.Path", "missing path"))
        if not name.strip():
            faults.append(Fault(f"{here}.Name", "missing name"))
        if not path.startswith("/"):
            faults.append(Fault(f"{here}.Path", f"result path `{path}` must be absolute"))
        found += led_by("invalid output: ", faults)
        if name and name in names:
            found.append(Fault(f"{here}.Name", f"result path with name '{name}' already exists"))
        if path and path in paths:
            found.append(Fault(f"{here}.Path", f"result path '{path}' already exists"))
        names.add(name)
        paths.add(path)
    return found


# --- as it is stored ----------------------------------------------------------------------------------


def stored_faults(job: JobSpec, where: str = "Job") -> list[Fault]:
    """List what is wrong with a job that passed `submission_faults` and was completed since."""
    found: list[Fault] = []
    if not job.id.strip():
        found.append(Fault(f"{where}.ID", "missing job ID"))
    if len(job.id.encode()) > LONGEST_ID:
        found.append(Fault(f"{where}.ID", f"job ID is longer than {LONGEST_ID} bytes"))
    if " " in job.id:
        found.append(Fault(f"{where}.ID", "job ID contains a space"))
    if "\0" in job.id:
        found.append(Fault(f"{where}.ID", "job ID contains a null character"))
    if not job.name.strip():
        found.append(Fault(f"{where}.Name", "missing job name"))
    if "\0" in job.name:
        found.append(Fault(f"{where}.Name", "job Name contains a null character"))
    if not job.namespace.strip():
        found.append(Fault(f"{where}.Namespace", "job must be in a namespace"))
    if "\0" in job.namespace:
        found.append(Fault(f"{where}.Namespace", "job Namespace contains a null character"))
    for index, task in enumerate(job.tasks):
        faults = _stored_task(task, f"{where}.Tasks[{index}]")
        found += led_by(f"task {task.name} validation failed: ", faults)
    return found


def _stored_task(task: Task, where: str) -> list[Fault]:
    found: list[Fault] = []
    limits = task.timeouts
    if 0 < limits.total_timeout < limits.execution_timeout + limits.queue_timeout:
        found.append(
            Fault(
                f"{where}.Timeouts",
                f"task timeouts validation failed: execution timeout {show_duration(limits.execution_timeout)}"
                f" and queue timeout {show_duration(limits.queue_timeout)} should be less than total timeout "
                f"{show_duration(limits.total_timeout)}",
            )
        )
    return found
