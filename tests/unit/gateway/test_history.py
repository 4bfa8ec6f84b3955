"""The story that a job's facts tell, in its order, and how the job stood when each execution was asked for."""

from bacalhau_nats.domain.execution import ExecutionState, Wish
from bacalhau_nats.domain.job import JobState
from bacalhau_nats.domain.spec import StopRequest
from bacalhau_nats.gateway.history import tell
from tests.support.builders import Story, a_job, an_execution


def told(story):
    return [step.message.split(" on ")[0] for step in tell(story.job()).steps]


def test_a_job_runs_when_all_its_partitions_have_a_node_and_all_were_asked_for_at_once():
    story, job = Story(), a_job(count=2)
    first, second = an_execution(job), an_execution(job, "n2", partition=1)
    story.tell(job, first)
    assert told(story) == ["Job submitted", "Requested execution"]
    story.tell(second)
    assert told(story) == ["Job submitted", "Requested execution", "Requested execution", "Running"]
    births = tell(story.job()).births
    assert births[first.execution_id] == births[second.execution_id]
    assert births[second.execution_id].state is JobState.PENDING


def test_a_job_runs_as_soon_as_work_has_begun_and_what_was_told_stays():
    story, job = Story(), a_job(count=2)
    first = an_execution(job)
    story.tell(job, first)
    story.observe(first.execution_id, ExecutionState.RUNNING)
    before = told(story)
    assert before == ["Job submitted", "Requested execution", "Running", "Running"]
    story.tell(an_execution(job, "n2", partition=1))
    assert told(story) == [*before, "Requested execution"]


def test_a_job_that_is_stopped_before_all_partitions_have_a_node_does_not_run_again():
    story, job = Story(), a_job(count=2)
    first = an_execution(job)
    story.tell(job, first, job.but(stop=StopRequest(reason="enough")))
    story.wish(first.execution_id, Wish.STOP, message="stop")
    story.observe(first.execution_id, ExecutionState.CANCELLED)
    assert "Running" not in told(story)
    assert tell(story.job()).standings[1].state is JobState.STOPPED


def test_another_attempt_sees_the_job_as_it_stands_then():
    story, job = Story(), a_job()
    first = an_execution(job)
    story.tell(job, first)
    story.observe(first.execution_id, ExecutionState.FAILED)
    second = an_execution(job, "n2", attempt=1)
    story.tell(second)
    births = tell(story.job()).births
    assert births[first.execution_id].state is JobState.PENDING
    assert births[second.execution_id].state is JobState.RUNNING
