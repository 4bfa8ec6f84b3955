"""May we try again, and when: by what the attempts of one slot came to."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bacalhau_nats.domain.retry import Answer, RetryPolicy, counts, decide, lost
from tests.support.builders import NOW, Story, a_job, an_execution
from tests.support.planning import live

POLICY = RetryPolicy(max_attempts=3, max_losses=5, backoff=1.0, backoff_limit=4.0)


def attempts(*lives, at=NOW):
    """The ended attempts of one slot, all of which ended at ``at``."""
    story, spec = Story(at), a_job()
    story.tell(spec)
    for attempt, life in enumerate(lives):
        desired = an_execution(spec, attempt=attempt)
        story.tell(desired)
        live(story, desired, life)
    return list(story.job().executions.values())


@pytest.mark.parametrize(
    ("lives", "answer"),
    [
        ([], Answer.NOW),
        (["declined"] * 2, Answer.NOW),
        (["declined"] * 9, Answer.LATER),
        (["failed"], Answer.LATER),
        (["failed", "failed"], Answer.LATER),
        (["failed"] * 3, Answer.NEVER),
        (["failed", "declined", "failed", "declined"], Answer.LATER),
        (["hopeless"], Answer.NEVER),
        (["lost"], Answer.NOW),
        (["restarted"] * 4, Answer.NOW),
        (["lost"] * 5, Answer.NEVER),
        (["lost", "restarted", "lost", "restarted", "lost"], Answer.NEVER),
        (["failed", "lost"], Answer.NOW),
        (["failed", "lost", "failed", "lost", "failed"], Answer.NEVER),
        (["lost", "failed"], Answer.LATER),
    ],
)
def test_what_follows_these_attempts(lives, answer):
    assert decide(attempts(*lives), POLICY, NOW, endless=False).answer is answer


@pytest.mark.parametrize(
    ("lives", "answer"),
    [
        (["failed"] * 9, Answer.LATER),
        (["completed"] * 9, Answer.LATER),
        (["hopeless"], Answer.NEVER),
        (["lost"] * 5, Answer.NEVER),
    ],
)
def test_an_endless_job_never_gives_up_on_exits(lives, answer):
    assert decide(attempts(*lives), POLICY, NOW, endless=True).answer is answer


@pytest.mark.parametrize(("tries", "pause"), [(1, 1), (2, 2), (3, 4), (4, 4), (60, 4)])
def test_the_pause_doubles_up_to_its_limit(tries, pause):
    ended = attempts(*["failed"] * tries)
    retry = decide(ended, POLICY, NOW, endless=True)
    assert retry.at == NOW + pause
    assert decide(ended, POLICY, NOW + pause, endless=True).answer is Answer.NOW


ends = st.lists(
    st.sampled_from(["completed", "failed", "hopeless", "restarted", "declined", "cancelled", "lost"]),
    max_size=9,
)


@given(ends, st.booleans())
def test_later_is_later_and_never_names_one_of_the_attempts(lives, endless):
    ended = attempts(*lives)
    retry = decide(ended, POLICY, NOW, endless=endless)
    if retry.answer is Answer.LATER:
        assert retry.at > NOW
    if retry.answer is Answer.NEVER:
        assert retry.cause in ended
        assert counts(retry.cause)


@given(ends)
def test_declined_assignments_change_nothing(lives):
    ended = attempts(*lives)
    tail = ended[-3:]
    if len(tail) == 3 and not any(counts(e) for e in tail):
        assert decide(ended, POLICY, NOW, endless=False).answer is Answer.LATER, "no room three times: wait"
        return
    tries = [e for e in ended if counts(e)]
    assert decide(ended, POLICY, NOW, endless=False) == decide(tries, POLICY, NOW, endless=False)


def test_what_counts_and_what_is_the_nodes_fault():
    lives = ["assigned", "completed", "failed", "restarted", "declined", "cancelled", "lost"]
    found = attempts(*lives)
    assert [counts(e) for e in found] == [False, True, True, True, False, True, True]
    assert [lost(e) for e in found] == [False, False, False, True, False, True, True]
