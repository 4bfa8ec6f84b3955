"""What is wrong with something a client sent: where, and in which words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is wrong: where (``Job.Tasks[0].Name``) and what, for people."""

    path: str
    message: str


def message_of(faults: Sequence[Fault]) -> str:
    """Write all faults, one a line."""
    return "\n".join(fault.message for fault in faults)


def led_by(prefix: str, faults: list[Fault]) -> list[Fault]:
    """Put a context before the first fault only, as the public API joins nested errors."""
    if faults:
        faults[0] = replace(faults[0], message=prefix + faults[0].message)
    return faults
