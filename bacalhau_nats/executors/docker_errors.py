"""What goes wrong at the engine, and what that means for an execution. Pure."""

from __future__ import annotations

import re

from bacalhau_nats.domain.execution import Reason
from bacalhau_nats.ports import WorkFailed

_BAD_REQUEST = 400
# What runc and the engine put around the part that a person can use.
_WRAPPING = re.compile(
    r"^.*(?:OCI runtime create failed|runc create failed|unable to start container process|"
    r"container_linux\.go:\d+|starting container process caused): ?"
)
_UNWRAPPED_END = re.compile(r"(?:: unknown)+$")
# Start errors of the job's own making which some engines answer with 500.
_OWN_FAULT = ("executable file not found", "no such file or directory", "is not a directory")
# Refusals that come from this machine, although the engine calls them a bad request.
_OUR_FAULT = ("bind source path does not exist",)


class EngineError(Exception):
    """The engine refused; ``status`` is the HTTP status, 0 when there is none."""

    def __init__(self, message: str, status: int = 0) -> None:
        super().__init__(message)
        self.status = status


class EngineGone(EngineError):
    """The engine does not answer, or broke off."""


class NoSuchImage(EngineError):
    """The engine does not have the image."""


def tidy(message: str) -> str:
    """Strip what the layers of the engine wrap around a message."""
    return _UNWRAPPED_END.sub("", _WRAPPING.sub("", message.strip()))


def work_failed(error: EngineError, doing: str) -> WorkFailed:
    """Say what ``error`` means for the execution; ``doing`` is what was tried, such as ``start``."""
    message = f"docker engine: cannot {doing} the container: {tidy(str(error))}"
    if isinstance(error, EngineGone):
        return WorkFailed(message, hint="check that the Docker engine of this node is running")
    text = str(error)
    ours = any(words in text for words in _OUR_FAULT)
    if not ours and (error.status == _BAD_REQUEST or any(words in text for words in _OWN_FAULT)):
        return WorkFailed(
            message,
            reason=Reason.INVALID,
            retryable=False,
            hint="check Image, Entrypoint, Parameters and WorkingDirectory of the job",
        )
    return WorkFailed(message)
