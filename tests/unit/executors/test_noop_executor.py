"""The noop engine does what its parameters say."""

import pytest

from bacalhau_nats.domain.execution import Reason
from bacalhau_nats.domain.ids import ExecutionID
from bacalhau_nats.domain.spec import SpecConfig
from bacalhau_nats.executors.noop import NoopExecutor
from bacalhau_nats.ports import WorkFailed
from bacalhau_nats.testing.engine import Program, RecordingSink, make_work


def noop(folder, **params):
    return make_work(Program(SpecConfig(type="noop", params=params)), folder)


async def test_without_parameters_it_ends_well_and_silently(tmp_path):
    logs = RecordingSink()
    outcome = await NoopExecutor().run(noop(tmp_path), logs)
    assert (outcome.exit_code, outcome.failure, logs.arrivals) == (0, None, [])


async def test_it_prints_before_it_fails(tmp_path):
    logs = RecordingSink()
    with pytest.raises(WorkFailed, match="disk on fire"):
        await NoopExecutor().run(noop(tmp_path, output="so far so good", FAIL="disk on fire"), logs)
    assert logs.stdout == b"so far so good"


@pytest.mark.parametrize("params", [{"Sleep": "long"}, {"Sleep": -1}, {"ExitCode": True}])
async def test_a_parameter_that_is_no_number_is_the_jobs_mistake(tmp_path, params):
    with pytest.raises(WorkFailed, match=f"{next(iter(params))} must be a number") as caught:
        await NoopExecutor().run(noop(tmp_path, **params), RecordingSink())
    assert caught.value.failure.reason is Reason.INVALID
    assert not caught.value.failure.retryable


async def test_it_never_has_anything_to_attach_to_or_sweep(tmp_path):
    executor = NoopExecutor()
    assert await executor.attach(noop(tmp_path), RecordingSink(), seen={}) is None
    assert await executor.sweep([ExecutionID("e-1")]) == 0
