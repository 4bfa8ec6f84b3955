"""A node gets a URL for the results of what it runs, and for nothing else."""

import pytest

from bacalhau_nats.clients.denied import DeniedNetworks
from bacalhau_nats.clients.s3 import Place, S3Clients
from bacalhau_nats.clients.s3_signing import ManagedBucket, ResultSigner, SigningSettings
from bacalhau_nats.domain.execution import ExecutionState, Wish
from bacalhau_nats.domain.ids import ExecutionID, NodeID
from bacalhau_nats.errors import Forbidden, InvalidSettings, NotFound
from bacalhau_nats.messages import WhereToUpload
from bacalhau_nats.requester.uploads import Uploads
from tests.support.builders import Story, a_job, an_execution

ENV = {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "a-secret-key"}
JOB = a_job()
RUNS = an_execution(JOB)


class Late:
    """A view that has what others wrote when it is asked to wait for it."""

    def __init__(self):
        self.missing = ()
        self.story = Story()

    async def last_seq(self):
        return 7

    async def reached(self, seq, within):
        if self.missing:
            self.story.tell(*self.missing)
        return True


@pytest.fixture
def late():
    return Late()


@pytest.fixture
def ask(late, tmp_path):
    made = []

    async def asked(node="n1", execution=RUNS.execution_id, env=ENV):
        clients = S3Clients({"HOME": str(tmp_path), **env}, DeniedNetworks())
        made.append(clients)
        bucket = ManagedBucket("results", "all", Place("http://127.0.0.1:9", "eu-west-1"), expiration=60)
        uploads = Uploads(late.story.view, late, late, ResultSigner(clients, SigningSettings(managed=bucket)))
        question = WhereToUpload(node_id=NodeID(node), job_id=JOB.id, execution_id=ExecutionID(execution))
        return (await uploads.answer(question)).url

    yield asked
    for clients in made:
        clients.close()


async def test_the_node_that_runs_an_execution_gets_a_url_for_its_results(ask, late):
    late.story.tell(JOB, RUNS)
    url = await ask()
    assert url.startswith(f"http://127.0.0.1:9/results/all/{JOB.id}/{RUNS.execution_id}.tar.gz?")
    assert "X-Amz-Expires=60" in url
    assert "eu-west-1" in url
    assert "a-secret-key" not in url


async def test_an_execution_that_the_view_does_not_have_yet_is_waited_for(ask, late):
    late.missing = (JOB, RUNS)
    assert await ask()


@pytest.mark.parametrize("node", ["n2", ""])
async def test_another_node_gets_none(node, ask, late):
    late.story.tell(JOB, RUNS)
    with pytest.raises(Forbidden, match=RUNS.execution_id):
        await ask(node)


@pytest.mark.parametrize("state", [ExecutionState.COMPLETED, ExecutionState.FAILED])
async def test_what_has_ended_is_not_written_over(state, ask, late):
    late.story.tell(JOB, RUNS)
    late.story.observe(RUNS.execution_id, state)
    with pytest.raises(Forbidden):
        await ask()


async def test_what_is_to_stop_gets_none(ask, late):
    late.story.tell(JOB, RUNS, RUNS.but(wish=Wish.STOP))
    with pytest.raises(Forbidden):
        await ask()


async def test_what_nobody_knows_gets_none(ask):
    with pytest.raises(NotFound, match="e-nowhere"):
        await ask(execution="e-nowhere")


async def test_without_an_execution_it_is_only_said_whether_there_is_a_bucket(ask):
    assert await ask(execution="") == ""
    with pytest.raises(InvalidSettings, match="no AWS credentials"):
        await ask(execution="", env={})
