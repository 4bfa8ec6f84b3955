"""From a draft to a spec: complete it, say what was ignored, compare it with what is stored.

The order is that of the public server: check the draft (`validation`), normalise, sanitise, fill in names
and defaults, store. Everything here is pure and gives a new draft; a draft that was checked stays valid.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from bacalhau_nats.domain import resources
from bacalhau_nats.domain.draft import Draft
from bacalhau_nats.domain.spec import RESERVED_META, JobSpec, JobType, ResourcesConfig, SpecConfig

_NO_PUBLISHER = SpecConfig()
_SHIPPED = ResourcesConfig(cpu="500m", memory="512Mb")
_BOOKKEEPING = ("ID", "Version", "Created", "Submitted", "Cause", "Stop", "Incarnation", "Nonce", "Request")


@dataclass(frozen=True, slots=True)
class TypeDefaults:
    """What a job of one type gets where it says nothing; timeouts are whole seconds, 0 means none."""

    priority: int = 0
    resources: ResourcesConfig = _SHIPPED
    publisher: SpecConfig = _NO_PUBLISHER
    execution_timeout: int = 0
    total_timeout: int = 0


@dataclass(frozen=True, slots=True)
class JobDefaults:
    """The section `JobDefaults` of the settings, in the domain's terms.

    Publisher and timeouts of service and daemon jobs have no default: they are endless.
    """

    batch: TypeDefaults = field(default_factory=TypeDefaults)
    ops: TypeDefaults = field(default_factory=TypeDefaults)
    service: TypeDefaults = field(default_factory=TypeDefaults)
    daemon: TypeDefaults = field(default_factory=TypeDefaults)

    def of(self, kind: JobType) -> TypeDefaults:
        """Give the defaults of one type of job."""
        match kind:
            case JobType.BATCH:
                return self.batch
            case JobType.OPS:
                return self.ops
            case JobType.SERVICE:
                return self.service
            case JobType.DAEMON:
                return self.daemon


# --- complete it --------------------------------------------------------------------------------------


def normalise(job: Draft) -> Draft:
    """Write equal jobs equally: count, names, trimmed types, resource strings in lower case."""
    kind = JobType(job["Type"])
    counted = {} if kind.everywhere else {"Count": job.get("Count", 1)}
    return {
        **job,
        "Count": 0,
        **counted,
        "Namespace": job.get("Namespace") or "default",
        "Name": job.get("Name") or job.get("ID", ""),
        "Tasks": [_normalise_task(task) for task in job["Tasks"]],
    }


def _normalise_task(task: Draft) -> Draft:
    changed = {**task, "Engine": _normalise_config(task["Engine"])}
    if "Publisher" in task:
        changed["Publisher"] = _normalise_config(task["Publisher"])
    if "InputSources" in task:
        changed["InputSources"] = [
            {**source, "Source": _normalise_config(source["Source"])} for source in task["InputSources"]
        ]
    if "Resources" in task:
        changed["Resources"] = {key: resources.normalise(value) for key, value in task["Resources"].items()}
    return changed


def _normalise_config(config: Draft) -> Draft:
    return {**config, "Type": config.get("Type", "").strip()}


_IGNORED = (
    ("Revision", "revision"),
    ("Version", "version"),
    ("CreateTime", "create time"),
    ("ModifyTime", "modify time"),
)


def sanitise(job: Draft) -> tuple[Draft, list[str]]:
    """Drop what a submission cannot set; give the rest and a warning for each thing dropped."""
    warnings: list[str] = []
    state = job.get("State", {}).get("StateType", "")
    if state.lower() in _KNOWN_STATES:
        warnings.append("job state is ignored when submitting a job")
    warnings += [f"job {name} is ignored when submitting a job" for key, name in _IGNORED if job.get(key)]
    kept = {key: value for key, value in job.items() if key not in _NOT_KEPT}
    if kept.get("ID") and not JobType(job["Type"]).endless:
        warnings.append("job ID is ignored when submitting a batch job")
        del kept["ID"]
    if len(job["Tasks"]) > 1:
        warnings.append("only one task is supported per job")
        kept["Tasks"] = job["Tasks"][:1]
    meta = job.get("Meta", {})
    reserved = sorted(key for key in meta if key.startswith(RESERVED_META))
    if reserved:
        warnings += [f'job meta key "{key}" is reserved and will be ignored' for key in reserved]
        kept["Meta"] = {key: value for key, value in meta.items() if key not in reserved}
    return kept, warnings


_KNOWN_STATES = frozenset({"pending", "queued", "running", "completed", "failed", "stopped"})
_NOT_KEPT = frozenset({"State", "Revision", "Version", "CreateTime", "ModifyTime"})


def fill(job: Draft, defaults: JobDefaults) -> Draft:
    """Fill in what the job leaves open."""
    kind = JobType(job["Type"])
    given = defaults.of(kind)
    return {
        **job,
        "Priority": job.get("Priority") or given.priority,
        "Tasks": [_fill_task(task, given, endless=kind.endless) for task in job["Tasks"]],
    }


def _fill_task(task: Draft, given: TypeDefaults, *, endless: bool) -> Draft:
    wanted = task.get("Resources", {})
    standard = {
        "CPU": given.resources.cpu,
        "Memory": given.resources.memory,
        "Disk": given.resources.disk,
        "GPU": given.resources.gpu,
    }
    filled = {
        **task,
        "Resources": {key: resources.normalise(wanted.get(key) or value) for key, value in standard.items()},
    }
    if endless:
        return filled
    if not task.get("Publisher", {}).get("Type") and given.publisher.type:
        filled["Publisher"] = {"Type": given.publisher.type, "Params": dict(given.publisher.params)}
    limits = task.get("Timeouts", {})
    filled["Timeouts"] = {
        **limits,
        "ExecutionTimeout": limits.get("ExecutionTimeout") or given.execution_timeout,
        "TotalTimeout": limits.get("TotalTimeout") or given.total_timeout,
    }
    return filled


def to_spec(job: Draft, *, reserved_meta: Mapping[str, str] | None = None, **bookkeeping: Any) -> JobSpec:
    """Make the spec that is stored; ``bookkeeping`` are its fields that no client sets."""
    spec = JobSpec.model_validate({**job, "Meta": {**job.get("Meta", {}), **(reserved_meta or {})}})
    changed: JobSpec = spec.but(**bookkeeping)
    return changed


# --- compare it -----------------------------------------------------------------------------------------


def comparable(spec: JobSpec) -> dict[str, Any]:
    """Reduce a spec to what its user wrote: no bookkeeping, no reserved meta."""
    wire = spec.to_wire()
    for key in _BOOKKEEPING:
        wire.pop(key, None)
    meta = {key: value for key, value in spec.meta.items() if not key.startswith(RESERVED_META)}
    wire.pop("Meta", None)
    return {**wire, **({"Meta": meta} if meta else {})}


def same_wish(old: JobSpec, new: JobSpec) -> bool:
    """Say whether storing ``new`` over ``old`` would change nothing that counts."""
    return comparable(old) == comparable(new)


def difference(old: JobSpec, new: JobSpec) -> str:
    """Write how ``new`` differs from ``old`` as lines that start with ``+`` or ``-``; empty when it does not."""
    before, after = (
        json.dumps(comparable(spec), indent=2, sort_keys=True, ensure_ascii=False).splitlines()
        for spec in (old, new)
    )
    lines = list(difflib.unified_diff(before, after, lineterm="", n=3))
    return "\n".join(line for line in lines[2:] if not line.startswith("@@")) + ("\n" if lines else "")
