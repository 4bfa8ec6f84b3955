"""What the machine under a compute node has: CPUs, memory, free disk and GPUs.

A container or a systemd slice may be allowed less than the machine has, so the limits of the control
groups (v2, and v1 where it is still mounted) count as well. What cannot be found out counts as none, or
as unlimited where it is a limit; nothing here fails.
"""

from __future__ import annotations

import logging
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from bacalhau_nats.domain.resources import Resources

_log = logging.getLogger(__name__)
_GPU_QUERY_SECONDS = 10.0


def machine_capacity(data_dir: Path, *, root: Path = Path("/")) -> Resources:
    """Give what this process may use at most. Blocks for up to ten seconds where there is a GPU driver.

    Disk is what is free now on the file system of ``data_dir``. ``root`` is where ``/proc`` and ``/sys``
    are found.
    """
    groups = list(_control_groups(root))
    return Resources(
        milli_cpu=min([_cpus() * 1000, *_cpu_limits(groups)]),
        memory=min([_memory(root), *_memory_limits(groups)]),
        disk=_free_disk(data_dir),
        gpu=_gpus(),
    )


def _cpus() -> int:
    try:
        return len(os.sched_getaffinity(0))
    except (AttributeError, OSError):  # not Linux
        return os.cpu_count() or 1


def _memory(root: Path) -> int:
    for line in _read(root / "proc/meminfo").splitlines():
        if line.startswith("MemTotal:"):
            return int(line.split()[1]) * 1024
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError):
        return 0


def _control_groups(root: Path) -> Iterator[Path]:
    """Give the folders of this process's control groups, and of all groups above them."""
    mount = root / "sys/fs/cgroup"
    for line in _read(root / "proc/self/cgroup").splitlines():
        _, _, entry = line.partition(":")
        controllers, _, path = entry.partition(":")
        folders = (
            [mount] if not controllers else [mount / name for name in {controllers, *controllers.split(",")}]
        )
        for folder in folders:
            here = Path(os.path.normpath(folder / path.lstrip("/")))
            while here.is_relative_to(folder):
                yield here
                here = here.parent


def _cpu_limits(groups: list[Path]) -> Iterator[int]:
    for group in groups:
        quota, _, period = _read(group / "cpu.max").strip().partition(" ")
        if not quota:
            quota, period = (
                _read(group / "cpu.cfs_quota_us").strip(),
                _read(group / "cpu.cfs_period_us").strip(),
            )
        if quota.isdigit() and period.isdigit() and int(period):  # "max" and -1 mean no limit
            yield max(1, int(quota) * 1000 // int(period))


def _memory_limits(groups: list[Path]) -> Iterator[int]:
    for group in groups:
        for name in ("memory.max", "memory.limit_in_bytes"):
            text = _read(group / name).strip()
            if text.isdigit():
                yield int(text)


def _free_disk(data_dir: Path) -> int:
    for folder in (data_dir, *data_dir.absolute().parents):  # it may not have been made yet
        try:
            return shutil.disk_usage(folder).free
        except OSError:
            continue
    return 0


def _gpus() -> int:
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return 0
    try:
        answer = subprocess.run(  # noqa: S603 - a fixed command found on PATH
            [tool, "--query-gpu=uuid", "--format=csv,noheader"],
            capture_output=True,
            text=True,
            timeout=_GPU_QUERY_SECONDS,
            check=True,
        )
    except (OSError, subprocess.SubprocessError) as error:
        _log.warning("nvidia-smi is there but does not answer, so no GPU is offered: %s", error)
        return 0
    return sum(line.startswith("GPU-") for line in answer.stdout.splitlines())


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except (OSError, UnicodeDecodeError):
        return ""
