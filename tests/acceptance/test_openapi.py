"""The OpenAPI document is true: what a fuzzer that knows only it gets from a real node is in it."""

from __future__ import annotations

import base64
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, settings
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests.acceptance.conftest import Cluster
from tests.acceptance.program import WASM, Node
from tests.acceptance.program import settings as flags

TRUE = [
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
EXAMPLES = 12  # of each operation, beside those that its schemas name


@pytest.fixture(scope="module")
def node(command: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    """A node of their own: they leave thousands of strange jobs."""
    folder = tmp_path_factory.mktemp("fuzzed")
    started = Node(command, folder / "fuzzed", "--orchestrator", "--compute", *flags(Orchestrator__Port=0))
    yield started.start().ready()
    started.stop()


@pytest.fixture(scope="module")
def api(node: Node) -> schemathesis.BaseSchema:
    return schemathesis.openapi.from_url(f"{node.api}/openapi.json")


schema = schemathesis.pytest.from_fixture("api")


def no_bug(_context: object, response: schemathesis.Response, case: schemathesis.Case) -> None:
    """Fail for an answer that carries the id of a bug; other answers with 500 are the public server's."""
    if response.status_code == 500:
        problem = response.json()
        assert "id" not in problem.get("Details", {}), f"{case.as_curl_command()}\n{problem}"


@schema.parametrize()
@settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize=True,
    phases=(Phase.explicit, Phase.generate),
    suppress_health_check=list(HealthCheck),
)
def test_every_answer_is_one_that_the_document_knows(case: schemathesis.Case) -> None:
    case.call_and_validate(checks=[*TRUE, no_bug])


JOBS, NODES = "/api/v1/orchestrator/jobs", "/api/v1/orchestrator/nodes"
MODULE = base64.b64encode((WASM / "hello.wasm").read_bytes()).decode()
BUSY: dict[str, Any] = {
    "Name": "known",
    "Type": "batch",
    "Labels": {"a": "b"},
    "Constraints": [{"Key": "os_type", "Operator": "exists"}],
    "Tasks": [
        {
            "Name": "main",
            "Engine": {"Type": "wasm", "Params": {"EntryModule": "/m.wasm"}},
            "Env": {"A": "b"},
            "Meta": {"c": "d"},
            "InputSources": [
                {
                    "Target": "/m.wasm",
                    "Source": {"Type": "inline", "Params": {"URL": f"data:application/wasm;base64,{MODULE}"}},
                }
            ],
            "ResultPaths": [{"Name": "out", "Path": "/out"}],
            "Network": {"Type": "Host", "Ports": [{"Name": "p", "Static": 2000}]},
            "Timeouts": {"ExecutionTimeout": 60},
        }
    ],
}


def test_what_is_told_of_jobs_that_are_there_is_in_the_document_too(cluster: Cluster) -> None:
    api = schemathesis.openapi.from_url(f"{cluster.alpha.api}/openapi.json")
    with httpx.Client(base_url=cluster.alpha.api, timeout=30) as http:

        def ask(method: str, path: str, status: int = 200, said: Any = None, **words: str) -> Any:
            answer = http.request(method, path.format(**words), json=said)
            assert answer.status_code == status, answer.text
            api[path.partition("?")[0]][method].validate_response(answer)
            return answer.json()

        one = {"job_id": ask("PUT", JOBS, said={"Job": BUSY})["JobID"]}
        job = f"{JOBS}/{{job_id}}"
        while ask("GET", f"{job}/history?limit=100", **one)["NextToken"]:
            time.sleep(0.05)
        described = ask("GET", f"{job}?include=history,executions", **one)
        assert described["Job"]["State"]["StateType"] == "Completed", described
        assert ask("GET", f"{job}/explain", **one)["Nodes"]
        for more in ("executions", "history", "versions", "results"):
            assert ask("GET", f"{job}/{more}", **one)["Items"]
        ask("PUT", f"{JOBS}/diff", said={"Job": {**BUSY, "Count": 0}})
        ask("PUT", JOBS, 500, said={"Job": BUSY})
        ask("PUT", f"{job}/rerun", said={}, **one)
        ask("DELETE", job, 404, job_id="nobody")
        assert ask("PUT", JOBS, said={"Job": {**BUSY, "Name": "warned", "Version": 3}})["Warnings"]
        endless = {**BUSY, "Name": "endless", "Type": "service", "Count": 0}
        ask("DELETE", job, job_id=ask("PUT", JOBS, said={"Job": endless})["JobID"])
        ask("PUT", f"{NODES}/{{node_id}}", 409, said={"Action": "approve"}, node_id="node-1")
        assert ask("GET", f"{NODES}/{{node_id}}", node_id="node-1")["Node"]["Connection"] == "CONNECTED"
        for action in ("cordon", "drain", "uncordon"):
            ask("PUT", f"{NODES}/{{node_id}}", said={"Action": action}, node_id="node-2")
            assert ask("GET", NODES)["Nodes"]
