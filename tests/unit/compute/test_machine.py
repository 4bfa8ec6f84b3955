"""A node offers what its machine has, or what its container is allowed."""

import os
import shutil
import stat

import pytest

from bacalhau_nats.compute.machine import machine_capacity

CPUS = len(os.sched_getaffinity(0))


@pytest.fixture
def root(tmp_path):
    files = {"proc/meminfo": "MemTotal:       16000 kB\nMemFree: 1 kB\n", "proc/self/cgroup": "0::/a/b\n"}
    return lambda **more: _write(
        tmp_path, {**files, **{name.replace("__", "/"): text for name, text in more.items()}}
    )


def _write(root, files):
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def group(root, path, **files):
    _write(
        root / "sys/fs/cgroup" / path, {name.replace("_max", ".max"): text for name, text in files.items()}
    )


def test_this_machine_has_something(tmp_path):
    found = machine_capacity(tmp_path / "not" / "made" / "yet")
    assert 0 < found.milli_cpu <= CPUS * 1000
    assert found.memory > 2**20
    assert found.disk == pytest.approx(shutil.disk_usage(tmp_path).free, rel=0.2)


def test_without_limits_it_is_what_the_machine_has(root, tmp_path):
    where = root()
    group(where, "a/b", cpu_max="max 100000\n", memory_max="max\n")
    found = machine_capacity(tmp_path, root=where)
    assert found.milli_cpu == CPUS * 1000
    assert found.memory == 16000 * 1024


def test_a_limit_of_the_group_or_of_any_group_above_counts(root, tmp_path):
    where = root()
    group(where, "a/b", cpu_max="50000 100000\n", memory_max="9000000\n")
    group(where, "a", cpu_max="25000 100000\n", memory_max="10000000\n")
    found = machine_capacity(tmp_path, root=where)
    assert found.milli_cpu == 250
    assert found.memory == 9_000_000


def test_the_first_version_of_control_groups_counts_too(root, tmp_path):
    where = root()
    (where / "proc/self/cgroup").write_text("5:cpu,cpuacct:/job\n4:memory:/job\n")
    base = where / "sys/fs/cgroup"
    _write(base / "cpu" / "job", {"cpu.cfs_quota_us": "30000\n", "cpu.cfs_period_us": "100000\n"})
    _write(base / "memory" / "job", {"memory.limit_in_bytes": "5000000\n"})
    found = machine_capacity(tmp_path, root=where)
    assert found.milli_cpu == 300
    assert found.memory == 5_000_000


@pytest.mark.parametrize(
    ("script", "gpus"),
    [
        ("echo GPU-1; echo GPU-2", 2),
        ("echo No devices were found", 0),
        ("echo broken >&2; exit 9", 0),
    ],
)
def test_gpus_are_counted_by_their_driver_and_a_broken_one_offers_none(tmp_path, monkeypatch, script, gpus):
    tool = tmp_path / "nvidia-smi"
    tool.write_text(f"#!/bin/sh\n{script}\n")
    tool.chmod(tool.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    assert machine_capacity(tmp_path).gpu == gpus
