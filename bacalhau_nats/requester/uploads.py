"""Answer a node that asks where the results of an execution may go: to a bucket that the orchestrator owns."""

from __future__ import annotations

from bacalhau_nats.clients.s3_signing import ResultSigner
from bacalhau_nats.domain.jobview import ExecutionView
from bacalhau_nats.domain.view import View
from bacalhau_nats.errors import Forbidden, NotFound
from bacalhau_nats.messages import UploadTo, WhereToUpload
from bacalhau_nats.ports import Records, Sight

_VIEW_PATIENCE = 3.0


class Uploads:
    """Signs URLs for the executions that are wanted of whoever asks."""

    def __init__(self, view: View, sight: Sight, records: Records, signer: ResultSigner) -> None:
        self._view, self._sight, self._records = view, sight, records
        self._signer = signer

    async def answer(self, question: WhereToUpload) -> UploadTo:
        """Give a URL. Raises Forbidden, NotFound, InvalidSettings (no bucket, no credentials) or Unavailable.

        The node is believed when it says who it is, as with all it asks; but a URL is signed only for an
        execution that runs on that node now, so that what is published once is not written over later.
        """
        if not question.execution_id:
            await self._signer.must_manage()
            return UploadTo()
        one = self._find(question)
        if one is None:
            await self._sight.reached(await self._records.last_seq(), _VIEW_PATIENCE)
            one = self._find(question)
        if one is None:
            raise NotFound(f"there is no execution {question.execution_id} of job {question.job_id}")
        if one.node_id != question.node_id or not one.wanted:
            raise Forbidden(f"execution {one.id} is not wanted of node {question.node_id} any more")
        return UploadTo(url=await self._signer.upload_url(question.job_id, question.execution_id))

    def _find(self, question: WhereToUpload) -> ExecutionView | None:
        return self._view.execution(question.job_id, question.execution_id)
