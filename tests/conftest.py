"""How hard the property tests try, and what is left out on a machine that lacks a part.

`HYPOTHESIS_PROFILE=ci` gives each property thousands of examples. Without a Docker engine the tests marked
`docker` are left out with a clear line, without Node.js those marked `ipfs`; where CI is set they run and fail.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import docker
import docker.errors
import pytest
from hypothesis import HealthCheck, settings

from tests.support import seaweed
from tests.support.ipfs import IPFSDaemon, why_no_ipfs
from tests.support.machine import IN_CI

_SLOW = (HealthCheck.too_slow, HealthCheck.data_too_large)
_NO_ENGINE = pytest.StashKey[str]()
_NO_IPFS = pytest.StashKey[str]()

settings.register_profile("dev", max_examples=100, deadline=None, suppress_health_check=_SLOW)
settings.register_profile("ci", max_examples=3000, deadline=None, suppress_health_check=_SLOW)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "dev"))  # noqa: TID251 - about the tests, not the product


@pytest.fixture(scope="session")
def s3() -> Iterator[seaweed.S3Server]:
    """A real S3 server; tests that use it are marked with the group ``s3``, so that one process starts one.

    Those that are marked `ipfs`, too, go with the others of that mark, to a process with another one.
    """
    with seaweed.running() as server:
        yield server


def _why_no_engine() -> str:
    try:
        docker.from_env(timeout=5).ping()
    except docker.errors.DockerException as error:
        return str(error)
    return ""


def pytest_configure(config: pytest.Config) -> None:
    config.stash[_NO_ENGINE] = "" if IN_CI else _why_no_engine()
    config.stash[_NO_IPFS] = "" if IN_CI else why_no_ipfs()


@pytest.hookimpl(tryfirst=True)  # before pytest-xdist reads the groups
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    for item in items:
        if "acceptance" in item.path.parts:
            continue
        # They share one engine, and some of them its names: one process runs them all.
        if item.get_closest_marker("docker"):
            item.add_marker(pytest.mark.xdist_group("docker"))
        elif item.get_closest_marker("ipfs"):  # one IPFS node is enough
            item.add_marker(pytest.mark.xdist_group("ipfs"))
    lacking = [m for m, key in (("docker", _NO_ENGINE), ("ipfs", _NO_IPFS)) if config.stash[key]]
    without = [item for item in items if any(map(item.get_closest_marker, lacking))]
    if without:
        items[:] = [item for item in items if item not in without]
        config.hook.pytest_deselected(items=without)


def pytest_terminal_summary(terminalreporter, config: pytest.Config) -> None:
    if why := config.stash[_NO_ENGINE]:
        terminalreporter.write_line(
            f"LEFT OUT: the tests marked docker, as no Docker engine answers here ({why}). "
            "Start one, or run .ci/docker.sh as root.",
            yellow=True,
        )
    if why := config.stash[_NO_IPFS]:
        terminalreporter.write_line(
            f"LEFT OUT: the tests marked ipfs, as no IPFS node can be started here ({why}). Install Node.js.",
            yellow=True,
        )


@pytest.fixture(scope="session")
def ipfs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[IPFSDaemon]:
    """An IPFS node that many tests share: none of them ends it."""
    daemon = IPFSDaemon(tmp_path_factory.mktemp("ipfs"))
    daemon.start()
    yield daemon
    daemon.stop()
