"""What must hold of every plan, whatever the job and its nodes have been through."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bacalhau_nats.domain.execution import ExecutionState
from bacalhau_nats.domain.ids import execution_id
from bacalhau_nats.domain.job import TERMINAL, JobState
from bacalhau_nats.domain.node import Scheduling
from bacalhau_nats.domain.retry import counts, lost
from bacalhau_nats.domain.scheduling import common
from bacalhau_nats.domain.spec import JobType, StopRequest, Timeouts
from tests.support.builders import NOW, Story, a_job, a_task, an_execution, node_now
from tests.support.planning import NODES, POLICY, Case, cases, live

COUNTED = (JobType.BATCH, JobType.SERVICE)
EVERYWHERE = (JobType.OPS, JobType.DAEMON)


def slot_of(job, execution):
    return execution.node_id if job.spec.type.everywhere else execution.desired.partition


@given(cases())
def test_the_same_input_gives_the_same_plan(case):
    assert case.plan() == case.plan()


@given(cases())
def test_no_plan_abandons_and_places(case):
    plan = case.plan()
    assert not (plan.abandon and plan.place)


@given(cases())
def test_no_plan_concludes_and_places(case):
    plan = case.plan()
    assert not (plan.conclude and plan.place)


@given(cases())
def test_no_more_is_placed_than_the_job_has_slots(case):
    slots = len(case.nodes) if case.job.spec.type.everywhere else case.job.spec.count
    assert 0 <= len(case.plan().place) <= slots


@given(cases())
def test_a_slot_with_a_wanted_execution_gets_no_second_one(case):
    job = case.job
    held = {slot_of(job, e) for e in job.of_version(job.spec.version) if e.wanted}
    for placement in case.plan().place:
        slot = placement.node if job.spec.type.everywhere else placement.partition
        assert slot not in held


@given(cases())
def test_ids_of_placements_are_fresh_and_derived(case):
    spec, places = case.job.spec, case.plan().place
    assert len({p.execution_id for p in places}) == len(places)
    for place in places:
        assert place.execution_id not in case.job.executions
        slot = place.node or str(place.partition)
        assert place.execution_id == execution_id(spec.id, spec.nonce, spec.version, slot, place.attempt)


@given(cases())
def test_only_what_runs_is_stopped_and_only_what_has_not_ended_is_abandoned(case):
    plan = case.plan()
    assert all(ending.execution.wanted for ending in plan.stop)
    assert not any(ending.execution.terminal for ending in plan.abandon)
    ids = [ending.execution.id for ending in (*plan.stop, *plan.abandon)]
    assert len(ids) == len(set(ids))


@given(cases())
def test_a_plan_that_was_carried_out_asks_for_nothing_more(case):
    case.settle()
    assert not case.carry_out(case.plan())


@given(cases())
def test_a_job_that_is_over_leaves_nothing_wanted(case):
    case.settle()
    if case.job.over:
        assert [e.id for e in case.job.executions.values() if e.wanted] == []
        assert case.job.conclusion is not None


@given(cases())
def test_nothing_is_wanted_of_lost_or_rejected_nodes_or_old_versions(case):
    case.settle()
    for execution in case.job.executions.values():
        if execution.wanted:
            assert execution.version == case.job.spec.version
            assert case.nodes[execution.node_id].live
            assert case.nodes[execution.node_id].approved


@given(cases())
def test_a_cordoned_node_gets_nothing_new(case):
    job = case.job
    before = set(job.executions)
    daemon = job.spec.type is JobType.DAEMON
    homes = {e.node_id for e in job.of_version(job.spec.version)} if daemon else set()
    case.settle()
    for execution in case.job.executions.values():
        if execution.id not in before and execution.node_id not in homes:
            assert case.nodes[execution.node_id].scheduling is Scheduling.OPEN


@given(cases(COUNTED))
def test_nothing_that_could_be_elsewhere_is_wanted_of_a_drained_node(case):
    case.settle()
    for execution in case.job.executions.values():
        if execution.wanted:
            assert case.nodes[execution.node_id].scheduling is not Scheduling.DRAINING


@given(cases(), st.sampled_from([Scheduling.CORDONED, Scheduling.DRAINING]))
def test_a_cordon_alone_stops_nothing_and_a_drain_nothing_that_belongs_to_its_node(case, scheduling):
    kind = case.job.spec.type
    case.nodes = {n: replace(node, scheduling=Scheduling.OPEN) for n, node in case.nodes.items()}
    before = {ending.execution.id for ending in (*case.plan().stop, *case.plan().abandon)}
    case.nodes = {n: replace(node, scheduling=scheduling) for n, node in case.nodes.items()}
    plan = case.plan()
    more = {ending.execution.id for ending in (*plan.stop, *plan.abandon)} - before
    assert not more or (scheduling is Scheduling.DRAINING and not kind.everywhere)


@given(cases())
def test_the_next_look_is_in_the_future(case):
    look = case.plan().look_again
    assert look is None or look > case.now


@given(cases((JobType.BATCH,)))
def test_a_batch_is_completed_only_with_every_partition(case):
    conclude = case.plan().conclude
    if conclude is not None and conclude.state is JobState.COMPLETED:
        job = case.job
        done = {
            e.desired.partition
            for e in job.of_version(job.spec.version)
            if e.state is ExecutionState.COMPLETED
        }
        assert done >= set(range(job.spec.count))


@given(cases(COUNTED))
def test_a_settled_counted_job_holds_each_slot_or_says_why_not(case):
    case.settle()
    job, plan = case.job, case.plan()
    if job.over:
        return
    held = [slot_of(job, e) for e in job.of_version(job.spec.version) if e.wanted]
    assert len(held) == len(set(held))
    done = {
        slot_of(job, e)
        for e in job.of_version(job.spec.version)
        if e.state is ExecutionState.COMPLETED and job.spec.type is JobType.BATCH
    }
    if not set(held) | done >= set(range(job.spec.count)):
        cordoned = any(node.scheduling is not Scheduling.OPEN for node in case.nodes.values())
        waits = plan.waits_for_node and cordoned
        assert waits or plan.look_again is not None, "an empty slot that nobody will look at again"


@given(cases(EVERYWHERE))
def test_a_settled_everywhere_job_has_one_execution_at_most_on_each_node(case):
    case.settle()
    job = case.job
    running = [e.node_id for e in job.of_version(job.spec.version) if e.wanted]
    assert len(running) == len(set(running))


@given(cases(fresh=True), st.data())
def test_attempts_never_exceed_the_policy_and_every_job_comes_to_an_end(case, data):
    """Executions end in any way; time goes on to whatever the plan waits for."""
    ways = ["completed", "failed", "hopeless", "restarted", "lost"]
    for turn in range(40):
        case.settle()
        job = case.job
        _check_attempts(job)
        if job.over:
            return
        case.story.now = case.now
        running = [e for e in job.executions.values() if e.wanted]
        choice = st.sampled_from([*ways, "declined"] if turn < 5 else ways)
        case.end(lambda _, choice=choice: data.draw(choice))
        look = case.plan().look_again
        if not running:
            if look is None:
                break
            case.now = max(case.now, look)
    assert case.job.over or case.job.spec.type.endless or case.plan().waits_for_node


def _check_attempts(job):
    slots = {}
    for execution in job.of_version(job.spec.version):
        slots.setdefault(slot_of(job, execution), []).append(execution)
    for attempts in slots.values():
        tries = [e for e in attempts if counts(e)]
        faults = [e for e in tries if not lost(e)]
        assert len(tries) - len(faults) <= POLICY.retry.max_losses
        if not job.spec.type.endless:
            assert len(faults) <= POLICY.retry.max_attempts


@given(cases(types=(JobType.DAEMON,)))
def test_a_daemon_is_over_only_when_somebody_stops_it(case):
    job = case.job
    conclude = case.plan().conclude
    assert conclude is None or job.spec.stop is not None


@given(cases(types=(JobType.DAEMON,)))
def test_a_daemon_that_runs_nowhere_and_never_will_on_these_nodes_waits_for_another_and_says_why(case):
    case.settle()
    job, plan = case.job, case.plan()
    idle = not job.over and not any(not e.terminal for e in job.of_version(job.spec.version))
    if idle and plan.look_again is None and job.of_version(job.spec.version):
        able = {n for n, node in case.nodes.items() if node.live and node.approved}
        assert plan.waits_for_node == bool(able - common.unsuitable(job, case.nodes).keys())
        assert plan.unsuitable.keys() >= able


# --- one thing at a time -------------------------------------------------------------------------------


def a_case(spec=None, *lives, nodes=("n0", "n1")):
    """A job whose first partition (or node n0) had these attempts."""
    story = Story(NOW - 20)
    spec = spec or a_job()
    story.tell(spec)
    for attempt, life in enumerate(lives):
        desired = an_execution(spec, "n0", attempt=attempt)
        story.tell(desired)
        live(story, desired, life)
    return Case(story, {n: node_now(n) for n in nodes})


@pytest.mark.parametrize(
    ("lives", "cause"),
    [
        (["failed"] * 3, "it broke [execution e-"),
        (["failed"] * 3, "(tried 3 times)"),
        (["hopeless"], "no such image [execution e-"),
        (["lost"] * 5, "its node went away"),
        (["restarted"] * 5, "failed [execution e-"),
    ],
)
def test_a_job_that_fails_names_the_cause(lives, cause):
    conclude = a_case(None, *lives).plan().conclude
    assert conclude is not None
    assert conclude.state is JobState.FAILED
    assert cause in conclude.message


def test_without_any_node_a_job_fails_at_once():
    conclude = a_case(nodes=()).plan().conclude
    assert conclude.state is JobState.FAILED
    assert conclude.message.startswith(
        "not enough nodes to run job. requested: 1, available: 0, suitable: 0."
    )


def test_with_a_queue_timeout_a_job_waits_for_a_node_until_then():
    spec = a_job(task=a_task(timeouts=Timeouts(queue_timeout=10)))
    case = a_case(spec, nodes=())
    assert case.plan().look_again == NOW + 10
    case.now = NOW + 10
    assert case.plan().conclude.state is JobState.FAILED


@pytest.mark.parametrize("kind", EVERYWHERE)
def test_a_job_for_every_node_without_one(kind):
    """Ops fails, a daemon waits; neither asks to be looked at in the past."""
    case = a_case(a_job(type=kind, count=0, task=a_task(timeouts=Timeouts(queue_timeout=10))), nodes=())
    assert case.plan().look_again == NOW + 10
    case.now = NOW + 60
    plan = case.plan()
    assert plan.look_again is None
    if kind is JobType.DAEMON:
        assert plan.conclude is None
    else:
        assert plan.conclude.message == "not matching nodes to run job out of 0 available nodes."
        assert plan.conclude.details == {"IsError": "true", "NodesAvailable": "0"}


def test_the_reasons_of_all_nodes_are_told():
    case = a_case()
    case.nodes = {
        "dead": node_now("dead", live=False),
        "rejected": node_now("rejected", approved=False),
        "draining": node_now("draining", draining=True),
        "other": node_now("other", engines=("docker",)),
        "small": node_now("small", capacity=node_now().report.capacity.but(milli_cpu=500)),
    }
    message = case.plan().conclude.message
    for reason in (
        "Node dead: is not connected",
        "Node rejected: is not approved",
        "Node draining: is draining and takes no new work",
        "Node other: does not support engine noop; it has docker",
        "Node small: is too small for the job: CPU 1 of 0.5",
    ):
        assert f"• {reason}" in message


def test_equal_reasons_are_counted_instead_of_repeated():
    text = common.bullets({"a": "is busy", "b": "is busy", "c": "is small"})
    assert text == "\n• 2 of 3 nodes: is busy\n• Node c: is small"


def test_a_job_out_of_time_fails_and_stops_what_runs():
    case = a_case(a_job(task=a_task(timeouts=Timeouts(total_timeout=90))), "running")
    case.now = NOW + 89.9
    assert case.plan().look_again == NOW + 90
    case.now = NOW + 90
    case.settle()
    assert case.job.conclusion.message == "Job timed out. Job took longer than 1m30s"
    assert case.story.only().desired.message == common.JOB_FAILED


@pytest.mark.parametrize(
    ("seconds", "text"), [(5, "5s"), (90, "1m30s"), (3600, "1h0m0s"), (3725.9, "1h2m5s")]
)
def test_durations_read_as_the_public_api_writes_them(seconds, text):
    assert common.go_duration(seconds) == text


def test_a_stop_says_stop_and_concludes_with_the_users_reason():
    case = a_case(None, "running")
    case.story.tell(case.job.spec.but(stop=StopRequest(reason="not needed")))
    case.settle()
    assert case.story.only().desired.message == common.JOB_STOPPED
    assert (case.job.state, case.job.conclusion.message) == (JobState.STOPPED, "not needed")


def test_an_update_stops_the_old_version_and_places_the_new():
    case = a_case(None, "running")
    case.story.tell(case.job.spec.but(version=2))
    case.settle()
    old, new = case.job.executions.values()
    assert old.desired.message == common.JOB_UPDATED
    assert (new.version, new.wanted) == (2, True)


def test_a_lost_node_is_abandoned_first_and_replaced_when_that_is_known():
    case = a_case(None, "running")
    case.nodes["n0"] = node_now("n0", live=False)
    first = case.plan()
    assert [e.message for e in first.abandon] == [common.NODE_GONE]
    assert first.place == ()
    case.carry_out(first)
    (placement,) = case.plan().place
    assert placement.attempt == 1
    assert placement.avoid == {"n0": 1}


def test_a_node_that_declined_is_not_avoided():
    (placement,) = a_case(None, "declined", "lost").plan().place
    assert (placement.attempt, placement.avoid) == (2, {"n0": 1})


def test_a_rejected_node_is_stopped_and_its_work_placed_elsewhere():
    case = a_case(None, "running")
    case.nodes["n0"] = node_now("n0", approved=False)
    assert [e.message for e in case.plan().stop] == [common.NODE_REJECTED]
    case.settle()
    assert [e.node_id for e in case.job.executions.values() if e.wanted] == ["n1"]


def test_a_drained_node_is_emptied_and_its_work_placed_elsewhere():
    case = a_case(None, "running")
    case.nodes["n0"] = node_now("n0", scheduling=Scheduling.DRAINING)
    assert [e.message for e in case.plan().stop] == [common.NODE_DRAINED]
    case.settle()
    assert [e.node_id for e in case.job.executions.values() if e.wanted] == ["n1"]


@pytest.mark.parametrize("kind", EVERYWHERE)
def test_what_belongs_to_a_drained_node_stays_there(kind):
    case = a_case(a_job(type=kind, count=0), "running", nodes=("n0",))
    case.nodes["n0"] = node_now("n0", scheduling=Scheduling.DRAINING)
    assert case.settle() == 0
    assert case.story.only().wanted


def test_a_daemon_is_started_again_on_its_node_though_that_is_cordoned_but_not_begun_there():
    daemon = a_job(type=JobType.DAEMON, count=0)
    case = a_case(daemon, "restarted", nodes=("n0",))
    case.nodes = {n: node_now(n, scheduling=Scheduling.DRAINING) for n in ("n0", "n1")}
    plan = case.plan()
    assert [p.node for p in plan.place] == ["n0"]
    assert list(plan.unsuitable) == ["n1"]
    ops = a_case(a_job(type=JobType.OPS, count=0), "restarted", nodes=("n0",))
    ops.nodes = dict(case.nodes)
    assert ops.plan().place == ()


def test_a_job_that_only_a_cordoned_node_could_run_waits_for_it():
    case = a_case(nodes=())
    case.nodes = {
        "n0": node_now("n0", scheduling=Scheduling.CORDONED),
        "n1": node_now("n1", engines=("docker",)),
    }
    plan = case.plan()
    assert (plan.waits_for_node, plan.conclude, plan.look_again) == (True, None, None)
    assert plan.unsuitable["n0"] == "is cordoned and takes no new work"
    del case.nodes["n0"]
    assert case.plan().conclude.state is JobState.FAILED


def test_an_ops_job_that_only_cordoned_nodes_could_run_waits_for_one():
    case = a_case(a_job(type=JobType.OPS, count=0), nodes=())
    case.nodes = {"n0": node_now("n0", scheduling=Scheduling.CORDONED)}
    assert case.plan().waits_for_node
    case.nodes["n0"] = node_now("n0")
    assert [p.node for p in case.plan().place] == ["n0"]


def test_a_job_waits_for_a_cordoned_node_no_longer_than_it_may():
    case = a_case(a_job(task=a_task(timeouts=Timeouts(queue_timeout=10))), nodes=())
    case.nodes = {"n0": node_now("n0", scheduling=Scheduling.CORDONED)}
    assert case.plan().look_again == NOW + 10
    case.now = NOW + 10
    assert case.plan().conclude.state is JobState.FAILED


def test_partitions_that_an_update_took_away_are_surplus():
    """The count of a version never changes, but a record may say so all the same."""
    case = a_case(None, "running")
    case.story.tell(case.job.spec.but(count=0))
    case.settle()
    assert case.story.only().desired.message == common.SURPLUS
    assert case.job.state is JobState.COMPLETED


def test_of_two_executions_in_one_slot_the_earlier_is_kept():
    case = a_case(None, "running", "running")
    (surplus,) = case.plan().stop
    assert surplus.execution.desired.attempt == 1


def test_a_completed_partition_stops_its_second_attempt():
    case = a_case(a_job(count=2), "completed", "running")
    assert [e.execution.desired.attempt for e in case.plan().stop] == [1]


def test_a_service_that_exits_is_started_again_after_a_pause():
    case = a_case(a_job(type=JobType.SERVICE), *["completed"] * 4)
    plan = case.plan()
    assert plan.conclude is None
    case.now = plan.look_again or NOW
    assert len(case.plan().place) == 1


def test_a_service_that_can_never_work_says_so():
    conclude = a_case(a_job(type=JobType.SERVICE), "completed", "hopeless").plan().conclude
    assert "no such image" in conclude.message


def test_a_service_that_was_lost_too_often_names_its_exit():
    spec = a_job(type=JobType.SERVICE)
    conclude = a_case(spec, *["lost"] * 5, "completed").plan().conclude
    assert "ended with exit code 0 although the job should go on" in conclude.message


def test_ops_is_done_when_every_node_is_done():
    case = a_case(a_job(type=JobType.OPS, count=0))
    case.settle()
    assert {e.node_id for e in case.job.executions.values()} == {"n0", "n1"}
    case.end(lambda _: "completed")
    case.settle()
    assert case.job.state is JobState.COMPLETED


def test_ops_fails_with_the_cause_of_each_node_that_gave_up():
    case = a_case(a_job(type=JobType.OPS, count=0), "hopeless")
    case.settle()
    case.end(lambda _: "completed")
    case.settle()
    assert case.job.state is JobState.FAILED
    assert case.job.conclusion.message.startswith(
        "Job failed because one or more executions failed\n• no such"
    )


def test_ops_waits_for_an_execution_on_a_node_that_drains():
    case = a_case(a_job(type=JobType.OPS, count=0), "running", nodes=("n0",))
    case.nodes["n0"] = node_now("n0", draining=True)
    assert case.plan().conclude is None


@pytest.mark.parametrize("kind", EVERYWHERE)
def test_a_node_that_joins_gets_its_execution(kind):
    case = a_case(a_job(type=kind, count=0), nodes=("n0",))
    case.settle()
    case.nodes["n4"] = node_now("n4")
    assert [p.node for p in case.plan().place] == ["n4"]


def test_a_daemon_whose_every_node_gave_up_says_why_and_takes_the_next_node():
    case = a_case(a_job(type=JobType.DAEMON, count=0), "hopeless", nodes=("n0",))
    plan = case.plan()
    assert (plan.conclude, plan.place, plan.waits_for_node) == (None, (), True)
    assert plan.unsuitable["n0"].startswith("no such image [execution e-")
    case.nodes["n4"] = node_now("n4")
    assert [p.node for p in case.plan().place] == ["n4"]


def test_a_retry_pause_is_waited_for():
    case = a_case(a_job(type=JobType.OPS, count=0), "failed", nodes=("n0",))
    case.now = NOW - 20
    plan = case.plan()
    assert (plan.place, plan.conclude) == ((), None)
    assert plan.look_again == NOW - 19


def test_terminal_job_states_are_those_that_end_a_job():
    assert {JobState.COMPLETED, JobState.FAILED, JobState.STOPPED} == TERMINAL
    assert len(NODES) == 5
