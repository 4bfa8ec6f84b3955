"""The view is a fold: of everything, of the last word of each record, and again after a job was archived."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bacalhau_nats.domain.archive import Archived, archive
from bacalhau_nats.domain.execution import ExecutionState, Wish
from bacalhau_nats.domain.facts import Fact, Key, Kind, report_key
from bacalhau_nats.domain.ids import JobID, NodeID, named_job_id
from bacalhau_nats.domain.job import Alias, Conclusion, JobState, Waiting
from bacalhau_nats.domain.node import Approval, Membership
from bacalhau_nats.domain.view import NodeView, View
from tests.support.builders import Story, a_job, a_node, an_execution, seen
from tests.support.invariants import fold, last_of_each, states
from tests.support.planning import cases


def retold(case):
    """The facts as the stream keeps them: with the payload they were stored as."""
    return [Fact(f.key, f.seq, f.time, f.record, f.record.to_json()) for f in case.story.facts]


@given(cases())
def test_the_fold_of_the_last_of_each_record_is_the_fold_of_all(case):
    assert states(fold(last_of_each(case.story.facts))) == states(case.story.view)


@given(cases(), st.data())
def test_a_late_report_never_makes_the_two_folds_differ(case, data):
    """Reports and abandons cross on their way: either may be stored first."""
    for execution in list(case.job.executions.values()):
        if not execution.terminal and data.draw(st.booleans()):
            steps = [
                lambda e=execution: case.story.wish(e.id, Wish.ABANDONED),
                lambda e=execution: case.story.observe(e.id, ExecutionState.COMPLETED),
            ]
            for step in data.draw(st.permutations(steps)):
                step()
    assert states(fold(last_of_each(case.story.facts))) == states(case.story.view)


@given(cases())
def test_a_fact_that_was_folded_already_changes_nothing(case):
    before = states(case.story.view)
    for fact in case.story.facts:
        assert case.story.view.apply(fact) is None
    assert states(case.story.view) == before


@given(cases())
def test_an_archived_job_unfolds_to_what_it_was(case):
    for view in (case.story.view, fold(retold(case))):
        job = view.job("j-1")
        again = archive(job).unfold()
        assert again == job
        assert [f.record for f in again.facts] == [f.record for f in job.facts]
        assert (again.state, again.versions, again.modified) == (job.state, job.versions, job.modified)


@given(cases())
def test_tidying_up_changes_nothing_that_readers_see(case):
    case.settle()
    view, job = case.story.view, case.job
    before, rows = states(view), [(r.id, r.state, r.created, r.modified) for r in view.rows()]
    tidied = view.tidy()
    assert tidied == int(job.settled)
    assert states(view) == before
    assert [(r.id, r.state, r.created, r.modified) for r in view.rows()] == rows
    assert view.job("j-1") == job
    assert view.named("default", "j-1") == "j-1"


@given(cases())
def test_the_index_by_node_has_what_has_not_ended(case):
    view = case.story.view
    for node in {e.node_id for e in case.job.executions.values()}:
        running = {e.id for e in case.job.executions.values() if e.node_id == node and not e.terminal}
        assert {e.id for e in view.wanted_of(node)} == running


@given(cases())
def test_a_purged_job_is_gone_from_everywhere(case):
    view = case.story.view
    view.tidy()
    case.story.purge("j-1")
    assert view.job("j-1") is None
    assert view.named("default", "j-1") is None
    assert view.with_prefix("j-") == []
    assert list(view.rows()) == []
    assert len(view) == 0
    assert JobID("j-1") not in view.unfinished
    assert all(not view.wanted_of(NodeID(f"n{i}")) for i in range(5))


# --- names, prefixes, rows ---------------------------------------------------------------------------


def finished(story, job_id, **changes):
    spec = a_job(job_id, **changes)
    story.tell(spec, Conclusion(job_id=spec.id, state=JobState.COMPLETED))


@given(st.lists(st.tuples(st.integers(0, 5), st.booleans()), max_size=8), st.booleans())
def test_rows_are_in_the_order_of_creation(jobs, tidy):
    story = Story()
    for number, (created, ended) in enumerate(jobs):
        spec = a_job(f"j-{number}", created=created + 1)
        story.tell(spec)
        if ended:
            story.tell(Conclusion(job_id=spec.id, state=JobState.FAILED))
    if tidy:
        assert story.view.tidy() == sum(ended for _, ended in jobs)
    expected = sorted((created + 1, f"j-{number}") for number, (created, _) in enumerate(jobs))
    assert [(r.created, r.id) for r in story.view.rows()] == expected
    assert [(r.created, r.id) for r in story.view.rows(newest_first=True)] == expected[::-1]
    assert len(story.view) == len(jobs)


def test_a_row_has_what_lists_filter_by():
    story = Story()
    finished(story, "j-1", name="x", namespace="ns", labels={"a": "b"})
    live = next(story.view.rows())
    story.view.tidy()
    kept = next(story.view.rows())
    assert isinstance(kept, Archived)
    for row in (live, kept):
        found = (row.id, row.namespace, row.name, row.labels, row.state)
        assert found == ("j-1", "ns", "x", {"a": "b"}, JobState.COMPLETED)


def test_a_job_is_found_by_prefix_wherever_it_is_kept():
    story = Story()
    finished(story, "j-aa1")
    story.view.tidy()
    story.tell(a_job("j-aa2"), a_job("j-ab"))
    story.tell(seen(an_execution(a_job("j-aa3"))))  # a report that outlived its job
    assert sorted(story.view.with_prefix("j-aa")) == ["j-aa1", "j-aa2"]
    assert len(story.view.with_prefix("j-a", limit=2)) == 2
    assert story.view.with_prefix("j-x") == []


def test_a_purged_job_is_found_by_no_prefix_and_many_new_ones_are():
    story = Story()
    story.tell(*(a_job(f"j-{number:04}") for number in reversed(range(100))))
    assert story.view.with_prefix("j-004", 3) == ["j-0040", "j-0041", "j-0042"]
    story.purge("j-0041")
    story.tell(a_job("j-00405"))
    assert story.view.with_prefix("j-004", 3) == ["j-0040", "j-00405", "j-0042"]


@pytest.mark.parametrize("newest_first", [False, True])
def test_a_walk_meets_each_job_once_though_others_leave_on_the_way(newest_first):
    story = Story()
    story.tell(*(a_job(f"j-{number:04}") for number in range(1200)))
    walk = story.view.rows(newest_first=newest_first)
    met = [next(walk).id for _ in range(700)]
    for job_id in (*met[:3], "j-0600"):
        story.purge(job_id)
    met += [row.id for row in walk]
    wanted = [f"j-{number:04}" for number in range(1200)]
    assert [one for one in met if one != "j-0600"] == [
        one for one in (reversed(wanted) if newest_first else wanted) if one != "j-0600"
    ]


def test_a_name_is_found_by_namespace():
    story = Story()
    story.tell(a_job("j-1", name="x"), a_job("j-2", name="x", namespace="other"))
    assert story.view.named("default", "x") == "j-1"
    assert story.view.named("other", "x") == "j-2"
    assert story.view.named("default", "y") is None


def test_an_alias_leads_to_the_job_that_bears_the_name():
    story = Story()
    story.tell(Alias(alias_of=JobID("mine"), namespace="default", name="x"))
    assert story.view.named("default", "x") is None, "the job is not written yet"
    assert story.view.named("default", "y") is None
    story.tell(a_job("mine", name="x"))
    assert story.view.named("default", "x") == "mine"
    story.purge("mine")
    assert story.view.named("default", "x") is None
    story.tell(a_job("mine", name="z"))
    assert story.view.named("default", "x") is None, "the id bears another name by now"
    story.purge(named_job_id("default", "x"))
    assert story.view.aliases == {}


def test_a_name_that_was_given_again_survives_the_purge_of_its_first_bearer():
    story = Story()
    story.tell(a_job("j-1", name="x"), a_job("j-2", name="x"))
    story.purge("j-1")
    assert story.view.named("default", "x") == "j-2"


def test_a_settled_job_that_is_written_again_comes_back_whole():
    story = Story()
    finished(story, "j-1")
    story.view.tidy()
    story.tell(a_job("j-1", version=2))
    job = story.job()
    assert (job.state, sorted(job.versions)) == (JobState.PENDING, [1, 2])
    assert job.state_of_version(1) is JobState.COMPLETED
    assert len(story.view) == 1
    assert story.view.tidy() == 0


def test_tidying_up_stops_at_its_limit():
    story = Story()
    for number in range(5):
        finished(story, f"j-{number}")
    assert [story.view.tidy(2) for _ in range(4)] == [2, 2, 1, 0]


def test_a_stream_made_anew_is_folded_from_nothing():
    story = Story()
    finished(story, "j-1")
    story.view.tidy()
    spec = a_job("j-2")
    story.tell(spec, an_execution(spec), a_node("n1"), Alias(namespace="a", name="b"))
    story.view.clear()
    assert story.view == View()


def test_executions_are_known_only_of_unfinished_jobs():
    story = Story()
    spec = a_job()
    desired = an_execution(spec)
    story.tell(spec, desired)
    assert story.view.execution(spec.id, desired.execution_id).state is ExecutionState.ASSIGNED
    assert story.view.execution(JobID("j-9"), desired.execution_id) is None


@pytest.mark.parametrize("kind", [Kind.DESIRED, Kind.OBSERVED, Kind.WAITING, Kind.MEMBERSHIP])
def test_purges_of_parts_change_nothing_by_themselves(kind):
    story = Story()
    finished(story, "j-1")
    before = states(story.view)
    story.view.apply(Fact(Key(kind, "j-1", "1"), story.stream.seq + 1, 1, None))
    assert states(story.view) == before


def test_a_purge_of_a_job_nobody_knows_is_no_error():
    story = Story()
    story.purge("j-9")
    assert len(story.view) == 0


def test_records_that_outlive_their_purged_job_stay_in_sight_until_they_are_removed():
    """Whoever starts after the tombstone meets them, and clears them away."""
    story = Story()
    story.tell(seen(an_execution(a_job())))
    story.purge("j-1")
    assert not story.view.unfinished[JobID("j-1")].known
    assert len(story.view) == 0
    assert story.view.job("j-1") is None


# --- nodes -----------------------------------------------------------------------------------------


def test_a_node_is_first_seen_once_and_last_seen_with_each_report():
    story = Story(now=100)
    story.tell(a_node("n1"))
    story.now = 200
    story.tell(a_node("n1", draining=True))
    node = story.view.nodes[NodeID("n1")]
    assert (node.first_seen, node.last_report) == (int(100e9), int(200e9))
    assert node.report.draining
    assert node.approval is None


def test_a_deleted_node_is_back_when_it_reports_again():
    story = Story()
    story.tell(a_node("n1"), Membership(node_id=NodeID("n1"), approval=Approval.REJECTED, deleted=True))
    node = story.view.nodes[NodeID("n1")]
    assert node.deleted
    assert node.approval is Approval.REJECTED
    story.tell(a_node("n1"))
    assert not node.deleted


def test_a_purged_report_takes_the_node_away():
    story = Story()
    changed = story.view.apply(Fact(report_key("n1"), 1, 1, a_node("n1")))
    assert isinstance(changed, NodeView)
    story.view.apply(Fact(report_key("n1"), 2, 1, None))
    assert story.view.nodes == {}


def test_what_a_fact_changed_is_told():
    story = Story()
    changed = []
    story.stream.listeners[:] = [lambda fact: changed.append(story.view.apply(fact))]
    story.tell(a_job(), Waiting(job_id=JobID("j-1")), Alias(namespace="a", name="b"))
    assert changed == [story.view.unfinished[JobID("j-1")]] * 2 + [None]


def test_a_purged_job_is_remembered_until_too_many_others_were(monkeypatch):
    monkeypatch.setattr("bacalhau_nats.domain.view._PURGED_AT_MOST", 2)
    story = Story()
    for job_id in ("j-1", "j-2", "j-3"):
        story.tell(a_job(job_id), Conclusion(job_id=JobID(job_id), state=JobState.COMPLETED))
        story.purge(job_id)
    assert list(story.view.purged) == ["j-2", "j-3"]
    _, held = story.view.purged["j-3"]
    assert held.unfold().state is JobState.COMPLETED
    story.view.clear()
    assert story.view.purged == {}
