"""Who signs results in S3 buckets, and how a compute node asks for it."""

from __future__ import annotations

import os
from contextlib import AsyncExitStack

from bacalhau_nats.clients.denied import DeniedNetworks
from bacalhau_nats.clients.s3 import S3Clients
from bacalhau_nats.clients.s3_signing import ResultSigner
from bacalhau_nats.domain.ids import ExecutionID, JobID, NodeID
from bacalhau_nats.messages import UploadTo, WhereToUpload
from bacalhau_nats.messaging.bus import Bus
from bacalhau_nats.messaging.subjects import UPLOAD
from bacalhau_nats.node import slices
from bacalhau_nats.ports import UploadURL
from bacalhau_nats.settings import Settings

_ASK_SECONDS = 10.0
_SIGN_SECONDS = 5.0


def result_signer(settings: Settings, stack: AsyncExitStack) -> ResultSigner:
    """Make the signer of an orchestrator; ``stack`` closes it."""
    denied = DeniedNetworks(settings.input_sources.types.url.denied_networks)
    clients = S3Clients(
        os.environ,  # noqa: TID251 - where every AWS client finds its credentials
        denied,
        read_timeout=_SIGN_SECONDS,
    )
    stack.callback(clients.close)
    return ResultSigner(clients, slices.signing(settings))


def upload_url(bus: Bus, me: NodeID) -> UploadURL:
    """Give the function by which a node asks where results may go."""

    async def ask(job: JobID, execution: ExecutionID) -> str:
        question = WhereToUpload(node_id=me, job_id=job, execution_id=execution)
        answer = await bus.ask(UPLOAD(cell=bus.cell.name), question, UploadTo, timeout=_ASK_SECONDS)
        return answer.url

    return ask
