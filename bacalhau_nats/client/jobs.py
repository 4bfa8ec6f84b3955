"""Jobs as Python values: the two common ones, any from a file, and to and from the API's JSON.

::

    job = docker("busybox:1.37", "sh", "-c", "date > /out/when", outputs=["out:/out"], cpu=2)
    job = wasm("count.wasm", "/inputs/data.csv", inputs=["https://example.com/data.csv:/inputs/data.csv"])
    job = job.but(count=3)
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack, cast

from bacalhau_nats.client import build, jobfile, modules
from bacalhau_nats.client.build import Wishes
from bacalhau_nats.errors import InvalidSpec, UserError

if TYPE_CHECKING:
    from bacalhau_nats.client.wire import Job
    from bacalhau_nats.domain.spec import InputSource, JobSpec

_SERVERS_OWN = frozenset(
    {"Version", "Created", "Submitted", "Cause", "Stop", "Incarnation", "Nonce", "Request"}
)
_BAD_REQUEST = "400"


def docker(
    image: str,
    *command: str,
    entrypoint: Sequence[str] = (),
    workdir: str = "",
    **wishes: Unpack[Wishes],
) -> JobSpec:
    """Make the job that runs ``command`` in ``image``; see `Wishes`. Raises WrongArgument, InvalidSpec."""
    return spec_of(build.docker_job(image, command, entrypoint=entrypoint, workdir=workdir, **wishes))


def wasm(
    module: str | Path,
    *arguments: str,
    imports: Sequence[str] = (),
    entry_point: str = "_start",
    **wishes: Unpack[Wishes],
) -> JobSpec:
    """Make the job that runs a WASM module: a file here, a URI, or the target of an input.

    ``imports`` are further modules, ``FILE_OR_URI:NAME``; see `Wishes`. Raises WrongArgument, InvalidSpec.
    """
    found = build.wasm_job(str(module), arguments, imports=imports, entry_point=entry_point, **wishes)
    return spec_of(found)


def inline(content: str | bytes | Path, target: str) -> InputSource:
    """Make an input that travels inside the job: a text, bytes or a small file here, to lie at ``target``.

    A job as a whole may not be larger than what one message on the bus can carry. Raises WrongArgument when the
    file cannot be read.
    """
    from bacalhau_nats.domain.spec import InputSource  # noqa: PLC0415 - the models take 60 ms to load

    if isinstance(content, Path):
        source = modules.inline(content)
    else:
        data = content.encode() if isinstance(content, str) else content
        source = modules.inline_bytes(data, Path(target).name)
    return InputSource.model_validate({"Source": source, "Target": target})


def from_file(path: Path | str) -> JobSpec:
    """Read a job from a YAML or JSON file. Raises InvalidSpec with line and column, UserError."""
    return spec_of(jobfile.read_file(Path(path)).job)


def spec_of(job: Mapping[str, Any]) -> JobSpec:
    """Read the API's JSON of a job. Raises InvalidSpec naming the first field that is wrong."""
    from bacalhau_nats.domain.draft import decode_job  # noqa: PLC0415 - the models take 60 ms to load

    draft = decode_job(dict(job))
    return _checked({**draft, "Created": draft.get("CreateTime", 0), "Version": draft.get("Version") or 1})


def wire_of(job: JobSpec | Mapping[str, Any] | Path | str | None, fields: Mapping[str, Any]) -> Job:
    """Give what is sent for a job and the ``fields`` that go before its own.

    Raises InvalidSpec for a field that is not known or cannot be, and what reading a file raises.
    """
    if isinstance(job, Path | str):
        job = jobfile.read_file(Path(job)).job
    if isinstance(job, Mapping):
        if not fields:
            return cast("Job", dict(job))
        job = spec_of(job)
    return _written(_changed(job, fields))


def explained(error: UserError, job: Job) -> UserError:
    """Make an InvalidSpec that names the field of a refusal which only says "bad request"."""
    from bacalhau_nats.domain.draft import decode_job  # noqa: PLC0415 - the models take 60 ms to load
    from bacalhau_nats.domain.validation import submission_faults  # noqa: PLC0415

    if isinstance(error, InvalidSpec) or error.details.get("Status") != _BAD_REQUEST:
        return error
    try:
        faults = submission_faults(decode_job(job))
    except InvalidSpec as found:
        faults, field = [], found.field
    else:
        field = faults[0].path if faults else ""
    details = {**error.details, **({"field": field} if field else {})}
    return InvalidSpec(error.message, hint=error.hint, **details)


def _changed(job: JobSpec | None, fields: Mapping[str, Any]) -> JobSpec:
    from bacalhau_nats.domain.spec import JobSpec  # noqa: PLC0415 - the models take 60 ms to load

    known = [name for name in JobSpec.model_fields if name.title() not in _SERVERS_OWN]
    for name in fields:
        if name not in known:
            close = difflib.get_close_matches(name, known, n=1)
            raise InvalidSpec(
                f"a job has no field {name!r}",
                hint=f"did you mean {close[0]!r}?" if close else f"known are {', '.join(known)}",
                field=name,
            )
    if not fields and job is None:
        raise InvalidSpec(
            "there is no job to submit", hint="give a spec, a file, or fields such as type= and tasks="
        )
    own = {name: getattr(job, name) for name in known} if job is not None else {}
    return _checked({**own, **fields})


def _checked(values: Mapping[str, Any]) -> JobSpec:
    from pydantic import ValidationError  # noqa: PLC0415 - the models take 60 ms to load

    from bacalhau_nats.domain.spec import JobSpec  # noqa: PLC0415

    try:
        return JobSpec.model_validate(values)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = "Job" + "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in first["loc"])
        raise InvalidSpec(f"{where}: {first['msg']}", hint="see the fields of JobSpec", field=where) from None


def _written(spec: JobSpec) -> Job:
    """Write a spec as a client sends it: only what its user set, and the few defaults the API insists on."""
    wire = {key: value for key, value in spec.to_wire().items() if key not in _SERVERS_OWN}
    wire["Type"] = spec.type.value
    wire["Count"] = 0 if spec.type.everywhere else spec.count
    for task in wire.get("Tasks", ()):
        task.setdefault("Name", "main")
    for requirement in wire.get("Constraints", ()):
        requirement.setdefault("Operator", "=")
    return cast("Job", wire)
