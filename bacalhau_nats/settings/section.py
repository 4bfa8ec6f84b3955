"""The base of every section of the settings, and how a key is declared."""

from __future__ import annotations

import re
from typing import Any

from pydantic import BaseModel, ConfigDict, Field
from pydantic.config import JsonDict

from bacalhau_nats.domain.model import wire_name

NOT_USED = "accepted, not used"
"""How the description of a key ends that the original knows and that has no meaning here."""

MASK = "********"
USERINFO = re.compile(r"(?<=://)[^/@\s]+(?=@)")
"""The name and password inside a URL."""


class Section(BaseModel):
    """A frozen part of the settings; in files its keys are PascalCase."""

    model_config = ConfigDict(
        frozen=True,
        alias_generator=wire_name,
        populate_by_name=True,
        extra="forbid",
        coerce_numbers_to_str=True,
        hide_input_in_errors=True,
        defer_build=True,
    )

    def __repr__(self) -> str:
        # Settings end up in logs and tracebacks: secret fields are left out, URLs lose their password.
        return USERINFO.sub(MASK, super().__repr__())

    __str__ = __repr__


def key(default: Any, description: str, *, secret: bool = False, unused: bool = False, **limits: Any) -> Any:
    """Declare one key. ``limits`` are pydantic's (``ge``, ``le``, ``gt``, ``min_length``).

    A secret is masked wherever settings are shown; an unused key is one of the original's names that
    has no meaning here.
    """
    if unused:
        description = f"{description.removesuffix('.')} ({NOT_USED})."
    marks: JsonDict = {"secret": secret, "unused": unused}
    if callable(default):
        return Field(default_factory=default, description=description, json_schema_extra=marks, **limits)
    return Field(default=default, description=description, json_schema_extra=marks, repr=not secret, **limits)


def part(section: type[Section]) -> Any:
    """Declare a section inside another; it is built when it is first wanted, not on import."""
    return Field(default_factory=section)
