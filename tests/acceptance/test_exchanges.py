"""The recorded answers of the public server, replayed against real nodes of ours.

What differs on purpose is listed in `tests.support.differences`; texts for people need only be there.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Iterator
from fnmatch import fnmatch
from pathlib import Path

import httpx
import pytest

from tests.acceptance.profiles import Profiles, Setup
from tests.support.differences import ADDED, INSTEAD, KNOWN, PROFILES, document
from tests.support.http_server import http_server, says
from tests.support.replay import FOLDER, Replayer, Step, scenarios
from tests.support.waiting import eventually

_ENGINE = re.compile(r'"ExecutionEngines": \[[^]]*"docker"')
SHORT_PATIENCE, PATIENCE = 4, 30  # seconds, for what is known to differ and for the rest


def recorded() -> Iterator[object]:
    """Give each scenario; those in which the engine docker shows are marked."""
    for profile in PROFILES:
        for file in sorted(FOLDER.glob("*.jsonl")):
            for scenario, steps in scenarios(file.stem, profile).items():
                text = json.dumps(steps)
                needs = any("docker" in step.get("needs", ()) for step in steps) or _ENGINE.search(text)
                marks = [pytest.mark.docker] if needs else []
                yield pytest.param(profile, steps, id=f"{file.stem}/{scenario}", marks=marks)


@pytest.fixture(scope="module")
def profiles(command: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Profiles]:
    found = Profiles(command, tmp_path_factory.mktemp("profiles"))
    yield found
    found.close()


@pytest.fixture
async def files() -> AsyncIterator[str]:
    """A web server with what jobs of the recordings download."""
    async with http_server() as server:
        server.on("/hello.txt", says(b"hello from url\n"))
        yield server.url("")


async def has_docker(http: httpx.AsyncClient, setup: Setup) -> bool:
    nodes = (await http.get(f"{setup.bases['']}/api/v1/orchestrator/nodes", headers=setup.headers)).json()[
        "Nodes"
    ]
    infos = [node["Info"]["ComputeNodeInfo"] for node in nodes if node["Info"]["NodeType"] == "Compute"]
    return all("docker" in info["ExecutionEngines"] for info in infos)


@pytest.mark.parametrize(("profile", "steps"), list(recorded()))
async def test_real_nodes_answer_as_the_public_server_does(
    profile: str, steps: list[Step], profiles: Profiles, files: str, request: pytest.FixtureRequest
) -> None:
    setup = await asyncio.to_thread(profiles.setup, profile)
    names = {"files.url": files, **setup.names}
    async with httpx.AsyncClient(timeout=40) as http:
        if request.node.get_closest_marker("docker"):
            await eventually(lambda: has_docker(http, setup), within=30)
        replayer = Replayer(
            http,
            setup.server,
            bases=setup.bases,
            names=names,
            wording=False,
            instead=INSTEAD,
            added=ADDED,
        )
        for step in steps:
            known = [one for one in KNOWN if one.concerns(step["id"])]
            patience, grace = (SHORT_PATIENCE, 0) if known else (PATIENCE, 2)
            found = await replayer.step(step, patience=patience, grace=grace)
            left = [line for line in found if not any(one.covers(step["id"], line) for one in known)]
            assert left == [], step["id"]
            for one in known:
                seen = any(one.covers(step["id"], line) for line in found)
                assert seen or not one.comes, f"{step['id']} does not differ any more: {one.title}"


def test_every_known_difference_is_about_a_recorded_exchange() -> None:
    ids = [
        json.loads(line)["id"] for path in FOLDER.glob("*.jsonl") for line in path.read_text().splitlines()
    ]
    unused = [p for one in KNOWN for p in one.steps if not any(fnmatch(step, p) for step in ids)]
    assert unused == []


def test_the_page_of_differences_is_up_to_date() -> None:
    page = Path(__file__).parents[2] / "docs" / "compatibility.md"
    assert page.read_text() == document(), f"run: python -m tests.support.differences > docs/{page.name}"
