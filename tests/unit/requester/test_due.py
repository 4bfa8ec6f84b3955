"""Which facts call for a look at their job, and who says so at once."""

import pytest

from bacalhau_nats.domain.execution import ExecutionState, Wish
from bacalhau_nats.domain.ids import NodeID
from bacalhau_nats.domain.job import Conclusion, JobState, Waiting
from bacalhau_nats.domain.node import Scheduling
from bacalhau_nats.domain.spec import StopRequest
from bacalhau_nats.requester.due import Due, due
from tests.support.builders import Story, a_job, an_execution, seen

SPEC = a_job()
DESIRED = an_execution(SPEC, requester="me")
STOPPED = SPEC.but(stop=StopRequest())


def ended(**changes):
    return Conclusion(job_id=SPEC.id, state=JobState.FAILED, requester="me").but(**changes)


@pytest.mark.parametrize(
    ("told", "answer"),
    [
        ([SPEC], Due.SOON),
        ([SPEC, DESIRED], Due.NO),
        ([SPEC, DESIRED, seen(DESIRED)], Due.NO),
        ([SPEC, DESIRED, seen(DESIRED, ExecutionState.PUBLISHING)], Due.NO),
        ([SPEC, DESIRED, seen(DESIRED, ExecutionState.COMPLETED)], Due.NOW),
        ([SPEC, DESIRED.but(requester="you"), seen(DESIRED, ExecutionState.COMPLETED)], Due.SOON),
        ([SPEC, seen(DESIRED, ExecutionState.COMPLETED)], Due.SOON),
        ([SPEC, DESIRED, DESIRED.but(wish=Wish.ABANDONED)], Due.NOW),
        ([SPEC, DESIRED, DESIRED.but(wish=Wish.STOP, requester="you")], Due.SOON),
        ([STOPPED, DESIRED], Due.NOW),
        ([SPEC, DESIRED, ended()], Due.NOW),
        ([SPEC, DESIRED, ended(requester="you")], Due.SOON),
        ([SPEC, ended()], Due.NO),
        ([SPEC, Waiting(job_id=SPEC.id)], Due.NO),
    ],
)
def test_what_the_last_fact_calls_for(told, answer):
    story = Story()
    story.tell(*told)
    assert due(story.facts[-1], story.job(), NodeID("me"), lambda _: Scheduling.OPEN) is answer


@pytest.mark.parametrize(
    ("scheduling", "answer"),
    [(Scheduling.OPEN, Due.NO), (Scheduling.CORDONED, Due.NO), (Scheduling.DRAINING, Due.SOON)],
)
def test_an_assignment_to_a_node_that_is_being_drained_is_looked_at_again(scheduling, answer):
    """Its requester may not have known yet."""
    story = Story()
    story.tell(SPEC, DESIRED)
    assert due(story.facts[-1], story.job(), NodeID("me"), lambda _: scheduling) is answer
