"""Commands about jobs as a user types them: templates, explanations, watching."""

from __future__ import annotations

import json
from pathlib import Path

from tests.acceptance.program import WASM, Caller

TEMPLATE = """\
name: from-{{.who}}
type: batch
{{- if eq .size "big" }}
count: 2
{{- end }}
tasks:
  - name: main
    engine: {type: noop, params: {Output: {{printf "%q" .who}}}}
    resources: {cpu: 10m, memory: 10Mb}
"""


async def test_a_job_file_is_filled_in_compared_and_run(bacalhau: Caller, tmp_path: Path) -> None:
    file = tmp_path / "job.yaml"
    file.write_text(TEMPLATE)
    small, big = ("-V", "who=me,size=small"), ("-V", "who=me", "-V", "size=big")

    assert (await bacalhau("job", "validate", *small, file)).ok().out == "OK\n"
    assert (await bacalhau("job", "run", "--follow", *small, file)).ok().out.endswith("\nme")
    diff = (await bacalhau("job", "run", "--dry-run", *big, file)).ok().out
    assert '+  "Count": 2,' in diff.splitlines()
    assert len((await bacalhau("job", "versions", "from-me", "--output", "json")).json) == 1
    done = (await bacalhau("job", "run", "--group-events", "--node-details", *big, file)).ok()
    assert "2 runs on" in done.err
    lines = (await bacalhau("job", "logs", "--all", "--output", "json", "from-me")).ok().out.splitlines()
    assert [json.loads(line)["Line"] for line in lines] == ["me", "me"]


async def test_each_node_is_explained(bacalhau: Caller) -> None:
    done = (await bacalhau("wasm", "run", "--constraints", "rack=r1", WASM / "echo.wasm")).ok()
    found = (await bacalhau("job", "explain", "--output", "json", done.id)).json
    verdicts = {node["NodeID"]: (node["Verdict"], node["Reason"]) for node in found["Nodes"]}
    assert verdicts["node-1"][0] == "chosen"
    assert "stayed free" in verdicts["node-1"][1], "its bid is kept"
    assert verdicts["node-2"] == ("unsuitable", "has labels that do not match [rack = r1]")


async def test_a_node_that_declined_is_explained_with_its_own_words_through_another_gateway(
    cluster, tmp_path
) -> None:
    beta = cluster.caller(tmp_path, beta=True)
    done = await beta("wasm", "run", "-i", "file:///etc/shadow:/in", WASM / "cat.wasm", "/in")
    assert done.code == 3
    found = (await beta("job", "explain", "--output", "json", done.id)).json
    asked = [node for node in found["Nodes"] if node["NodeID"] in ("node-1", "node-2")]
    assert [node["Verdict"] for node in asked] == ["declined", "declined"]
    assert all("/etc/shadow" in node["Reason"] and node["Answers"] for node in asked)


async def test_a_watched_job_ends_with_its_own_code(bacalhau: Caller) -> None:
    job = await bacalhau.submit("wasm", "run", WASM / "sleep.wasm", "1", "200")
    watched = await bacalhau("job", "watch", job)
    assert watched.code == 0
    assert watched.out.splitlines()[-1].split()[1:] == ["job", "Completed"]
    job = await bacalhau.submit("wasm", "run", WASM / "nostart.wasm")
    watched = await bacalhau("job", "watch", "--output", "json", job)
    assert watched.code == 3
    assert json.loads(watched.out.splitlines()[-1])["State"] == "Failed"
