"""WASM modules: a local file is read and put into the job, a URI is an input."""

from __future__ import annotations

import base64
import gzip
import io
import tarfile
from pathlib import Path

from bacalhau_nats.client.shorthand import SCHEME, Wire, cut_target, input_source
from bacalhau_nats.errors import WrongArgument

INLINE_PLAIN_LIMIT = 512
"""Bytes up to which an inlined file is kept as it is; larger ones are packed."""

_ENTRY_TARGET = "main.wasm"


def entry_module(text: str) -> tuple[str, Wire | None]:
    """Resolve the entry module: its path in the execution, and the input that brings it (None: another one).

    It is a URI as for ``--input``, a local file ``path[:target]`` which is put into the job, or else the
    target of some ``--input``. Raises WrongArgument.
    """
    return _module(text, default=_ENTRY_TARGET)


def import_module(text: str) -> tuple[str, Wire | None]:
    """Resolve an imported module as `entry_module` does; a file or URI must carry its ``:target``."""
    return _module(text, default="")


def _module(text: str, *, default: str) -> tuple[str, Wire | None]:
    if SCHEME.match(text) or text.lower().startswith(("source=", "src=")):
        found = input_source(text, target=default)
    else:
        path, target = (text, "") if Path(text).is_file() else cut_target(text)
        if not Path(path).is_file():
            return text, None
        found = {"Source": inline(Path(path)), "Alias": "", "Target": target or default}
    if not found["Target"]:
        raise WrongArgument(
            f"module {text!r} does not say where it goes", hint=f"write {text}:NAME, as it is imported by"
        )
    return found["Target"], found


def inline(path: Path) -> Wire:
    """Put a file into a job: as it is up to 512 bytes, packed above. Raises WrongArgument."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise WrongArgument(f"{path} cannot be read: {error.strerror}") from error
    return inline_bytes(content, path.name)


def inline_bytes(content: bytes, name: str) -> Wire:
    """Put a file of this content into a job, as `inline` does."""
    if len(content) <= INLINE_PLAIN_LIMIT:
        kind = "application/wasm" if content[:4] == b"\0asm" else "application/octet-stream"
        return _data_url(kind, content)
    packed = io.BytesIO()
    with gzip.GzipFile(fileobj=packed, mode="wb", mtime=0) as out, tarfile.open(fileobj=out, mode="w") as tar:
        entry = tarfile.TarInfo(name)
        entry.size, entry.mode = len(content), 0o644
        tar.addfile(entry, io.BytesIO(content))
    return _data_url("application/gzip", packed.getvalue())


def _data_url(kind: str, content: bytes) -> Wire:
    return {"Type": "inline", "Params": {"URL": f"data:{kind};base64,{base64.b64encode(content).decode()}"}}
