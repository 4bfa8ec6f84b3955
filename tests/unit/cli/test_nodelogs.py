"""What a node writes to its log."""

from __future__ import annotations

import subprocess
import sys

import pytest

PROGRAM = """
import asyncio, sys
from pathlib import Path
from bacalhau_cli import nodelogs
from bacalhau_nats.domain.spec import SpecConfig
from bacalhau_nats.ports import PluginContext
from bacalhau_nats.storage.url import open_url
from bacalhau_nats.testing.storage import RecordedLog
from tests.support.http_server import http_server, says

async def main(level, mode, folder):
    nodelogs.set_up(level, mode)
    async with http_server() as server, open_url(PluginContext("test", "n", Path(folder))) as storage:
        url = server.on("/data", says(b"1"))
        source = SpecConfig(type="urlDownload", params={"URL": f"{url}?signature=swordfish"})
        await storage.fetch(source, "/in", Path(folder), RecordedLog())

asyncio.run(main(*sys.argv[1:]))
"""


@pytest.mark.parametrize(("level", "mode"), [("info", "default"), ("debug", "json"), ("trace", "default")])
def test_secrets_in_the_url_of_an_input_stay_out_of_the_log(level, mode, tmp_path):
    command = [sys.executable, "-c", PROGRAM, level, mode, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert (tmp_path / "data").read_bytes() == b"1"
    assert "swordfish" not in done.stdout + done.stderr
