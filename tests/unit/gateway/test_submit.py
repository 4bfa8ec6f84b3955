"""Wishes are written once, by compare-and-set, whoever writes them and however often they are sent."""

import asyncio
import base64
import hashlib

import pytest

from bacalhau_nats.domain.execution import Wish
from bacalhau_nats.domain.facts import spec_key
from bacalhau_nats.domain.ids import named_job_id, token_job_id
from bacalhau_nats.domain.intake import JobDefaults, TypeDefaults
from bacalhau_nats.domain.job import Alias, JobState
from bacalhau_nats.domain.spec import JobSpec, ResourcesConfig, SpecConfig
from bacalhau_nats.errors import NoResponders, StorageFull
from bacalhau_nats.gateway.core import GatewaySettings
from tests.support.gateway_world import JOBS, ME, GatewayWorld
from tests.unit.domain.drafts import a_draft

UNMET = [{"Key": "no-such-label", "Operator": "exists"}]


def two_gateways():
    """Two gateways over one stream; the views of neither see what comes until they ask."""
    one = GatewayWorld()
    other = GatewayWorld(stream=one.stream)
    one.idle = other.idle = True
    return one, other


def stored(world, job_id):
    fact = world.stream.last[spec_key(job_id)]
    assert isinstance(fact.record, JobSpec)
    return fact.record


async def test_a_named_job_lies_at_the_id_of_its_name_and_is_nudged():
    world = GatewayWorld()
    world.idle = True
    answer = (await world.put(a_draft(Namespace="team"))).json()
    assert answer["JobID"] == named_job_id("team", "a")
    spec = stored(world, answer["JobID"])
    assert (spec.version, spec.namespace, spec.name, spec.stop) == (1, "team", "a", None)
    assert spec.meta["bacalhau.org/orchestrator.id"] == ME
    assert world.nudges == [(spec.id, world.stream.seq, "job-register")]


async def test_an_unnamed_job_is_called_by_its_id_and_found_by_it_for_an_update():
    world = GatewayWorld()
    job_id = (await world.put(a_draft(Name=""))).json()["JobID"]
    assert stored(world, job_id).name == job_id
    world.idle = world.lag = True
    again = (await world.put(a_draft(Name=job_id, Priority=3))).json()
    assert again["JobID"] == job_id
    assert stored(world, job_id).version == 2


async def test_an_unnamed_job_is_found_by_its_name_through_a_gateway_that_has_not_heard_of_it():
    one, other = two_gateways()
    job_id = (await one.put(a_draft(Name=""))).json()["JobID"]
    other.lag = True
    other.view = other.gateway.view = type(other.view)()
    answer = (await other.put(a_draft(Name=job_id, Priority=3))).json()
    assert answer["JobID"] == job_id
    assert stored(one, job_id).version == 2


@pytest.mark.parametrize("name", ["", "named"])
async def test_a_request_that_is_sent_again_is_stored_once(name):
    world = GatewayWorld()
    world.idle = world.lag = True
    first = (await world.put(a_draft(Name=name), IdempotencyToken="t-1")).json()
    again = (await world.put(a_draft(Name=name), IdempotencyToken="t-1")).json()
    assert first == again
    assert stored(world, first["JobID"]).version == 1
    assert name or first["JobID"] == token_job_id("t-1")


@pytest.mark.parametrize("lag", [True, False])
async def test_an_update_and_a_rerun_that_are_sent_again_are_stored_once(lag):
    one, other = two_gateways()
    one.idle = other.idle = False
    job_id = (await one.put(a_draft())).json()["JobID"]
    other.idle = other.lag = lag
    for gateway in (one, other, other):
        answer = await gateway.put(a_draft(Priority=1), IdempotencyToken="t-2")
        assert (answer.status_code, answer.json()["JobID"]) == (200, job_id)
    assert stored(one, job_id).version == 2
    answers = [
        (await gateway.http.put(f"{JOBS}/a/rerun", json={"IdempotencyToken": "t-3"})).json()
        for gateway in (one, other, other)
    ]
    assert answers[0] == answers[1] == answers[2]
    assert answers[0]["JobVersion"] == stored(one, job_id).version == 3


async def test_two_gateways_that_race_for_a_name_make_one_job_with_two_versions():
    one, other = two_gateways()
    one.lag = other.lag = True
    first, second = await asyncio.gather(
        one.put(a_draft(Labels={"a": "1"})), other.put(a_draft(Labels={"a": "2"}))
    )
    assert first.json()["JobID"] == second.json()["JobID"]
    assert stored(one, first.json()["JobID"]).version == 2


async def test_two_gateways_that_race_with_the_same_job_store_it_once():
    one, other = two_gateways()
    one.lag = other.lag = True
    first, second = await asyncio.gather(one.put(a_draft()), other.put(a_draft()))
    assert sorted([first.status_code, second.status_code]) == [200, 500]
    assert stored(one, named_job_id("default", "a")).version == 1


async def test_an_update_of_a_job_that_moved_on_elsewhere_comes_after_it():
    one, other = two_gateways()
    job_id = (await one.put(a_draft())).json()["JobID"]
    other.lag = True
    await one.put(a_draft(Priority=1))
    assert (await other.put(a_draft(Priority=2))).status_code == 200
    assert (stored(one, job_id).version, stored(one, job_id).priority) == (3, 2)


async def test_an_update_keeps_type_creation_and_nonce_and_forgets_a_stop():
    world = GatewayWorld()
    world.idle = True
    job_id = (await world.put(a_draft(Constraints=UNMET))).json()["JobID"]
    first = stored(world, job_id)
    await world.http.request("DELETE", f"{JOBS}/{job_id}", json={"reason": "enough"})
    assert stored(world, job_id).stop.reason == "enough"
    await world.put(a_draft(Type="service", Priority=2))
    second = stored(world, job_id)
    assert (second.type, second.nonce, second.created) == (first.type, first.nonce, first.created)
    assert (second.version, second.priority, second.stop) == (2, 2, None)
    assert second.submitted > first.submitted


# --- ids that clients choose ----------------------------------------------------------------------------


async def test_a_service_may_choose_its_id_and_an_alias_holds_its_name():
    world = GatewayWorld()
    answer = await world.put(a_draft(Type="service", ID="own"))
    assert answer.json()["JobID"] == "own"
    alias = world.stream.last[spec_key(named_job_id("default", "a"))].record
    assert isinstance(alias, Alias)
    assert (alias.alias_of, alias.name) == ("own", "a")
    assert (await world.http.get(f"{JOBS}/a")).json()["Job"]["ID"] == "own"
    again = await world.put(a_draft(Type="service", Priority=4))
    assert (again.json()["JobID"], stored(world, "own").version) == ("own", 2)


async def test_an_id_that_is_taken_is_refused_and_leaves_the_name_free():
    world = GatewayWorld()
    await world.put(a_draft(Type="service", ID="own"))
    refused = await world.put(a_draft(Type="service", ID="own", Name="b"))
    assert (refused.status_code, refused.json()["Message"]) == (409, "job already exists: own")
    assert (await world.put(a_draft(Name="b"))).json()["JobID"] == named_job_id("default", "b")


async def test_a_name_whose_gateway_died_after_the_alias_is_completed_by_the_next():
    world = GatewayWorld()
    key = spec_key(named_job_id("default", "a"))
    world.stream.write(key, Alias(alias_of="own", namespace="default", name="a"), 0)
    answer = await world.put(a_draft())
    assert answer.json()["JobID"] == "own"
    assert (await world.http.get(f"{JOBS}/a")).json()["Job"]["ID"] == "own"


async def test_a_name_whose_alias_lost_its_id_to_another_job_is_free():
    world = GatewayWorld()
    await world.put(a_draft(Type="service", ID="own", Name="b"))
    key = spec_key(named_job_id("default", "a"))
    world.stream.write(key, Alias(alias_of="own", namespace="default", name="a"), 0)
    assert (await world.put(a_draft())).json()["JobID"] == named_job_id("default", "a")
    assert (await world.http.get(f"{JOBS}/b")).json()["Job"]["ID"] == "own"


# --- stop and rerun -------------------------------------------------------------------------------------


async def test_a_stop_is_a_flag_on_the_wish_and_no_new_version():
    world = GatewayWorld()
    job_id = (await world.put(a_draft(Type="service"))).json()["JobID"]
    answer = await world.http.request("DELETE", f"{JOBS}/a", json={"reason": "enough"})
    assert answer.json()["EvaluationID"]
    assert (stored(world, job_id).version, stored(world, job_id).stop.reason) == (1, "enough")
    job = world.view.job(job_id)
    assert job.state is JobState.STOPPED
    assert [one.wish for one in job.executions.values()] == [Wish.STOP]


async def test_a_stop_that_lost_a_race_looks_again():
    one, other = two_gateways()
    job_id = (await one.put(a_draft(Type="service"))).json()["JobID"]
    other.lag = True
    await one.put(a_draft(Type="service", Priority=5))
    answer = await other.http.request("DELETE", f"{JOBS}/{job_id}")
    assert answer.status_code == 200
    assert (stored(one, job_id).version, stored(one, job_id).priority) == (2, 5)
    assert stored(one, job_id).stop is not None


async def test_the_namespace_of_a_stop_body_wins_over_that_of_the_query():
    world = GatewayWorld()
    await world.put(a_draft(Type="service", Namespace="x"))
    url = f"{JOBS}/a?namespace=x"
    assert (await world.http.request("DELETE", url, json={"Namespace": ""})).status_code == 404
    assert (await world.http.request("DELETE", url, json={"Namespace": None})).status_code == 200


async def test_a_rerun_copies_an_earlier_version():
    world = GatewayWorld()
    job_id = (await world.put(a_draft(Labels={"v": "1"}))).json()["JobID"]
    await world.put(a_draft(Labels={"v": "2"}))
    answer = (await world.http.put(f"{JOBS}/a/rerun", json={"JobVersion": 1})).json()
    assert (answer["JobID"], answer["JobVersion"]) == (job_id, 3)
    assert stored(world, job_id).labels == {"v": "1"}


# --- defaults, content, trouble -------------------------------------------------------------------------


async def test_the_servers_own_defaults_are_applied():
    defaults = JobDefaults(
        batch=TypeDefaults(7, ResourcesConfig(cpu="200m", memory="64Mb"), SpecConfig(type="local"), 300, 600)
    )
    world = GatewayWorld(GatewaySettings(defaults=defaults))
    await world.put(a_draft(task={"ResultPaths": [{"Name": "o", "Path": "/o"}]}))
    job = (await world.http.get(f"{JOBS}/a")).json()["Job"]
    assert (job["Priority"], job["Tasks"][0]["Publisher"]) == (7, {"Type": "local"})
    assert job["Tasks"][0]["Timeouts"] == {"ExecutionTimeout": 300, "TotalTimeout": 600}
    refused = await world.put(a_draft(Name="b", task={"Timeouts": {"QueueTimeout": 400}}))
    assert (refused.status_code, refused.json()["Component"]) == (400, "JobStore")


async def test_long_inline_content_lies_in_the_object_store_and_is_given_back_whole():
    world = GatewayWorld()
    content = bytes(range(256)) * 100
    url = f"data:application/wasm;base64,{base64.b64encode(content).decode()}"
    source = {"Type": "inline", "Params": {"URL": url}}
    job = a_draft(task={"InputSources": [{"Source": source, "Target": "/m"}]})
    job_id = (await world.put(job)).json()["JobID"]
    digest = hashlib.sha256(content).hexdigest()
    kept = stored(world, job_id).task.input_sources[0].source.params
    assert kept == {"Digest": f"sha256:{digest}", "MediaType": "application/wasm", "Size": len(content)}
    assert world.gateway.blobs.stored == {digest: content}
    for path in ("/a", "/a?include=executions", "/a/versions", ""):
        assert (await world.http.get(JOBS + path)).text.count(url) == (2 if "include" in path else 1)
    assert "no changes detected" in (await world.put(job)).json()["Message"]
    assert (await world.http.put(f"{JOBS}/diff", json={"Job": job})).json()["Diff"] == ""


async def test_short_inline_content_rides_in_the_spec():
    world = GatewayWorld()
    source = {"Type": "inline", "Params": {"URL": "data:,short"}}
    job_id = (await world.put(a_draft(task={"InputSources": [{"Source": source, "Target": "/m"}]}))).json()[
        "JobID"
    ]
    assert stored(world, job_id).task.input_sources[0].source.params == {"URL": "data:,short"}
    assert world.gateway.blobs.stored == {}


async def test_long_content_that_is_no_data_url_is_refused_with_its_place():
    world = GatewayWorld()
    source = {"Type": "inline", "Params": {"URL": "data:;base64," + "!" * 20_000}}
    answer = await world.put(a_draft(task={"InputSources": [{"Source": source, "Target": "/m"}]}))
    assert answer.status_code == 400
    assert "Job.Tasks[0].InputSources[0].Source.Params" in answer.json()["Message"]


async def test_a_full_store_is_said_so_and_nothing_is_stored():
    world = GatewayWorld()
    world.gateway.blobs.full = True
    source = {"Type": "inline", "Params": {"URL": "data:," + "x" * 20_000}}
    before = world.stream.seq
    answer = await world.put(a_draft(task={"InputSources": [{"Source": source, "Target": "/m"}]}))
    assert (answer.status_code, answer.json()["Code"]) == (429, "ResourceExhausted")
    assert world.stream.seq == before


async def test_a_job_whose_nudge_was_lost_is_accepted_all_the_same():
    world = GatewayWorld()

    async def lost(job, seq, cause):
        raise NoResponders

    world.gateway.nudge = lost
    assert (await world.put(a_draft())).status_code == 200
    assert (await world.http.get(f"{JOBS}/a")).json()["Job"]["State"] == {"StateType": "Pending"}


async def test_a_bus_that_refuses_the_write_is_an_answer_that_says_so():
    world = GatewayWorld()

    async def full(key, record):
        raise StorageFull("the state stream is full", hint="purge finished jobs")

    world.records.create = full
    answer = await world.put(a_draft())
    assert (answer.status_code, answer.json()["Hint"]) == (429, "purge finished jobs")


async def test_a_spec_that_no_message_can_carry_is_refused_with_what_to_do():
    world = GatewayWorld()
    answer = await world.put(a_draft(task={"Env": {"A": "x" * 1_000_000}}))
    assert (answer.status_code, answer.json()["Hint"]) == (400, "move long values into inputs")
    assert (await world.put(a_draft(task={"Env": {"A": "x" * 800_000}}))).status_code == 200
