"""Facts about this machine, and what processes use, read from /proc (Linux)."""

from __future__ import annotations

import os
import platform
import subprocess
from dataclasses import dataclass
from pathlib import Path

from bacalhau_nats.messaging.server import find_server

_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")
MIB = 1024 * 1024


def facts() -> dict[str, str]:
    """Describe the machine and how busy it is right now: a figure from a busy machine means little."""
    version = subprocess.run([find_server(), "--version"], capture_output=True, text=True, check=True)
    return {
        "cores": str(len(os.sched_getaffinity(0))),
        "CPU": _cpu_model(),
        "memory": f"{os.sysconf('SC_PHYS_PAGES') * _PAGE / MIB / 1024:.1f} GiB",
        "kernel": platform.release(),
        "Python": platform.python_version(),
        "nats-server": version.stdout.rpartition("v")[2].strip(),
        "load average before": " ".join(f"{load:.2f}" for load in os.getloadavg()),
    }


def _cpu_model() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor() or "unknown"


@dataclass(frozen=True, slots=True)
class Usage:
    """What a process has used: CPU in seconds since its start, resident memory in bytes, open files."""

    cpu: float
    rss: int
    files: int


def usage(pid: int) -> Usage:
    """Read what ``pid`` uses. Raises OSError when it is gone."""
    proc = Path("/proc") / str(pid)
    fields = (proc / "stat").read_text().rpartition(")")[2].split()
    return Usage(
        cpu=(int(fields[11]) + int(fields[12])) / _TICKS,
        rss=int(fields[21]) * _PAGE,
        files=len(list((proc / "fd").iterdir())),
    )


def child(pid: int, name: str) -> int:
    """Find the child of ``pid`` whose program is called ``name``; 0 when there is none."""
    for task in (Path("/proc") / str(pid) / "task").iterdir():
        for found in (task / "children").read_text().split():
            if (Path("/proc") / found / "comm").read_text().strip() == name:
                return int(found)
    return 0
