"""What came of a fault run, and what the machine says of it past our own records."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bacalhau_nats.client import Job
from tests.support import marks


@dataclass(slots=True)
class Report:
    """What came of it. Jobs by id; ``ended`` has the state and why."""

    accepted: dict[str, Job] = field(default_factory=dict)
    refused: list[str] = field(default_factory=list)
    repeated: int = 0
    ended: dict[str, tuple[str, str]] = field(default_factory=dict)
    unmarked: list[str] = field(default_factory=list)
    starts: Mapping[str, list[str]] = field(default_factory=dict)
    containers: list[str] = field(default_factory=list)
    strays: list[str] = field(default_factory=list)
    bugs: list[str] = field(default_factory=list)
    faults: int = 0
    took: float = 0.0

    def rows(self) -> Iterator[tuple[str, int | str, list[str]]]:
        """Give name, value and details of each line."""
        lost = [job for job in self.accepted if job not in self.ended]
        failed = Counter(why for state, why in self.ended.values() if state != "Completed")
        twice = [f"{execution}: {' '.join(nodes)}" for execution, nodes in self.starts.items() if nodes[1:]]
        yield "jobs accepted", len(self.accepted), []
        yield "jobs refused", len(self.refused), self.refused
        yield "submissions repeated", self.repeated, []
        yield "faults", self.faults, []
        yield "completed", sum(state == "Completed" for state, _ in self.ended.values()), []
        yield "failed", sum(failed.values()), [f"{n} x {why}" for why, n in failed.items()]
        yield "lost", len(lost), lost
        yield "executions started", len(self.starts), []
        yield "started twice", len(twice), twice
        apart = sum(len(set(nodes)) > 1 for nodes in self.starts.values())
        yield "started on two nodes", apart, []
        yield "completed but never started", len(self.unmarked), self.unmarked
        yield "containers left", len(self.containers), self.containers
        yield "processes left", len(self.strays), self.strays
        yield "errors in logs", len(self.bugs), self.bugs[:20]
        yield "finished after the last fault", f"{self.took:.1f} s", []

    @property
    def good(self) -> bool:
        """Say whether nothing was lost, done twice or left behind."""
        bad = {"lost", "started twice", "completed but never started", "containers left", "processes left"}
        return not any(value for name, value, _ in self.rows() if name in bad)


def is_bug(line: str) -> bool:
    """Say whether a line of a log should never be there."""
    return "Traceback" in line or " ERROR " in line or " CRITICAL " in line


def engine_answers() -> bool:
    """Say whether there is a Docker engine with the image of the jobs."""
    with contextlib.suppress(Exception), _engine() as api:  # any reason means: not today
        return bool(api.images(name=marks.IMAGE))
    return False


@contextmanager
def _engine() -> Iterator[Any]:
    import docker  # noqa: PLC0415 - heavy, and only with an engine

    api = docker.APIClient(version="auto", timeout=10)
    try:
        yield api
    finally:
        api.close()


def containers(cell: str, *, remove: bool = False) -> list[str]:
    """List the containers of a cell, running or not."""
    with _engine() as api:
        found = api.containers(all=True, filters={"label": f"bacalhau.cell={cell}"})
        for each in found if remove else ():
            with contextlib.suppress(Exception):  # it may be going right now
                api.remove_container(each["Id"], force=True, v=True)
        return [f"{each['Names'][0]} {each['Status']}" for each in found]


def processes(word: str) -> list[str]:
    """List the processes whose command line has ``word`` in it."""
    found = []
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            line = file.read_bytes().replace(b"\0", b" ").decode(errors="replace")
            if word in line:
                found.append(f"{file.parent.name} {line[:120]}")
    return found
