"""Print ``docs/settings.md``: ``python -m bacalhau_nats.settings.document > docs/settings.md``."""

from __future__ import annotations

import json
import sys
from itertools import groupby
from typing import Any

from bacalhau_nats.settings.keys import Key
from bacalhau_nats.settings.tree import all_keys

_INTRODUCTION = """\
# Settings

This page is generated: `python -m bacalhau_nats.settings.document > docs/settings.md`.

A value is taken from the last of these that gives one: its default, the config files in the order given,
the environment, a dedicated flag, `-c Key=value`. Maps are merged from file to file. With no file named,
`config.yaml` in the data folder is read if it is there. `bacalhau config list` shows every value and
where it was written.

- Keys are matched without regard to case: `-c api.port=1235`.
- `-c` takes `Key=value`, a file ending in `.yaml` or `.yml`, or a boolean key to switch on.
- In the environment a key is `BACALHAU_` and its name in capitals with `_` for `.`: `BACALHAU_API_PORT`.
  `BACALHAU_DIR` stands for `DataDir` and `LOG_LEVEL` for `Logging.Level`. An empty variable is not set.
- A *duration* is written as `1m30s`, `24h` or `500ms`; a bare number is seconds. A *size* is written as
  `512MB` (powers of 1000) or `1GiB` (powers of 1024). A *list* is `a,b`; a *map* is `a=b,c=d`.
- `DataDir` may begin with `~/`; only a flag or `-c` may give a relative one.
- Below `Engines.Types`, `InputSources.Types` and `Publishers.Types`, a plugin from outside has its own
  section by its name; its keys are its own.
- *Accepted, not used* is a key of Bacalhau 1.9 that has no meaning here.
"""


def document() -> str:
    """Write the page."""
    lines = [_INTRODUCTION]
    for section, keys in groupby(all_keys().all, key=_section):
        lines += [f"## {section}\n", "| Key | Type | Default | Meaning |", "|---|---|---|---|"]
        lines += [_row(key) for key in keys]
        lines.append("")
    return "\n".join(lines)


def _section(key: Key) -> str:
    return key.path[0] if len(key.path) > 1 else "General"


def _row(key: Key) -> str:
    kind = " \\| ".join(f"`{choice}`" for choice in key.choices) or key.kind
    return f"| `{key.name}` | {kind} | {_default(key)} | {key.description} |"


def _default(key: Key) -> str:
    if key.name == "Orchestrator.Scheduler.WorkerCount":
        return "number of CPUs"  # of the machine that runs it, not of the one that wrote the page
    value: Any = key.default
    if value in ("", [], {}):
        return ""
    if isinstance(value, list) and key.kind == "list":
        value = ",".join(value)
    return f"`{value if isinstance(value, str) else json.dumps(value)}`"


if __name__ == "__main__":
    sys.stdout.write(document())
