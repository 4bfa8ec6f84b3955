"""The identity of a data folder, by which a node knows its own containers from those of any other.

Names do not do: two clusters on one machine may have the same cell and the same nodes, on one engine. The
identity is drawn at the first start and kept in the data folder, so it lives exactly as long as what the node
knows of its containers.
"""

from __future__ import annotations

import secrets
from contextlib import suppress
from pathlib import Path

HOME_FILE = "docker_home"


def home_of(data_dir: Path) -> str:
    """Give the identity of ``data_dir``: 12 hex digits, drawn and kept if need be. Blocking; raises OSError."""
    file = data_dir / HOME_FILE
    with suppress(FileNotFoundError):
        return file.read_text().strip()
    data_dir.mkdir(parents=True, exist_ok=True)
    draft = data_dir / f".{HOME_FILE}-{secrets.token_hex(4)}"
    draft.write_text(f"{secrets.token_hex(6)}\n")
    try:
        with suppress(FileExistsError):  # somebody was quicker, and his counts
            file.hardlink_to(draft)
    finally:
        draft.unlink()
    return file.read_text().strip()
