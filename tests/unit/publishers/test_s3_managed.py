"""A node offers the publisher `s3managed` exactly while an orchestrator has a bucket for it."""

import pytest

from bacalhau_nats.clients.denied import DeniedNetworks
from bacalhau_nats.clients.s3 import S3Clients
from bacalhau_nats.domain.execution import Reason
from bacalhau_nats.domain.spec import SpecConfig
from bacalhau_nats.errors import BusTimeout, Forbidden, InvalidSettings, NoResponders, NotFound
from bacalhau_nats.ports import WorkFailed
from bacalhau_nats.publishers.s3_managed import S3ManagedPublisher
from bacalhau_nats.testing.publishers import a_work


class Orchestrator:
    """Answers as told; counts the questions."""

    def __init__(self):
        self.now = 0.0
        self.answer = "http://127.0.0.1:1/b/k?signed"
        self.asked = 0

    async def ask(self, job, execution):
        self.asked += 1
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


@pytest.fixture
def orchestrator():
    return Orchestrator()


@pytest.fixture
def publisher(orchestrator, tmp_path):
    clients = S3Clients({}, DeniedNetworks())
    yield S3ManagedPublisher(
        clients, orchestrator.ask, tmp_path / "drafts", wait=0.001, monotonic=lambda: orchestrator.now
    )
    clients.close()


async def test_where_there_is_a_bucket_it_is_asked_for_now_and_then(publisher, orchestrator):
    assert (await publisher.check()).ok
    orchestrator.now = 29
    assert (await publisher.check()).ok
    assert orchestrator.asked == 1
    orchestrator.now = 31
    await publisher.check()
    assert orchestrator.asked == 2


@pytest.mark.parametrize("silence", [NoResponders(), BusTimeout()])
async def test_an_orchestrator_that_restarts_is_forgiven_and_one_that_is_gone_is_not(
    silence, publisher, orchestrator
):
    assert (await publisher.check()).ok
    orchestrator.answer = silence
    orchestrator.now = 40
    assert (await publisher.check()).ok
    orchestrator.now = 70
    health = await publisher.check()
    assert (health.ok, health.configured) == (False, False)
    assert "S3Managed.Bucket" in health.why
    orchestrator.answer = ""
    assert (await publisher.check()).ok


@pytest.mark.parametrize(
    ("error", "configured"), [(InvalidSettings("no bucket"), False), (Forbidden("not allowed"), True)]
)
async def test_a_refusal_is_the_reason(error, configured, publisher, orchestrator):
    orchestrator.answer = error
    health = await publisher.check()
    assert (health.ok, health.why, health.configured) == (False, error.message, configured)
    orchestrator.answer = ""
    assert (await publisher.check()).ok


@pytest.mark.parametrize(
    ("error", "tries", "retryable"),
    [(NoResponders("nobody"), 5, True), (NotFound("no such execution"), 1, False)],
)
async def test_who_gets_no_url_says_why(error, tries, retryable, publisher, orchestrator, tmp_path):
    orchestrator.answer = error
    (tmp_path / "results").mkdir()
    with pytest.raises(WorkFailed, match=error.message) as caught:
        await publisher.publish(a_work("e-1"), tmp_path / "results", SpecConfig())
    failure = caught.value.failure
    assert (failure.reason, failure.retryable) == (Reason.PUBLISH, retryable)
    assert orchestrator.asked == tries
    assert not list((tmp_path / "drafts").iterdir())
