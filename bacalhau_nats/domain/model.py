"""The base of every record: frozen, readable JSON in the field's PascalCase.

One model serves the domain and the wire (a second set of transfer objects would double the code of a
one-language system). Unknown keys are ignored on read, so that a newer writer does not break an older
reader; golden files in the tests keep the written form.
"""

from __future__ import annotations

from typing import Any, Self

from pydantic import BaseModel, ConfigDict

_SPELLED = {
    "api": "API",
    "ca": "CA",
    "cpu": "CPU",
    "gpu": "GPU",
    "gpus": "GPUs",
    "http": "HTTP",
    "id": "ID",
    "ipfs": "IPFS",
    "jwks": "JWKS",
    "os": "OS",
    "sha256": "SHA256",
    "tls": "TLS",
    "ttl": "TTL",
    "ui": "UI",
    "url": "URL",
    "urls": "URLs",
    "wasm": "WASM",
}


def wire_name(name: str) -> str:
    """Turn ``execution_id`` into ``ExecutionID``; the keys of records and of settings are spelled alike."""
    return "".join(_SPELLED.get(part, part[:1].upper() + part[1:]) for part in name.split("_"))


class Model(BaseModel):
    """A frozen record with PascalCase keys on the wire."""

    model_config = ConfigDict(
        frozen=True,
        alias_generator=wire_name,
        populate_by_name=True,
        extra="ignore",
        hide_input_in_errors=True,
    )

    def __deepcopy__(self, memo: dict[int, Any] | None = None) -> Self:
        """Nothing in a record changes, so a copy would be the same; pydantic copies defaults often."""
        return self

    def to_json(self) -> bytes:
        """Write the compact JSON of this record, defaults left out."""
        return self.model_dump_json(by_alias=True, exclude_defaults=True).encode()

    def to_wire(self) -> dict[str, Any]:
        """Write this record as plain JSON values, defaults left out."""
        return self.model_dump(mode="json", by_alias=True, exclude_defaults=True)

    def but(self, **changes: Any) -> Self:
        """Copy with some fields changed; values are trusted, not validated again."""
        return self.model_copy(update=changes)
