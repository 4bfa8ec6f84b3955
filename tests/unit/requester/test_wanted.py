"""What a node is told that it should be doing."""

from bacalhau_nats.domain.execution import ExecutionState
from bacalhau_nats.domain.ids import NodeID
from bacalhau_nats.messages import WhatShouldIDo
from bacalhau_nats.requester.wanted import wanted_of
from tests.support.builders import Story, a_job, a_task, an_execution

N1 = NodeID("n1")


def a_busy_node(jobs, size=0):
    """Tell of a node with so many jobs of a size in bytes; give the story and the executions."""
    story, executions = Story(), []
    for number in range(jobs):
        spec = a_job(f"j-{number}", task=a_task(env={"LONG": "v" * size}))
        executions.append(an_execution(spec))
        story.tell(spec, executions[-1])
    return story, [e.execution_id for e in executions]


def test_what_it_has_not_begun_comes_with_its_job():
    story, ids = a_busy_node(2)
    wanted = wanted_of(story.view, WhatShouldIDo(node_id=N1))
    assert [w.desired.execution_id for w in wanted.executions] == ids
    assert all(w.desired.job is not None for w in wanted.executions)
    assert (wanted.seq, wanted.partial) == (4, False)


def test_of_what_it_is_doing_already_only_the_wish_is_told():
    story, ids = a_busy_node(2)
    story.observe(ids[0], ExecutionState.RUNNING)
    wanted = wanted_of(story.view, WhatShouldIDo(node_id=N1, doing=(ids[0],)))
    told = {w.desired.execution_id: w for w in wanted.executions}
    assert (told[ids[0]].desired.job, told[ids[0]].observed) == (None, None)
    assert told[ids[1]].desired.job is not None


def test_more_than_fits_in_a_message_is_told_in_several_answers():
    story, ids = a_busy_node(5, size=300_000)
    doing, answers = (), 0
    while True:
        wanted = wanted_of(story.view, WhatShouldIDo(node_id=N1, doing=doing))
        assert len(wanted.to_json()) < 1_000_000
        answers += 1
        doing = tuple(w.desired.execution_id for w in wanted.executions)
        if not wanted.partial:
            break
    assert (sorted(doing), answers) == (sorted(ids), 3)


def test_a_job_as_large_as_a_message_is_told_by_itself():
    story, _ = a_busy_node(2, size=900_000)
    wanted = wanted_of(story.view, WhatShouldIDo(node_id=N1))
    assert (len(wanted.executions), wanted.partial) == (1, True)
