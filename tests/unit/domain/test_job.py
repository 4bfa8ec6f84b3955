"""The state of a job is derived from its executions, its conclusion and its wish."""

import pytest

from bacalhau_nats.domain.execution import ExecutionState
from bacalhau_nats.domain.job import RERUNNABLE, TERMINAL, Conclusion, JobState, job_state
from bacalhau_nats.domain.spec import StopRequest
from tests.support.builders import a_job

_E, _J = ExecutionState, JobState
FAILED = Conclusion(state=_J.FAILED)


@pytest.mark.parametrize(
    ("executions", "conclusion", "waiting", "stopped", "state"),
    [
        ([], None, False, False, _J.PENDING),
        ([], None, True, False, _J.QUEUED),
        ([_E.DECLINED], None, False, False, _J.PENDING),
        ([_E.DECLINED], None, True, False, _J.QUEUED),
        ([_E.ASSIGNED], None, True, False, _J.RUNNING),
        ([_E.FAILED], None, True, False, _J.RUNNING),
        ([_E.COMPLETED], None, False, False, _J.RUNNING),
        ([_E.RUNNING], None, False, True, _J.STOPPED),
        ([], None, True, True, _J.STOPPED),
        ([_E.RUNNING], FAILED, True, True, _J.FAILED),
    ],
)
def test_state_of_a_job(executions, conclusion, waiting, stopped, state):
    spec = a_job(stop=StopRequest() if stopped else None)
    assert job_state(spec, executions, conclusion, waiting=waiting) is state


def test_a_job_may_be_rerun_when_it_runs_or_is_over():
    assert TERMINAL | {_J.RUNNING} == RERUNNABLE
