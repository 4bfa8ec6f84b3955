"""Clients that are not ours: the Go command line of Bacalhau 1.9.3 and the Python packages from PyPI."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.program import Caller
from tests.support.machine import IN_CI

GO_CLIENT = "bacalhau-1.9.3"
_NO_GO_CLIENT = f"no `{GO_CLIENT}` on PATH: .ci/go-client.sh /usr/local/bin/{GO_CLIENT}"
_QUIET = {"BACALHAU_UPDATECONFIG_INTERVAL": "0", "BACALHAU_DISABLEANALYTICS": "true"}
_PACKAGES = (
    "bacalhau-sdk==1.4.2",
    "bacalhau-apiclient==1.4.1",
    # What they import. The metadata of the first also asks for linters and for Python below 3.12.
    "certifi==2024.2.2",
    "six==1.17.0",
    "urllib3==2.2.3",
    "python-dateutil==2.9.0.post0",
)


def go_client(home: Path, api: str) -> Caller:
    """Give the Go client with a home of its own."""
    path = shutil.which(GO_CLIENT, path=f"{os.defpath}:/usr/local/bin:{Path.home()}/go/bin")
    if path is None:
        (pytest.fail if IN_CI else pytest.skip)(_NO_GO_CLIENT)
    return Caller(Path(path), home, api, **_QUIET)


def install_python_clients(folder: Path) -> Path:
    """Install the Python clients into an environment of their own; give its interpreter."""
    python = folder / "venv" / "bin" / "python"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder / "venv"], check=True)
    pip = [sys.executable, "-m", "pip", "--python", python, "install", "--quiet"]
    subprocess.run([*pip, "--no-deps", "--ignore-requires-python", *_PACKAGES], check=True)
    return python


class PythonClient:
    """Runs the lines of a script with the clients, and reads the JSON that it prints last."""

    def __init__(self, python: Path, home: Path, api: str) -> None:
        self._python, self._home = python, home
        host, _, port = api.removeprefix("http://").rpartition(":")
        self._environ = {"HOME": str(home), "BACALHAU_API_HOST": host, "BACALHAU_API_PORT": port}

    async def __call__(self, script: str, *args: str) -> Any:
        process = await asyncio.create_subprocess_exec(
            self._python,
            "-c",
            _HEAD + script,
            *args,
            env=self._environ,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, err = await asyncio.wait_for(process.communicate(), 60)
        assert process.returncode == 0, out.decode() + err.decode()
        return json.loads(out.decode().splitlines()[-1])


_HEAD = """
import json, sys, time
from bacalhau_apiclient.api import ops_api, orchestrator_api
from bacalhau_apiclient.models.all_of_execution_published_result import SpecConfig
from bacalhau_apiclient.models.api_put_job_request import ApiPutJobRequest as PutJobRequest
from bacalhau_apiclient.models.job import Job
from bacalhau_apiclient.models.task import Task
from bacalhau_apiclient.rest import ApiException
from bacalhau_sdk.config import init_config
from bacalhau_sdk.jobs import Jobs

jobs = Jobs()

def give(value):
    print()
    print(json.dumps(value))

def ended(job_id):
    while jobs.get(job_id).job.state.state_type not in ("Completed", "Failed", "Stopped"):
        time.sleep(0.05)
    return jobs.get(job_id, include="executions,history")
"""
