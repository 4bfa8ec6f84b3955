"""Every error this project raises on purpose, on one page.

::

    BacalhauError
    ├── UserError            the caller must change something
    │   ├── InvalidSpec      a job, flag or body that cannot be accepted
    │   │   └── WrongArgument   a short form that cannot be read: the call is wrong, not a job file
    │   ├── NotFound         no such job, execution, node or blob
    │   ├── Conflict         the record moved on, or the name or id is taken
    │   ├── Forbidden        known caller, not allowed
    │   ├── InvalidSettings  a configuration key or value that cannot be used
    │   ├── BadArchive       an archive that is damaged, too large or reaches out of its folder
    │   └── UnknownPlugin    no executor, storage or publisher of that name
    ├── Unavailable          try again later
    │   ├── BusTimeout       no answer in time: the write may or may not have happened
    │   ├── NoResponders     nobody serves that subject
    │   └── StorageFull      a stream or a disk refuses more
    ├── JobFailed            a job that was waited for failed, or was stopped
    ├── UnsupportedServer    the NATS server is too old to be safe
    ├── StartFailed          a role could not start: port in use, folder not writable, foreign instance
    └── InternalError        a bug; carries an id that is also in the log

A message says what failed, where and why; ``hint`` says what to do next. Declines, expired holds and
failed executions are values, not exceptions. Three tables map this tree outward, one per edge:
``messaging/codec.py`` (headers), ``gateway/http/problems.py`` (status and body), ``bacalhau_cli/main.py``
(exit code).
"""

from __future__ import annotations


class BacalhauError(Exception):
    """Something went wrong in bacalhau-nats."""

    code = "InternalError"

    def __init__(self, message: str = "", *, hint: str = "", **details: str) -> None:
        self.message = message or (self.__doc__ or "").partition("\n")[0]
        self.hint = hint
        self.details = details
        super().__init__(self.message)

    @property
    def field(self) -> str:
        """Where in the job the fault is (``Job.Tasks[0].Name``); empty when it is not in one place."""
        return self.details.get("field", "")


class UserError(BacalhauError):
    """The caller must change something."""

    code = "BadRequest"


class InvalidSpec(UserError):
    """The job cannot be accepted as written."""

    code = "ValidationError"


class WrongArgument(InvalidSpec):
    """What was written in short form cannot be read: the call is wrong, not a job file."""


class NotFound(UserError):
    """There is no such thing."""

    code = "NotFound"


class Conflict(UserError):
    """The record has moved on, or the name or id is taken."""

    code = "ResourceInUse"


class Forbidden(UserError):
    """The caller may not do this."""

    code = "Forbidden"


class InvalidSettings(UserError):
    """A configuration key or value cannot be used."""

    code = "ConfigurationError"


class BadArchive(UserError):
    """The archive is damaged, too large, or reaches out of its folder."""


class UnknownPlugin(UserError):
    """No plugin of that name is installed."""

    code = "BadRequest"


class Unavailable(BacalhauError):
    """Not possible right now; try again later."""

    code = "ServiceUnavailable"


class BusTimeout(Unavailable):
    """No answer in time: what was asked may or may not have happened."""

    code = "TimeOut"


class NoResponders(Unavailable):
    """Nobody on the bus serves that subject."""


class StorageFull(Unavailable):
    """A stream or a disk refuses more."""

    code = "ResourceExhausted"


class JobFailed(BacalhauError):
    """A job that was waited for failed, or was stopped. ``details`` has ``JobID`` and ``State``."""

    code = "JobFailed"


class UnsupportedServer(BacalhauError):
    """The NATS server is too old: it would ignore the fence that keeps an execution on one node."""

    code = "VersionMismatch"


class StartFailed(BacalhauError):
    """A role could not start."""

    code = "ConfigurationError"


class InternalError(BacalhauError):
    """A bug; the id is also in the log."""
