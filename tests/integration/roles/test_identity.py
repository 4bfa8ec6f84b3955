"""One process per node id and per data folder."""

from __future__ import annotations

import pytest

from bacalhau_nats.errors import StartFailed
from tests.support.marks import marking
from tests.support.nodes import LoopNode, NodeProcess
from tests.support.waiting import eventually

from .conftest import Site, all_end, states


async def test_a_second_process_with_the_id_of_a_node_ends_and_says_why(site: Site) -> None:
    client = await site.client(await site.node("o1", "orchestrator"))
    first = await site.process("twin", "compute")
    job = (await client.submit(marking(site.marks, 2))).job_id
    await eventually(lambda: site.started() == 1)

    elsewhere = site.folder / "elsewhere"
    elsewhere.mkdir()
    later = NodeProcess("twin", elsewhere, site.server.url, "compute")
    await later.launch()
    try:
        assert await later.wait(15) == 1
    finally:
        await later.kill()
    assert "another process runs as node twin" in later.tail()

    assert first.running
    assert await all_end(client, [job], within=10) == {"Completed"}
    assert await states(client, job) == [("twin", "Completed")]
    assert site.started() == 1


async def test_a_data_folder_serves_one_compute_node(site: Site) -> None:
    await site.node("o1", "orchestrator")
    await site.node("c1", "compute")
    second = LoopNode("c1", site.folder, site.server.url, "compute")
    with pytest.raises(StartFailed, match="is in use by another compute node"):
        await second.start()
