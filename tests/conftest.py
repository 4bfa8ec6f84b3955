"""How hard the property tests try, and what is left out on a machine that lacks a part.

`HYPOTHESIS_PROFILE=ci` gives each property thousands of examples. Without a Docker engine the tests marked
`docker` are left out with a clear line; where CI is set they run and fail.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import docker
import docker.errors
import pytest
from hypothesis import HealthCheck, settings

from tests.support import seaweed
from tests.support.machine import IN_CI

_SLOW = (HealthCheck.too_slow, HealthCheck.data_too_large)
_NO_ENGINE = pytest.StashKey[str]()

settings.register_profile("dev", max_examples=100, deadline=None, suppress_health_check=_SLOW)
settings.register_profile("ci", max_examples=3000, deadline=None, suppress_health_check=_SLOW)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "dev"))  # noqa: TID251 - about the tests, not the product


@pytest.fixture(scope="session")
def s3() -> Iterator[seaweed.S3Server]:
    """A real S3 server; tests that use it are marked with the group ``s3``, so that one process starts one."""
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


@pytest.hookimpl(tryfirst=True)  # before pytest-xdist reads the groups
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    for item in items:
        # They share one engine, and some of them its names: one process runs them all.
        if item.get_closest_marker("docker") and "acceptance" not in item.path.parts:
            item.add_marker(pytest.mark.xdist_group("docker"))
    if not config.stash[_NO_ENGINE]:
        return
    without = [item for item in items if item.get_closest_marker("docker")]
    items[:] = [item for item in items if item not in without]
    config.hook.pytest_deselected(items=without)


def pytest_terminal_summary(terminalreporter, config: pytest.Config) -> None:
    if why := config.stash[_NO_ENGINE]:
        terminalreporter.write_line(
            f"LEFT OUT: the tests marked docker, as no Docker engine answers here ({why}). "
            "Start one, or run .ci/docker.sh as root.",
            yellow=True,
        )
