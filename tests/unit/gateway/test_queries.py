"""What the gateway tells of jobs: their executions, history and results, and when it says 404."""

import asyncio
from typing import get_type_hints, is_typeddict

import pytest

from bacalhau_nats.client.wire import Node, compute_state
from bacalhau_nats.domain import constraints
from bacalhau_nats.domain.execution import ExecutionState, ResultDigest, Wish
from bacalhau_nats.domain.explain import Answer
from bacalhau_nats.domain.facts import desired_key, observed_key, report_key, spec_key
from bacalhau_nats.domain.ids import NodeID
from bacalhau_nats.domain.job import JobState
from bacalhau_nats.domain.node import NodeRole
from bacalhau_nats.domain.resources import Resources
from bacalhau_nats.domain.spec import JobType, SpecConfig
from bacalhau_nats.errors import InvalidSettings
from bacalhau_nats.gateway.core import GatewaySettings
from bacalhau_nats.gateway.paging import Page, read_token
from bacalhau_nats.gateway.queries import Queries
from bacalhau_nats.gateway.refusals import Refusal
from tests.support.builders import a_job, an_execution
from tests.support.builders import seen as seen_of
from tests.support.gateway_world import JOBS, ME, NODES, GatewayWorld, a_report
from tests.unit.domain.drafts import a_draft


async def an_idle_job(kind="batch", **changes):
    """A world with a job that nobody has looked at yet."""
    world = GatewayWorld()
    world.idle = True
    job_id = (await world.put(a_draft(Type=kind, **changes))).json()["JobID"]
    return world, job_id


async def execution(world):
    return (await world.http.get(f"{JOBS}/a/executions?all_job_versions=true")).json()["Items"][0]


# --- read your writes -------------------------------------------------------------------------------------


async def test_a_read_waits_for_the_last_write_of_its_gateway():
    world = GatewayWorld()
    world.lag = True
    await world.put(a_draft())
    listed = (await world.http.get(JOBS)).json()["Items"]
    assert [job["Name"] for job in listed] == ["a"]


async def test_what_another_gateway_has_just_stored_is_found_before_404_is_said():
    one = GatewayWorld()
    other = GatewayWorld(stream=one.stream)
    other.lag = True
    assert (await other.http.get(f"{JOBS}/a")).status_code == 404
    await one.put(a_draft())
    assert (await other.http.get(f"{JOBS}/a")).status_code == 200


# --- lists ------------------------------------------------------------------------------------------------


async def test_pages_of_jobs_are_complete_and_do_not_overlap():
    world = GatewayWorld()
    names = [f"job-{index}" for index in range(7)]
    for name in names:
        await world.put(a_draft(Name=name))
    seen, token = [], ""
    while True:
        page = (await world.http.get(f"{JOBS}?limit=3&reverse=true&next_token={token}")).json()
        seen += [job["Name"] for job in page["Items"]]
        token = page["NextToken"]
        if not token:
            break
    assert seen == names[::-1]


async def test_others_get_a_turn_while_a_selector_that_matches_nothing_is_looked_for():
    world = GatewayWorld()
    world.idle = True
    for number in range(450):
        await world.put(a_draft(Name=f"job-{number}"))
    turns = 0

    async def others():
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    counting = asyncio.create_task(others())
    labels = constraints.parse("zone=mars")
    queries = Queries(world.gateway, give_back)
    assert (await queries.jobs(labels=labels, page=Page(limit=10))).items == []
    counting.cancel()
    assert turns >= 1


async def give_back(job):
    return job


async def test_archived_jobs_are_listed_and_described_as_before():
    world = GatewayWorld()
    for name in ("a", "b"):
        await world.put(a_draft(Name=name))
    before = (await world.http.get(JOBS)).json(), (await world.http.get(f"{JOBS}/a/history")).json()
    assert world.view.tidy() == 2
    assert ((await world.http.get(JOBS)).json(), (await world.http.get(f"{JOBS}/a/history")).json()) == before


@pytest.mark.parametrize("text", ["created_at:N:5:5", ":N:10:10", "modified_at:Y:0:4294967295"])
def test_tokens_are_those_of_the_public_server(text):
    order, reverse, limit, offset = text.split(":")
    page = Page(order, reverse == "Y", int(limit), int(offset))
    assert read_token(page.token()) == page
    assert Page("created_at", limit=5, offset=5).token() == "Y3JlYXRlZF9hdDpOOjU6NQ"


@pytest.mark.parametrize(
    "token", ["!!!", "abcd", "Ok46LTE6MQ", "Ok46wrI6MQ", "Ok46MToyMA==", "Ok46NDI5NDk2NzI5Njox", "4pyT"]
)
def test_a_token_that_is_none_is_refused(token):
    with pytest.raises(Refusal, match="invalid paging token"):
        read_token(token)


# --- executions -------------------------------------------------------------------------------------------


async def test_an_execution_goes_through_the_states_of_the_public_api():
    world, job_id = await an_idle_job()
    one = world.start(job_id, run=False)
    seen = await execution(world)
    assert (seen["DesiredState"], seen["ComputeState"]) == ({"StateType": 0}, {"StateType": 3})
    assert (seen["Revision"], seen["Job"]["State"]) == (2, {"StateType": "Pending"})
    world.report(one, ExecutionState.RUNNING)
    seen = await execution(world)
    assert seen["ComputeState"] == {"StateType": 5, "Message": "Running"}
    world.report(one, ExecutionState.PUBLISHING)
    assert (await execution(world))["ComputeState"]["StateType"] == 5
    world.finish(job_id, stdout="hello\n")
    seen = await execution(world)
    assert seen["ComputeState"] == {"StateType": 9, "Message": "Running"}
    assert seen["DesiredState"] == {"StateType": 2, "Message": "execution completed"}
    assert seen["RunOutput"]["Stdout"] == "hello\n"


@pytest.mark.parametrize(
    ("kind", "state", "desired", "compute"),
    [
        ("batch", ExecutionState.FAILED, "execution failed", (10, "it broke")),
        ("batch", ExecutionState.DECLINED, "bid rejected", (4, "it broke")),
        ("service", ExecutionState.COMPLETED, "execution completed unexpectedly", (10, "execution completed unexpectedly")),
        ("daemon", ExecutionState.COMPLETED, "execution completed unexpectedly", (10, "execution completed unexpectedly")),
        ("ops", ExecutionState.COMPLETED, "execution completed", (9, None)),
    ],
)  # fmt: skip
async def test_an_end_is_rendered_by_what_the_job_wanted(kind, state, desired, compute):
    world, job_id = await an_idle_job(kind)
    one = world.start(job_id, run=state is not ExecutionState.DECLINED)
    world.report(one, state, message="it broke")
    seen = await execution(world)
    assert seen["DesiredState"] == {"StateType": 2, "Message": desired}
    assert (seen["ComputeState"]["StateType"], seen["ComputeState"].get("Message")) == compute


@pytest.mark.parametrize("kind", ["ops", "daemon"])
async def test_an_execution_that_runs_everywhere_stays_new_and_tells_in_a_detail_that_it_runs(kind):
    world, job_id = await an_idle_job(kind)
    one = world.start(job_id, run=False)
    seen = await execution(world)
    assert (seen["ComputeState"], compute_state(seen)) == ({"StateType": 1}, "New")
    for state in (ExecutionState.RUNNING, ExecutionState.PUBLISHING):
        world.report(one, state)
        seen = await execution(world)
        assert (seen["ComputeState"]["StateType"], seen["DesiredState"]) == (1, {"StateType": 1})
        assert compute_state(seen) == state.value.capitalize()


async def test_a_lost_execution_is_shown_as_failed_because_its_node_is_gone():
    world, job_id = await an_idle_job()
    one = world.start(job_id)
    gone = "Execution stop requested because node has disappeared"
    world.wish(one, Wish.ABANDONED, gone)
    world.report(one, ExecutionState.COMPLETED)
    seen = await execution(world)
    assert seen["ComputeState"] == {"StateType": 10, "Message": gone}
    told = (await world.http.get(f"{JOBS}/a/history")).json()["Items"]
    assert [step["Event"]["Message"] for step in told][-1] == gone


async def test_a_second_attempt_has_its_own_evaluation_and_sees_the_job_running():
    world, job_id = await an_idle_job()
    world.fail(world.start(job_id), "it broke")
    world.start(job_id, attempt=1)
    first, second = (await world.http.get(f"{JOBS}/a/executions")).json()["Items"]
    assert first["EvalID"] != second["EvalID"]
    assert (first["Job"]["Revision"], second["Job"]["Revision"]) == (1, 2)
    assert second["Job"]["State"] == {"StateType": "Running"}


# --- history ----------------------------------------------------------------------------------------------


async def test_a_failure_is_told_with_its_topic_and_hint():
    world, job_id = await an_idle_job()
    world.fail(world.start(job_id), "no such bucket", topic="Publishing Results", hint="make it")
    step = (await world.http.get(f"{JOBS}/a/history?event_type=execution")).json()["Items"][-1]
    assert step["Event"]["Topic"] == "Publishing Results"
    assert step["Event"]["Details"] == {"IsError": "true", "Hint": "make it"}


async def test_following_gives_a_token_until_the_job_has_ended_and_all_was_read():
    world, job_id = await an_idle_job()
    world.start(job_id)
    seen, token, answers = [], "", 0
    while answers == 0 or token:
        page = (await world.http.get(f"{JOBS}/a/history?limit=2&next_token={token}")).json()
        seen += [step["SeqNum"] for step in page["Items"]]
        token, answers = page["NextToken"], answers + 1
        if not page["Items"]:
            world.finish(job_id)
    assert seen == [1, 2, 3, 4, 5, 6]
    assert answers >= 4


async def test_a_stopped_execution_of_an_old_version_is_told_under_the_new_one():
    world = GatewayWorld()
    await world.put(a_draft(Type="service"))
    await world.put(a_draft(Type="service", Priority=1))
    items = (await world.http.get(f"{JOBS}/a/history")).json()["Items"]
    assert {item["JobVersion"] for item in items} == {2}
    assert "Execution stopped for job update" in [item["Event"]["Message"] for item in items]


async def test_a_cancelled_job_that_also_was_concluded_is_told_once():
    world = GatewayWorld()
    await world.put(a_draft(Type="service"))
    await world.http.delete(f"{JOBS}/a")
    job = (await world.http.get(f"{JOBS}/a?include=history")).json()
    assert world.view.job(job["Job"]["ID"]).conclusion.state is JobState.STOPPED
    messages = [item["Event"]["Message"] for item in job["History"]["Items"]]
    assert messages.count("Job requested to stop before completion") == 1
    assert job["Job"]["Revision"] == 3


# --- results ----------------------------------------------------------------------------------------------


async def test_results_on_the_bus_are_offered_and_served_by_the_gateway():
    world, job_id = await an_idle_job()
    one = world.start(job_id)
    name = f"{one.id}.tar.gz"
    archive = b"\x1f\x8b" + bytes(5000)
    await world.gateway.results.put(name, archive)
    world.finish(job_id, SpecConfig(type="nats", params={"Key": name, "Size": len(archive)}))
    url = f"http://gateway:1234{JOBS}/{job_id}/results/{name}"
    answer = await world.http.get(f"{JOBS}/a/results")
    assert answer.json()["Items"] == [{"Type": "urlDownload", "Params": {"URL": url}}]
    got = await world.http.get(url)
    assert (got.status_code, got.content) == (200, archive)
    assert got.headers["content-type"] == "application/gzip"
    assert got.headers["content-length"] == str(len(archive))
    for wrong in (f"{url}x", url.replace(one.id, "e-none"), url.replace(job_id, "nobody")):
        missing = await world.http.get(wrong)
        assert (missing.status_code, missing.text) == (404, "404 page not found\n")
    await world.gateway.results.delete(name)
    assert (await world.http.get(url)).status_code == 404


async def test_a_download_from_the_bus_goes_on_only_with_the_same_archive():
    world, job_id = await an_idle_job()
    one = world.start(job_id)
    name, archive = f"{one.id}.tar.gz", bytes(range(256)) * 1000
    await world.gateway.results.put(name, archive)
    world.finish(job_id, SpecConfig(type="nats", params={"Key": name, "SHA256": "ab"}))
    url = f"{JOBS}/{job_id}/results/{name}"

    async def ask(wanted, tag='"ab"'):
        return await world.http.get(url, headers={"Range": wanted, "If-Range": tag})

    part = await ask("bytes=100001-")
    assert (part.status_code, part.content, part.headers["etag"]) == (206, archive[100001:], '"ab"')
    assert part.headers["content-range"] == "bytes 100001-255999/256000"
    assert (await ask("bytes=3-5")).content == archive[3:6]
    other = await ask("bytes=100001-", '"cd"')
    assert (other.status_code, other.content) == (200, archive)
    assert (await ask("bytes=256000-")).status_code == 416


async def test_results_and_executions_carry_the_digest_that_was_published():
    world, job_id = await an_idle_job()
    world.start(job_id)
    digest = ResultDigest(manifest="sha256:ab", outputs="sha256:cd", files=3, bytes=0)
    world.finish(job_id, SpecConfig(type="ipfs", params={"CID": "Qm"}), digest=digest)
    told = {"Manifest": "sha256:ab", "Outputs": "sha256:cd", "Files": 3}
    (item,) = (await world.http.get(f"{JOBS}/a/results")).json()["Items"]
    one = await execution(world)
    assert item == {
        "Type": "ipfs",
        "Params": {"CID": "Qm"},
        "ExecutionID": one["ID"],
        "ResultDigest": told,
    }
    assert one["ResultDigest"] == told


async def test_results_elsewhere_are_given_as_they_were_published_and_not_escaped():
    world, job_id = await an_idle_job()
    world.start(job_id)
    world.finish(job_id, SpecConfig(type="s3", params={"Key": "a&b<c>"}))
    assert '"Key":"a&b<c>"' in (await world.http.get(f"{JOBS}/a/results")).text


async def test_results_in_a_bucket_are_given_with_the_url_that_was_signed_for_them():
    world, job_id = await an_idle_job()
    world.start(job_id)
    world.finish(job_id, SpecConfig(type="s3", params={"Key": "a.tar.gz"}))

    async def signed(result):
        return SpecConfig(type="s3PreSigned", params={"PreSignedURL": f"http://s3/{result.param('Key')}?x"})

    world.gateway.signed = signed
    (item,) = (await world.http.get(f"{JOBS}/a/results")).json()["Items"]
    assert item == {"Type": "s3PreSigned", "Params": {"PreSignedURL": "http://s3/a.tar.gz?x"}}


async def test_results_that_this_gateway_cannot_sign_name_the_setting():
    world, job_id = await an_idle_job()
    world.start(job_id)
    world.finish(job_id, SpecConfig(type="s3managed", params={"JobID": job_id}))

    async def signed(_):
        raise InvalidSettings("no bucket", hint="set Publishers.Types.S3Managed.Bucket")

    world.gateway.signed = signed
    answer = await world.http.get(f"{JOBS}/a/results")
    problem = answer.json()
    assert (answer.status_code, problem["Code"], problem["Message"]) == (
        500,
        "ConfigurationError",
        "no bucket",
    )
    assert problem["Hint"] == "set Publishers.Types.S3Managed.Bucket"


# --- nodes ------------------------------------------------------------------------------------------------


def more_nodes(world):
    for name, memory, role in (
        ("n-1", 5, NodeRole.COMPUTE),
        ("n-2", 9, NodeRole.COMPUTE),
        ("r-1", 0, NodeRole.REQUESTER),
    ):
        report = a_report(name, role=role, labels={"zone": name}, capacity=Resources(memory=memory))
        world.stream.write(report_key(NodeID(name)), report, None)


async def test_nodes_are_filtered_by_label_approval_and_connection_and_sorted():
    world = GatewayWorld()
    more_nodes(world)
    world.silent = {"n-2"}

    async def listed(query):
        answer = await world.http.get(f"{NODES}?{query}")
        return [node["Info"]["NodeID"] for node in answer.json()["Nodes"]]

    assert await listed("") == [ME, "n-1", "n-2", "r-1"]
    assert await listed("order_by=type&reverse=true&labels=zone") == ["n-2", "n-1", "r-1"]
    assert await listed("order_by=type") == ["r-1", ME, "n-1", "n-2"]
    assert await listed("filter-status=disconnected") == ["n-2"]
    assert await listed("filter-approval=nonsense") == []
    assert await listed("labels=zone%20in%20(n-1,r-1)&limit=1") == ["n-1"]
    assert await listed("order_by=available_memory&labels=zone") == ["n-1", "r-1", "n-2"]


async def test_a_silent_node_is_disconnected_and_has_nothing_free():
    world = GatewayWorld()
    world.silent = {ME}
    node = (await world.http.get(f"{NODES}/n-0a")).json()["Node"]
    assert (node["Connection"], node["ConnectionState"]["LastError"]) == ("DISCONNECTED", "heartbeat timeout")
    assert node["ConnectionState"]["DisconnectedSince"] == "2027-01-15T08:01:00Z"
    assert node["Info"]["ComputeNodeInfo"]["AvailableCapacity"] == {}
    assert node["Info"]["ComputeNodeInfo"]["MaxCapacity"] == {"CPU": 2, "Memory": 10**9}


async def test_a_node_that_said_goodbye_left_gracefully():
    world = GatewayWorld()
    world.stream.write(report_key(ME), a_report(left=True), None)
    state = (await world.http.get(f"{NODES}/{ME}")).json()["Node"]["ConnectionState"]
    assert (state["Status"], state["LastError"]) == ("DISCONNECTED", "graceful shutdown")


async def test_nodes_that_wait_for_approval_are_approved_rejected_and_forgotten():
    world = GatewayWorld(GatewaySettings(manual_approval=True))
    node = f"{NODES}/{ME[:10]}"

    async def act(action):
        answer = await world.http.put(node, json={"action": action})
        return answer.status_code, answer.json().get("Message", answer.json().get("Success"))

    async def seen():
        found = (await world.http.get(node)).json()["Node"]
        return found["Membership"], found["Connection"], found["ConnectionState"].get("LastError")

    assert await seen() == ("PENDING", "CONNECTED", None)
    assert await act("approve") == (200, True)
    assert await act("approve") == (409, f"node {ME} already approved")
    assert await act("reject") == (200, True)
    assert await seen() == ("REJECTED", "DISCONNECTED", "node rejected")
    assert await act("reject") == (409, f"node {ME} already rejected")
    assert await act("approve") == (200, True)
    assert await act("delete") == (200, True)
    assert await act("approve") == (404, f"node not found: {ME[:10]}")
    world.stream.write(report_key(ME), a_report(instance="new"), None)
    assert (await seen())[0] == "APPROVED"


async def test_a_node_is_cordoned_and_opened_again():
    world = GatewayWorld()

    async def act(action, **more):
        answer = await world.http.put(f"{NODES}/{ME[:10]}", json={"Action": action, **more})
        return answer.status_code, answer.json().get("Message", answer.json().get("Success"))

    async def seen():
        return (await world.http.get(f"{NODES}/{ME}")).json()["Node"].get("Scheduling")

    assert await act("uncordon") == (409, f"node {ME} already schedulable")
    assert await act("cordon", Message="new disk") == (200, True)
    assert await act("cordon") == (409, f"node {ME} already cordoned")
    assert await seen() == {"State": "CORDONED", "Message": "new disk"}
    assert await act("reject") == (200, True)
    assert (await seen())["State"] == "CORDONED", "one decision does not undo the other"
    assert await act("uncordon") == (200, True)
    assert await seen() is None
    assert await act("cordon") == (200, True)
    assert await act("delete") == (200, True)
    world.stream.write(report_key(ME), a_report(instance="new"), None)
    assert await seen() is None, "a node that was forgotten begins anew"
    assert await act("defrost") == (500, "Internal server error")


async def test_a_node_being_drained_tells_what_is_left_on_it():
    world = GatewayWorld()
    batch, daemon = a_job(id="j-1"), a_job(id="j-2", type=JobType.DAEMON, count=0)
    runs, stays = an_execution(batch, ME), an_execution(daemon, ME)
    for key, record in (
        (spec_key("j-1"), batch),
        (spec_key("j-2"), daemon),
        (desired_key(runs.execution_id, ME), runs),
        (desired_key(stays.execution_id, ME), stays),
    ):
        world.stream.write(key, record, None)

    async def drain(**more):
        answer = await world.http.put(f"{NODES}/{ME}", json={"Action": "drain", **more})
        return answer.status_code, answer.json().get("Message", "")

    async def seen():
        return (await world.http.get(f"{NODES}/{ME}")).json()["Node"].get("Scheduling")

    refused = f"node {ME} runs an execution of a daemon job, which belongs to it and cannot go elsewhere"
    assert await drain() == (409, refused)
    assert await seen() is None, "nothing is half done"
    assert await drain(IgnoreDaemons=True) == (200, "")
    assert await seen() == {
        "State": "DRAINING",
        "Remaining": [runs.execution_id],
        "Daemons": [stays.execution_id],
    }
    gone = seen_of(runs, ExecutionState.CANCELLED)
    world.stream.write(observed_key(runs.execution_id, ME), gone, None)
    assert await seen() == {"State": "DRAINED", "Remaining": [], "Daemons": [stays.execution_id]}


async def test_a_node_has_the_keys_that_the_clients_type_tells():
    def untold(value, kind):
        told = get_type_hints(kind)
        for key, inner in value.items():
            if key not in told:
                yield f"{kind.__name__}.{key}"
            elif is_typeddict(told[key]):
                yield from untold(inner, told[key])

    world = GatewayWorld()
    more_nodes(world)
    assert (await world.http.put(f"{NODES}/{ME}", json={"Action": "drain"})).status_code == 200
    assert (await world.http.put(f"{NODES}/n-1", json={"Action": "reject"})).status_code == 200
    found = (await world.http.get(NODES)).json()["Nodes"]
    assert [key for node in found for key in untold(node, Node)] == []
    assert {"Scheduling", "ConnectionState"} <= {key for node in found for key in node}


async def test_a_prefix_of_several_nodes_is_refused():
    world = GatewayWorld()
    more_nodes(world)
    answer = await world.http.get(f"{NODES}/n-")
    assert (answer.status_code, answer.json()["Code"]) == (409, "MultipleNodesFound")
    assert (await world.http.get(f"{NODES}/n-1")).status_code == 200


async def test_two_gateways_that_decide_about_a_node_at_once_agree():
    one = GatewayWorld()
    other = GatewayWorld(stream=one.stream)
    other.lag = True
    assert (await one.http.put(f"{NODES}/{ME}", json={"Action": "reject"})).status_code == 200
    late = await other.http.put(f"{NODES}/{ME}", json={"Action": "reject"})
    assert (late.status_code, late.json()["Message"]) == (409, f"node {ME} already rejected")


# --- explanations -----------------------------------------------------------------------------------------


async def test_a_job_is_explained_node_by_node_from_what_they_said_and_what_is_so_now():
    world, job_id = await an_idle_job()
    one = world.start(job_id)
    world.stream.write(report_key(NodeID("n-far")), a_report("n-far", engines=("wasm",)), None)
    world.stream.write(report_key(NodeID("n-busy")), a_report("n-busy"), None)
    world.stream.write(report_key(NodeID("r")), a_report("r", role=NodeRole.REQUESTER), None)
    asked = []

    async def answers(executions):
        asked.extend(executions)
        free = Resources(milli_cpu=500)
        return [
            Answer(one.id, NodeID(ME), 10**18, bid=True, free=free),
            Answer(one.id, NodeID("n-busy"), 10**18, reason="is busy: CPU 2 of 1.5 free"),
        ]

    world.gateway.answers = answers
    found = (await world.http.get(f"{JOBS}/a/explain")).json()

    assert (found["JobID"], found["JobVersion"], found["State"]) == (job_id, 1, "Running")
    assert one.id in asked
    assert [(node["NodeID"], node["Verdict"]) for node in found["Nodes"]] == [
        (ME, "chosen"),
        ("n-busy", "declined"),
        ("n-far", "unsuitable"),
    ]
    chosen, busy, far = found["Nodes"]
    assert chosen["Executions"] == [{"ID": one.id, "State": "Running", "Message": ""}]
    assert chosen["Answers"][0]["Free"] == {"CPU": 0.5}
    assert busy["Reason"] == "is busy: CPU 2 of 1.5 free"
    assert far["Reason"].startswith("does not support engine docker")


async def test_a_version_that_never_was_cannot_be_explained():
    world, job_id = await an_idle_job()
    refused = await world.http.get(f"{JOBS}/a/explain?job_version=7")
    assert refused.status_code == 404
    assert refused.json()["Message"] == f"job version 7 not found for job {job_id}"
    assert (await world.http.get(f"{JOBS}/nobody/explain")).status_code == 404
