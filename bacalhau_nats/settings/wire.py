"""How settings are shown: secrets masked, and empty values left out for the public API."""

from __future__ import annotations

import re
from typing import Any

from bacalhau_nats.settings.keys import Key, Keys
from bacalhau_nats.settings.section import MASK, USERINFO

_SECRET_NAME = re.compile(
    r"secret|password|token|credential|api_?key|access_?key|private_?key", re.IGNORECASE
)
_SECRET_FIELDS = frozenset({"Password", "APIKey"})  # of API.Auth.Users
_ALWAYS = "API.TLS.Insecure"  # the one scalar that Bacalhau shows even when it is false
_ZERO_BY_KIND = {"duration": "0s", "size": "0"}
_ZERO_BY_NAME = {"JobAdmissionControl.Locality": "local"}  # Go's zero value of that type


def mask(tree: dict[str, Any], keys: Keys) -> dict[str, Any]:
    """Copy ``tree`` with secrets masked: tokens, passwords, keys, and the user part of URLs.

    In the section of a plugin from outside, whatever is named like a secret is one.
    """
    return _map(tree, (), keys, _masked)


def prune(tree: dict[str, Any], keys: Keys) -> dict[str, Any]:
    """Copy ``tree`` without empty values; sections stay even when nothing is left in them."""
    return _map(
        tree, (), keys, lambda key, value: value if key and key.name == _ALWAYS else _kept(key, value)
    )


_GONE = object()


def _map(tree: dict[str, Any], path: tuple[str, ...], keys: Keys, change: Any) -> dict[str, Any]:
    out: dict[str, Any] = {}
    for name, value in tree.items():
        here = (*path, name)
        key = keys.at(here)
        if key is None and isinstance(value, dict) and keys.is_section(".".join(here)):
            out[name] = _map(value, here, keys, change)
            continue
        changed = change(key, value) if key else _free(name, value, change)
        if changed is not _GONE:
            out[name] = changed
    return out


def _free(name: str, value: Any, change: Any) -> Any:
    return _hide(name, value) if change is _masked else value


def _masked(key: Key, value: Any) -> Any:
    if key.secret:
        return MASK if value else value
    if key.kind == "objects":
        return _hide(key.path[-1], value)
    if isinstance(value, list):
        return [USERINFO.sub(MASK, item) if isinstance(item, str) else item for item in value]
    return USERINFO.sub(MASK, value) if isinstance(value, str) else value


def _hide(name: str, value: Any) -> Any:
    if isinstance(value, dict):
        return {inner: _hide(inner, found) for inner, found in value.items()}
    if isinstance(value, list):
        return [_hide(name, found) for found in value]
    if value and isinstance(value, str) and (name in _SECRET_FIELDS or _SECRET_NAME.search(name)):
        return MASK
    return USERINFO.sub(MASK, value) if isinstance(value, str) else value


def _kept(key: Key | None, value: Any) -> Any:
    if key is not None and key.kind == "objects":
        value = _dense(value)
    if key is not None and value in (_ZERO_BY_KIND.get(key.kind), _ZERO_BY_NAME.get(key.name)):
        return _GONE
    return value or _GONE


def _dense(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: inner for name, found in value.items() if (inner := _dense(found))}
    if isinstance(value, list):
        return [_dense(found) for found in value]
    return value
