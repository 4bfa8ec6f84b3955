"""The Python clients of Bacalhau, `bacalhau-sdk` 1.4.2 and `bacalhau-apiclient` 1.4.1, work against our servers."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest

from tests.acceptance.conftest import Cluster
from tests.acceptance.outside import PythonClient, install_python_clients
from tests.acceptance.program import WASM


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return install_python_clients(tmp_path_factory.mktemp("python-clients"))


@pytest.fixture
def sdk(python: Path, cluster: Cluster, tmp_path: Path) -> PythonClient:
    return PythonClient(python, tmp_path, cluster.alpha.api)


def module(name: str) -> str:
    return "data:application/wasm;base64," + base64.b64encode((WASM / f"{name}.wasm").read_bytes()).decode()


SUBMIT = """
module = {"Source": {"Type": "inline", "Params": {"URL": sys.argv[1]}}}
task = Task(
    name="My Main task",
    engine=SpecConfig(type="wasm", params={"EntryModule": module, "EntryPoint": "_start", "Parameters": ["a", "b"]}),
    publisher=SpecConfig(),
)
submitted = jobs.put(PutJobRequest(job=Job(name=sys.argv[2], type="batch", count=1, tasks=[task])))
"""


async def test_a_job_is_submitted_with_the_parameters_of_1_4_and_watched_as_their_guide_shows(
    sdk: PythonClient,
) -> None:
    script = """
found = ended(submitted.job_id)
give({
    "submitted": submitted.to_dict(), "state": found.job.state.state_type, "job": found.job.to_dict(),
    "output": found.executions.items[0].run_output.stdout,
    "history": [item.type for item in found.history.items],
    "executions": jobs.executions(submitted.job_id).to_dict(),
    "results": jobs.results(submitted.job_id).to_dict(),
    "events": [item.event.message for item in jobs.history(submitted.job_id).items],
    "all": [item.event.message for item in jobs.history(submitted.job_id, event_type="all").items],
})
"""
    got = await sdk(SUBMIT + script, module("hello"), "sdk-wasm")
    assert got["submitted"]["evaluation_id"]
    assert (got["state"], got["job"]["name"], got["job"]["namespace"]) == ("Completed", "sdk-wasm", "default")
    assert "arg 1: a" in got["output"]
    assert got["history"] == [
        "JobLevel",
        "ExecutionLevel",
        "JobLevel",
        "ExecutionLevel",
        "ExecutionLevel",
        "JobLevel",
    ]
    (execution,) = got["executions"]["items"]
    assert (execution["compute_state"]["state_type"], execution["job_id"]) == (9, got["submitted"]["job_id"])
    assert got["events"][1:] == ["Running", "Completed successfully"]
    assert got["all"][0] == "Job submitted"


async def test_jobs_are_listed_page_by_page(sdk: PythonClient) -> None:
    script = """
names = []
for name in ("sdk-page-1", "sdk-page-2", "sdk-page-3"):
    task = Task(name="main", engine=SpecConfig(type="noop"), publisher=SpecConfig())
    jobs.put(PutJobRequest(job=Job(name=name, type="batch", count=0, tasks=[task])))
page = jobs.list(limit=2, reverse=True)
newest = [job.name for job in page.items]
following = jobs.list(limit=2, next_token=page.next_token)
give({"newest": newest, "following": [job.name for job in following.items], "oldest": len(jobs.list().items)})
"""
    got = await sdk(script)
    assert got["newest"] == ["sdk-page-3", "sdk-page-2"]
    assert got["following"][0] == "sdk-page-1"
    assert got["oldest"] <= 5


async def test_a_service_is_stopped(sdk: PythonClient) -> None:
    script = """
task = Task(name="main", engine=SpecConfig(type="noop", params={"Duration": "1h"}), publisher=SpecConfig())
put = jobs.put(PutJobRequest(job=Job(name="sdk-service", type="service", count=1, tasks=[task])))
stopped = jobs.stop(put.job_id)
again = jobs.stop(put.job_id)
give([stopped.evaluation_id, again.evaluation_id, jobs.get(put.job_id).job.state.state_type])
"""
    first, second, state = await sdk(script)
    assert first
    assert (second, state) == ("", "Stopped")


async def test_results_and_errors_are_those_the_client_expects(sdk: PythonClient) -> None:
    script = """
api = orchestrator_api.OrchestratorApi(orchestrator_api.ApiClient(init_config()))
def refused(call, *args, **more):
    try:
        call(*args, **more)
    except ApiException as error:
        return error.status, json.loads(error.body)["Code"]
task = Task(name="main", engine=SpecConfig(type="noop"), publisher=SpecConfig())
give([
    refused(api.orchestratorget_job, "nobody"),
    refused(api.orchestratorget_node, "nobody"),
    refused(api.orchestratorstop_job, "nobody"),
    refused(api.orchestratorput_job, PutJobRequest(job=Job(name="x", type="nonsense", tasks=[task]))),
    jobs.get("nobody"),
])
"""
    got = await sdk(script)
    assert got[:3] == [[404, "NotFound"]] * 3
    assert got[3:] == [[400, "InternalError"], None]


async def test_the_low_level_client_reads_nodes_and_agent(sdk: PythonClient) -> None:
    script = """
api = orchestrator_api.OrchestratorApi(orchestrator_api.ApiClient(init_config()))
ops = ops_api.OpsApi(ops_api.ApiClient(init_config()))
nodes = json.loads(api.orchestratorlist_nodes(_preload_content=False, order_by="id", limit=3).data)
give({
    "alive": ops.agentalive(), "version": ops.agentversion().to_dict(), "node": ops.agentnode().to_dict(),
    "nodes": nodes, "debug": ops.agentdebug().to_dict(),
    "token": api.orchestratorlist_nodes(limit=1, order_by="id", reverse=True).next_token,
    "logs": api.orchestratorlogs("nobody", _preload_content=False).status,
})
"""
    got = await sdk(script)
    assert "OK" in got["alive"]
    assert got["version"]["git_version"].startswith("v")
    assert (got["node"]["node_id"], got["node"]["node_type"]) == ("alpha", "Requester")
    assert [node["Info"]["NodeID"] for node in got["nodes"]["Nodes"]] == ["alpha", "beta", "node-1"]
    assert (got["token"], got["logs"]) == ("", 200)


@pytest.mark.docker
async def test_the_example_of_their_guide_runs(sdk: PythonClient) -> None:
    script = """
task = Task(
    name="My Main task",
    engine=SpecConfig(
        type="docker",
        params=dict(Image="busybox:1.37", Entrypoint=["/bin/sh"], Parameters=["-c", "echo Hello World"]),
    ),
    publisher=SpecConfig(),
)
job = Job(name="A Simple Docker Job", type="batch", count=1, tasks=[task])
put_job_request = PutJobRequest(job=job)
put_job_response = jobs.put(put_job_request)
found = ended(put_job_response.job_id)
give([found.job.state.state_type, found.executions.items[0].run_output.stdout])
"""
    assert await sdk(script) == ["Completed", "Hello World\n"]
