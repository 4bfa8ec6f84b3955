"""What people write in short, as parts of a job: ``-i s3://…,opt=…``, ``-p local``, ``-o name:/path``.

Pure. The result is the wire form of the public API. Every problem is a WrongArgument that quotes what was written
and says what would be right.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bacalhau_nats.errors import WrongArgument

Wire = dict[str, Any]

DEFAULT_TARGET = "/inputs"
SCHEME = re.compile(r"^([A-Za-z][A-Za-z0-9+.-]*)://")
_PORT = re.compile(r"^[0-9]+(/|$)")
_S3_OPTIONS = {
    "endpoint": "Endpoint",
    "region": "Region",
    "filter": "Filter",
    **dict.fromkeys(("versionid", "version-id", "version_id"), "VersionID"),
    **dict.fromkeys(("checksum-256", "checksum256", "checksum_256"), "ChecksumSHA256"),
}
_READ_WRITE = frozenset({"rw", "read-write", "read_write", "readwrite"})
_TRUE = frozenset({"1", "t", "true"})
_FALSE = frozenset({"0", "f", "false"})
_NETWORKS = {name.lower(): name for name in ("Default", "None", "Host", "Full", "HTTP", "Bridge")}
_LABEL = re.compile(r"^([A-Za-z0-9]([-_.A-Za-z0-9]{0,61}[A-Za-z0-9])?)?$")
_DNS = re.compile(r"^[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?$")


# --- inputs and publishers ---------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Spelled:
    """A shorthand taken apart: the URI or type, the target, the options."""

    source: str
    target: str
    options: tuple[tuple[str, str], ...]


def input_source(text: str, *, target: str = DEFAULT_TARGET) -> Wire:
    """Read ``URI[:TARGET][,key=value…]``; the alias is the URI. Raises WrongArgument."""
    spelled = _spell(text, "input", short_target=True)
    source = _source(spelled, text)
    return {"Source": source, "Alias": spelled.source, "Target": spelled.target or target}


def publisher(text: str) -> Wire:
    """Read ``TYPE_OR_URI[,opt=key=value…]``: ipfs, local, s3managed, nats, noop or S3. Raises WrongArgument."""
    spelled = _spell(text, "publisher", short_target=False)
    scheme = SCHEME.match(spelled.source)
    kind = (scheme.group(1) if scheme else spelled.source).lower()
    if kind in ("ipfs", "local", "s3managed", "nats", "noop"):
        return {"Type": kind}
    if kind != "s3":
        raise WrongArgument(
            f"publisher {text!r}: there is no type {kind!r}",
            hint="write local, nats, ipfs, s3managed, noop or s3://bucket/key",
        )
    params = {key.lower(): value for key, value in spelled.options}
    if scheme:
        bucket, _, key = spelled.source[scheme.end() :].partition("/")
        params.setdefault("bucket", bucket)
        params.setdefault("key", key)
    for needed in ("bucket", "key"):
        if not params.get(needed):
            raise WrongArgument(
                f"publisher {text!r} has no {needed}",
                hint="write s3://bucket/key, or s3,opt=bucket=…,opt=key=…",
            )
    return {"Type": "s3", "Params": params}


def _spell(text: str, what: str, *, short_target: bool) -> _Spelled:
    fields = _record(text)
    source, target, options = "", "", []
    for index, part in enumerate(fields):
        key, equals, value = part.partition("=")
        name = key.strip().lower()
        if index == 0 and (SCHEME.match(part) or not equals):
            source, target = cut_target(part) if short_target else (part, "")
        elif not equals:
            raise WrongArgument(f"{what} {text!r}: {part!r} is not key=value")
        elif name in ("source", "src"):
            source = value
        elif name in ("target", "dst", "destination"):
            target = value if short_target else target
            source = source or ("" if short_target else value)
        elif name in ("opt", "option"):
            option, has_value, option_value = value.partition("=")
            if not has_value or not option:
                raise WrongArgument(f"{what} {text!r}: write the option as opt=key=value, not {part!r}")
            options.append((option.strip(), option_value))
        else:
            raise WrongArgument(
                f"{what} {text!r}: there is no key {key!r}", hint="use source, target or opt=key=value"
            )
    if not source.strip():
        raise WrongArgument(f"{what} {text!r} names nothing")
    return _Spelled(source.strip(), target, tuple(options))


def cut_target(text: str) -> tuple[str, str]:
    """Split at the last ``:`` behind the scheme: ``https://host/x:/inputs/x``. One before a port is not meant."""
    scheme = SCHEME.match(text)
    start = scheme.end() if scheme else 0
    head, colon, target = text[start:].rpartition(":")
    if _PORT.match(target) and scheme and scheme.group(1).lower() in ("http", "https") and "/" not in head:
        return text, ""
    return (text[:start] + head, target) if colon else (text, "")


def _source(spelled: _Spelled, text: str) -> Wire:
    match = SCHEME.match(spelled.source)
    scheme = match.group(1).lower() if match else ""
    rest = spelled.source[match.end() :] if match else spelled.source
    if scheme in ("http", "https"):
        return {"Type": "urlDownload", "Params": {"URL": spelled.source}}
    if scheme == "ipfs":
        return {"Type": "ipfs", "Params": {"CID": rest}}
    if scheme == "s3":
        bucket, _, key = rest.partition("/")
        params: Wire = {"Bucket": bucket, "Key": key}
        params.update((_option(name, _S3_OPTIONS, text), value) for name, value in spelled.options)
        return {"Type": "s3", "Params": params}
    if scheme == "file":
        params = {"SourcePath": rest}
        for name, value in spelled.options:
            _option(name, dict.fromkeys(_READ_WRITE, ""), text)
            params["ReadWrite"] = _boolean(value, text)
        return {"Type": "local", "Params": params}
    raise WrongArgument(
        f"input {text!r}: {f'inputs from {scheme}:// are not supported' if scheme else 'it has no scheme'}",
        hint=_input_hint(text),
    )


def _input_hint(text: str) -> str:
    if text.startswith("/"):
        return f"a folder of the node is written as file://{text}"
    if text.startswith("data:"):
        return "content goes into a job file, as an input source of type inline"
    return "use ipfs://CID, http(s)://…, s3://bucket/key or file:///path"


def _option(name: str, known: Mapping[str, str], text: str) -> str:
    if name.lower() not in known:
        raise WrongArgument(f"input {text!r}: there is no option {name!r}", hint=f"known: {', '.join(known)}")
    return known[name.lower()]


def _boolean(value: str, text: str) -> bool:
    if value.lower() not in _TRUE | _FALSE:
        raise WrongArgument(f"{text!r}: {value!r} is not true or false")
    return value.lower() in _TRUE


# --- the smaller parts -------------------------------------------------------------------------------


def result_path(text: str) -> Wire:
    """Read ``name:/path``. Raises WrongArgument."""
    name, colon, path = text.partition(":")
    if not colon or ":" in path or not name or not path:
        raise WrongArgument(f"output {text!r} cannot be read", hint="write it as name:/path")
    if not path.startswith("/"):
        raise WrongArgument(f"output {text!r}: the path must be absolute", hint=f"write {name}:/{path}")
    return {"Name": name, "Path": path}


def label_flags(texts: Iterable[str]) -> dict[str, str]:
    """Read ``key=value`` and ``key`` as labels. Raises WrongArgument."""
    return labels({key: value for key, _, value in (text.partition("=") for text in _fields(texts))})


def labels(given: Mapping[str, str]) -> dict[str, str]:
    """Check labels under the syntax of Kubernetes. Raises WrongArgument."""
    for key, value in given.items():
        prefix, slash, name = key.rpartition("/")
        if not name or not _LABEL.match(name) or (slash and not _DNS.match(prefix)):
            raise WrongArgument(
                f"label {key!r}: that is not a label's name",
                hint="use up to 63 letters, digits, '-', '_' and '.', beginning and ending with a letter or digit",
            )
        if not _LABEL.match(value):
            raise WrongArgument(f"label {key!r}: {value!r} is not a label's value")
    return dict(given)


def environment(texts: Iterable[str]) -> dict[str, str]:
    """Read ``NAME=value``; several may be separated with commas. Raises WrongArgument."""
    found: dict[str, str] = {}
    for text in texts:
        # One assignment may hold commas; several are only read where every part is an assignment.
        parts = [text] if "\n" in text or "\r" in text else _record(text)
        for part in parts if all("=" in part for part in parts) else [text]:
            name, equals, value = part.partition("=")
            if not equals or not name:
                raise WrongArgument(
                    f"environment variable {part!r} is not NAME=value",
                    hint="NAME=env:NAME takes the node's own, where it allows that",
                )
            found[name] = value
    return found


def network(name: str, domains: Sequence[str]) -> Wire | None:
    """Read ``--network`` and ``--domain``; None stands for the default. Raises WrongArgument."""
    kind = _NETWORKS.get(name.strip().lower())
    if kind is None:
        raise WrongArgument(f"there is no network {name!r}", hint=f"known: {', '.join(_NETWORKS.values())}")
    if domains and kind not in ("HTTP", "Default"):
        raise WrongArgument(f"domains make no sense with network {kind}", hint="use --network http")
    if kind == "Default":
        return None
    return {"Type": kind, **({"Domains": [domain.strip().lower() for domain in domains]} if domains else {})}


def split(texts: Iterable[str]) -> list[str]:
    """Read a list option that may be repeated and may hold commas."""
    return list(_fields(texts))


def _fields(texts: Iterable[str]) -> Iterable[str]:
    for text in texts:
        yield from _record(text)


def _record(text: str) -> list[str]:
    """Split at commas as a CSV record: quotes keep a comma together."""
    try:
        return next(csv.reader([text]), [])
    except csv.Error as error:
        raise WrongArgument(f"{text!r} cannot be split at its commas: {error}") from error
