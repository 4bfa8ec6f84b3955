"""Read the parameters of a source or publisher into a model: their names in any case, what is wrong in words."""

from __future__ import annotations

from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from bacalhau_nats.domain.spec import SpecConfig

_Parameters = TypeVar("_Parameters", bound=BaseModel)


def read_parameters(model: type[_Parameters], spec: SpecConfig, what: str) -> _Parameters:
    """Give the parameters of ``spec`` as ``model``. Raises ValueError that begins with ``what``."""
    try:
        return model.model_validate(_named(model, spec.params))
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise ValueError(f"{what}: {where}: {first['msg']}") from None


def _named(model: type[BaseModel], given: dict[str, Any]) -> dict[str, Any]:
    """Spell the names as ``model`` does, also inside; null counts as absent."""
    found: dict[str, Any] = {}
    for field, info in model.model_fields.items():
        name = info.alias or field
        value = SpecConfig(params=given).param(name)
        inner = info.annotation
        if isinstance(value, dict) and isinstance(inner, type) and issubclass(inner, BaseModel):
            value = _named(inner, value)
        if value is not None:
            found[name] = value
    return found
