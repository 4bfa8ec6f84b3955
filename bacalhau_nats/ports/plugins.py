"""What a plugin must be.

A plugin is *a function that takes a `PluginContext`
and returns an async context manager*, registered under one of the entry-point groups
``bacalhau_nats.executors``, ``bacalhau_nats.storage`` and ``bacalhau_nats.publishers``. No base class, no
registration call, no global. ``bacalhau_nats.testing`` has a conformance suite for each kind.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, Protocol, TypeVar, runtime_checkable

from pydantic import BaseModel, ValidationError

from bacalhau_nats.domain.execution import Reason
from bacalhau_nats.domain.ids import ExecutionID, JobID, NodeID
from bacalhau_nats.domain.resources import Resources
from bacalhau_nats.domain.spec import JobSpec, SpecConfig, Task
from bacalhau_nats.errors import InvalidSettings

_Settings = TypeVar("_Settings", bound=BaseModel)


# --- what every plugin is given -------------------------------------------------------------------


class Blobs(Protocol):
    """Named bytes on the bus (a JetStream object store), streamed, never whole in memory."""

    async def put(self, name: str, source: Path | bytes) -> int:
        """Store ``source`` under ``name``, replacing what was there; give its size in bytes."""
        ...

    def get(self, name: str) -> AsyncIterator[bytes]:
        """Read it chunk by chunk. Raises NotFound."""
        ...

    async def size(self, name: str) -> int:
        """Give its size in bytes. Raises NotFound."""
        ...

    async def delete(self, name: str) -> None:
        """Forget it; forgetting what is not there is no error."""
        ...


UploadURL = Callable[[JobID, ExecutionID], Awaitable[str]]
"""Asks the orchestrator for a URL to which the results of an execution may be put once, its bucket being the
orchestrator's. Without ids it only says whether there is such a bucket, and gives no URL. Raises BacalhauError."""


@dataclass(frozen=True, slots=True)
class PluginContext:
    """Where a plugin finds itself. ``settings`` is the plugin's own section, not yet validated."""

    cell: str
    node_id: NodeID
    data_dir: Path
    settings: Mapping[str, Any] = field(default_factory=dict)
    blobs: Blobs | None = None  # content that did not fit into a fact, by sha256
    results: Blobs | None = None  # published results
    upload_url: UploadURL | None = None

    def read(self, model: type[_Settings]) -> _Settings:
        """Validate ``settings`` as ``model``. Raises InvalidSettings naming each key that cannot be used."""
        try:
            return model.model_validate(dict(self.settings))
        except ValidationError as error:
            faults = "; ".join(
                f"{'.'.join(str(part) for part in fault['loc'])}: {fault['msg']}"
                for fault in error.errors(include_url=False, include_input=False)
            )
            raise InvalidSettings(f"invalid plugin settings: {faults}") from None


@dataclass(frozen=True, slots=True)
class Health:
    """Whether a plugin can be used right now; ``why`` says what is missing when it cannot.

    ``configured`` is False when nobody has set it up here, which is no trouble to warn of.
    """

    ok: bool
    why: str = ""
    configured: bool = True


# --- executors ------------------------------------------------------------------------------------


class Stream(StrEnum):
    """Where output came from."""

    STDOUT = "stdout"
    STDERR = "stderr"


class LogSink(Protocol):
    """Takes the output of one execution while it runs."""

    async def write(self, stream: Stream, data: bytes) -> None:
        """Take a piece of output. Waits when the log cannot keep up: do not read on until it returns."""
        ...

    async def event(self, message: str) -> None:
        """Say what is going on (an image pull, a download), one line for people."""
        ...


@dataclass(frozen=True, slots=True)
class Volume:
    """A file or folder on this machine that the execution sees at ``target``."""

    source: Path
    target: str
    read_only: bool = True


@dataclass(frozen=True, slots=True)
class Work:
    """One execution, ready to run: inputs are local, environment resolved, output folders made."""

    execution_id: ExecutionID
    job: JobSpec
    task: Task
    partition: int
    resources: Resources
    env: Mapping[str, str]
    inputs: tuple[Volume, ...]
    outputs: tuple[
        Volume, ...
    ]  # writable; `target` is the result path's Path, the folder is named by its Name
    scratch: Path  # an empty folder of this execution, removed afterwards
    ports: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Failure:
    """Why work could not be done: what, where, why, and whether another try could help."""

    message: str
    reason: Reason = Reason.ENGINE
    retryable: bool = True
    hint: str = ""


class WorkFailed(Exception):
    """Raised by a plugin inside the runner; carries the `Failure` to report."""

    def __init__(
        self, message: str, *, reason: Reason = Reason.ENGINE, retryable: bool = True, hint: str = ""
    ) -> None:
        super().__init__(message)
        self.failure = Failure(message, reason, retryable, hint)


@dataclass(frozen=True, slots=True)
class Outcome:
    """How work ended: an exit code, or a failure.

    ``program`` is the digest of what ran, where the engine knows it: of the module, the image.
    """

    exit_code: int = 0
    failure: Failure | None = None
    program: str = ""


class Executor(Protocol):
    """Runs work on one engine. Cancelling the awaiting task must stop the work before it returns."""

    async def check(self) -> Health:
        """Say whether the engine is there now; asked every few seconds, so be quick."""
        ...

    async def run(self, work: Work, logs: LogSink) -> Outcome:
        """Run it to its end. Output goes to ``logs`` as it appears.

        Raises WorkFailed when it cannot be started. On cancellation the container or instance is stopped
        and removed within two seconds, and `CancelledError` goes on.
        """
        ...

    async def attach(self, work: Work, logs: LogSink, *, seen: Mapping[Stream, int]) -> Outcome | None:
        """Go on with work that an earlier process on this node started; None when it is not there.

        ``seen`` is how many bytes of each output are stored already.
        """
        ...

    async def sweep(self, keep: Sequence[ExecutionID]) -> int:
        """Remove what earlier processes of this node left, except ``keep``; give how many there were."""
        ...


# --- storage and publishers -------------------------------------------------------------------------


class Storage(Protocol):
    """Turns an input source into a local file or folder."""

    async def check(self) -> Health:
        """Say whether such inputs can be had now."""
        ...

    def refuses(self, source: SpecConfig) -> str:
        """Say why this node will never serve ``source`` (a path outside the allow-list); empty when it may."""
        ...

    async def fetch(self, source: SpecConfig, target: str, into: Path, logs: LogSink) -> Volume:
        """Make the input available, anything downloaded put below ``into``.

        ``into`` belongs to this input of this execution and is removed afterwards; it does not exist yet, so
        that an input that needs no disk costs none: make it when needed. Raises WorkFailed with reason INPUT
        (or INVALID when no node could ever do it).
        """
        ...


@runtime_checkable
class Holder(Protocol):
    """A storage that keeps what it has fetched, for the next execution that wants the same. Optional.

    What it holds is told in the node's report, so that jobs go where their data lies.
    """

    def held(self) -> Mapping[str, int]:
        """Name the inputs that are here (`domain.locality.input_digest`), with their sizes in bytes."""
        ...

    def shrink(self) -> None:
        """The disk is full: give back what nothing uses. Blocking."""
        ...


@dataclass(frozen=True, slots=True)
class Share:
    """Which part of an input an execution gets: ``index`` of ``count``; ``budget`` is bytes on disk, 0 for any."""

    index: int = 0
    count: int = 1
    budget: int = 0


WHOLE = Share()


@runtime_checkable
class Divisible(Protocol):
    """A storage that can also give each partition of a job its own part of an input."""

    def share(self, share: Share) -> Storage:
        """Give the storage as one execution may use it."""
        ...


class Publisher(Protocol):
    """Takes the results folder of an execution out of the node."""

    async def check(self) -> Health:
        """Say whether results can be published now."""
        ...

    async def publish(self, work: Work, results: Path, spec: SpecConfig) -> SpecConfig:
        """Store the folder; give the result as the public API shows it.

        Nothing half-stored is ever returned. Raises WorkFailed with reason PUBLISH.
        """
        ...


@runtime_checkable
class Choosy(Protocol):
    """A publisher that can tell by its parameters that it will not work, before the work is done."""

    def refuses(self, spec: SpecConfig) -> str:
        """Say why this node will never publish as ``spec`` says; empty when it may."""
        ...
