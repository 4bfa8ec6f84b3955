"""One job as its facts tell it; nothing ever goes back."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bacalhau_nats.domain.execution import TERMINAL, ExecutionState, Wish, can_become, may_wish
from bacalhau_nats.domain.ids import NodeID
from bacalhau_nats.domain.job import Conclusion, JobState, Waiting
from bacalhau_nats.domain.jobview import JobView
from bacalhau_nats.domain.spec import StopRequest
from tests.support.builders import NOW, SECOND, Story, a_job, a_node, an_execution, seen

_S = ExecutionState
steps = st.lists(st.sampled_from([*_S, Wish.STOP, Wish.ABANDONED]), max_size=8)


def begun(*path):
    """The story of one execution that went this way."""
    story = Story()
    spec = a_job()
    desired = an_execution(spec)
    story.tell(spec, desired)
    for step in path:
        if isinstance(step, Wish):
            story.wish(desired.execution_id, step)
        else:
            story.observe(desired.execution_id, step)
    return story


@given(steps)
def test_an_execution_never_goes_back(path):
    story, execution_id = begun(), an_execution(a_job()).execution_id
    for step in path:
        before, wish = story.only().state, story.only().wish
        if isinstance(step, Wish):
            if not may_wish(wish, step):
                continue
            story.wish(execution_id, step)
        else:
            story.observe(execution_id, step)
        after = story.only().state
        assert after is before or can_become(before, after)
        assert story.only().wanted is (after not in TERMINAL and story.only().wish is Wish.RUN)
    assert story.only().terminal is (story.only().state in TERMINAL)


@pytest.mark.parametrize(
    ("path", "state", "revision"),
    [
        ([], _S.ASSIGNED, 1),
        ([_S.RUNNING], _S.RUNNING, 2),
        ([_S.RUNNING, _S.PUBLISHING, _S.COMPLETED], _S.COMPLETED, 4),
        ([_S.RUNNING, Wish.STOP], _S.RUNNING, 2),
        ([_S.RUNNING, Wish.STOP, _S.CANCELLED], _S.CANCELLED, 3),
        ([_S.RUNNING, Wish.ABANDONED], _S.LOST, 3),
        ([_S.RUNNING, Wish.ABANDONED, _S.COMPLETED], _S.LOST, 3),
        ([_S.COMPLETED, Wish.ABANDONED], _S.COMPLETED, 2),
        ([_S.DECLINED, _S.RUNNING], _S.DECLINED, 2),
        ([_S.PUBLISHING, _S.RUNNING], _S.PUBLISHING, 2),
    ],
)
def test_the_state_of_an_execution(path, state, revision):
    execution = begun(*path).only()
    assert (execution.state, execution.revision) == (state, revision)


def test_revisions_to_write_against_move_with_every_fact():
    story = begun(_S.RUNNING, Wish.ABANDONED)
    last = story.observe(story.only().id, _S.COMPLETED)
    assert story.only().observed_seq == last
    assert story.only().observed.state is _S.RUNNING, "what the table forbids is not taken over"
    assert story.only().desired_seq == last - 1


def test_started_is_when_the_node_first_spoke():
    story = begun()
    assert story.only().started == 0
    story.now = NOW + 5
    story.observe(story.only().id, _S.RUNNING)
    story.now = NOW + 9
    story.observe(story.only().id, _S.COMPLETED)
    assert story.only().started == int((NOW + 5) * SECOND)
    assert story.only().modified == int((NOW + 9) * SECOND)


def test_a_report_that_comes_before_the_wish_is_kept_for_it():
    story, spec = Story(), a_job()
    desired = an_execution(spec)
    report = story.tell(spec, seen(desired, _S.FAILED))
    assert story.job().executions == {}
    story.tell(desired)
    execution = story.only()
    assert (execution.state, execution.observed_seq) == (_S.FAILED, report)


def test_only_the_assigned_node_is_believed():
    story = begun(_S.RUNNING)
    other = an_execution(a_job(), "n9")
    story.tell(seen(other, _S.COMPLETED))
    assert story.only().state is _S.RUNNING


def test_a_conclusion_belongs_to_its_version():
    story = begun(_S.COMPLETED)
    story.tell(Conclusion(job_id=a_job().id, version=1, state=JobState.COMPLETED))
    assert story.job().settled
    story.tell(a_job(version=2))
    job = story.job()
    assert job.conclusion is None
    assert (job.state, job.over, job.settled) == (JobState.PENDING, False, False)
    assert job.state_of_version(1) is JobState.COMPLETED
    assert job.of_version(2) == []


def test_a_job_is_not_settled_while_an_execution_of_it_runs():
    story = begun(_S.RUNNING)
    story.tell(Conclusion(job_id=a_job().id, version=1, state=JobState.FAILED))
    assert (story.job().over, story.job().settled) == (True, False)


def test_the_first_conclusion_of_a_version_holds():
    story = begun()
    for state in (JobState.FAILED, JobState.COMPLETED):
        story.tell(Conclusion(job_id=a_job().id, version=1, state=state))
    assert story.job().state is JobState.FAILED


def test_a_stop_is_seen_before_it_is_concluded():
    story = begun(_S.RUNNING)
    story.tell(a_job(stop=StopRequest(reason="enough")))
    assert (story.job().state, story.job().conclusion) == (JobState.STOPPED, None)


def test_a_job_that_waits_is_queued():
    story = Story()
    story.tell(a_job(), Waiting(job_id=a_job().id, version=1, message="full"))
    assert story.job().state is JobState.QUEUED


def test_a_job_without_its_wish_is_not_known():
    story = Story()
    story.tell(an_execution(a_job()))
    assert not story.view.unfinished[a_job().id].known
    assert story.view.job("j-1") is None


def test_the_spec_is_kept_once_and_not_with_each_execution():
    assert begun().only().desired.job is None


def test_created_is_what_the_spec_says_or_else_when_it_was_stored():
    story = Story()
    story.tell(a_job("j-1", created=5), a_job("j-2", created=0))
    assert story.job("j-1").created == 5
    assert story.job("j-2").created == int(NOW * SECOND)


def test_a_fact_of_something_else_changes_nothing_but_the_time():
    job = JobView(a_job().id)
    story = Story()
    story.tell(a_node("n1"))
    job.apply(story.facts[0])
    assert not job.known
    assert NodeID("n1") not in job.executions
