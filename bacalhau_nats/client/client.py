"""The client: submit jobs, find them, look at nodes."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bacalhau_nats.client import environment, own_keys
from bacalhau_nats.client.api import Api
from bacalhau_nats.client.handle import JobHandle
from bacalhau_nats.client.located import order
from bacalhau_nats.client.results import manifests
from bacalhau_nats.client.wire import Submission
from bacalhau_nats.errors import UserError

if TYPE_CHECKING:
    from bacalhau_nats.client.verify import Verification
    from bacalhau_nats.domain.manifest import Manifest
    from bacalhau_nats.domain.spec import JobSpec

_PAGE = 100


class Client(Api):
    """A caller of one server, to be used as an async context manager or closed with `aclose`.

    Without ``base_url`` the environment says which server and with which credentials, see `environment`. With
    one, ``token`` is sent as a bearer, ``basic`` is (user, password). ``timeout`` is seconds for one answer;
    ``verify`` is False, or a file of certificates to trust, for https.

    Every method raises NotFound, InvalidSpec, Conflict, Forbidden or another `BacalhauError` with the server's
    own ``message`` and ``hint``, and Unavailable when no server answers.
    """

    def __init__(
        self,
        base_url: str = "",
        *,
        token: str = "",
        basic: tuple[str, str] | None = None,
        timeout: float = 30.0,
        verify: bool | str = True,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        if not base_url:
            environ = os.environ  # noqa: TID251 - the one place where the library reads it, when asked to
            base_url = environment.address(environ)
            if not token and not basic:
                token, basic = environment.credentials(environ)
        super().__init__(base_url, token=token, basic=basic, timeout=timeout, verify=verify, headers=headers)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.base_url}>"

    async def submit(
        self,
        job: JobSpec | Mapping[str, Any] | Path | str | None = None,
        /,
        *,
        force: bool = False,
        token: str = "",
        **fields: Any,
    ) -> JobHandle:
        """Submit a job, or the next version of the job of that name.

        ``job`` is a spec (`docker` and `wasm` make the common ones), the API's JSON, or the name of a YAML or
        JSON file. ``fields`` are fields of JobSpec which go before those of ``job``, or make the whole job.

        ``force`` makes a new version even when nothing changed. ``token`` makes repeating harmless: an
        unnamed job submitted twice with one token is one job. A fresh one is drawn when none is given, and
        such a job is sent again by itself when the connection breaks off before the answer. Raises InvalidSpec,
        whose ``field`` says where the fault is when it is in one place.
        """
        from bacalhau_nats.client import jobs  # noqa: PLC0415 - most commands submit nothing

        wire = jobs.wire_of(job, fields)
        try:
            return JobHandle(self, await self.put_job(wire, force=force, token=token))
        except UserError as error:
            raise jobs.explained(error, wire) from error

    async def rerun(self, job: str, *, version: int = 0, namespace: str = "") -> JobHandle:
        """Run a version of a finished or running job again (0: the latest), as a new version."""
        sent = await self.put_rerun(job, version=version, namespace=namespace)
        return JobHandle(self, sent, namespace=namespace)

    def job(self, job: str, *, version: int = 0, namespace: str = "") -> JobHandle:
        """Give the job of this name, id or unique beginning of its id; the server is not asked yet."""
        return JobHandle(self, Submission(job, "", (), version), namespace=namespace)

    async def jobs(
        self,
        *,
        labels: str | Mapping[str, str] = "",
        namespace: str = "",
        order_by: str = "",
        reverse: bool = False,
    ) -> AsyncIterator[JobHandle]:
        """Give all jobs, oldest first, page by page as they are taken.

        ``labels`` is a selector such as ``env=prod,tier in (a,b)``, or labels that must be equal.
        """
        selector = labels if isinstance(labels, str) else ",".join(f"{k}={v}" for k, v in labels.items())
        token = ""
        while True:
            page = await self.list_jobs(
                labels=selector,
                namespace=namespace,
                limit=_PAGE,
                next_token=token,
                order_by=order_by,
                reverse=reverse,
            )
            for found in page["Items"]:
                sent = Submission(found.get("ID", ""), "")
                yield JobHandle(self, sent, namespace=found.get("Namespace", ""), info=found)
            token = page["NextToken"]
            if not token:
                return

    async def verify(
        self,
        job: str,
        *,
        nodes: int = 1,
        namespace: str = "",
        ipfs: str = "",
        environ: Mapping[str, str] | None = None,
        tell: Callable[[str], None] = lambda _: None,
    ) -> Verification:
        """Run a completed batch job again on ``nodes`` other nodes, one after the other, and compare.

        ``tell`` hears which run begins. A rerun that is not over when this is cancelled is stopped. ``ipfs`` and
        ``environ`` are as in `download`. Raises Conflict for a job that is not completed, UserError for one that
        is not a batch job, BacalhauError when a rerun does not complete.
        """
        from bacalhau_nats.client.verify import verify  # noqa: PLC0415 - most commands compare nothing

        return await verify(
            self, job, nodes=nodes, namespace=namespace, ipfs=ipfs, environ=environ, tell=tell
        )

    async def manifests(
        self, job: str, *, ipfs: str = "", environ: Mapping[str, str] | None = None
    ) -> dict[str, Manifest]:
        """Download a job's results and give the manifest of each by its execution; see `results.manifests`.

        ``ipfs`` and ``environ`` are as in `download`.
        """
        env = own_keys.given_or_own(environ)
        items = await own_keys.sign(await self.results(job), env)
        return await manifests(self._http, order(items, ()), ipfs=ipfs, environ=env)
