"""The public API, one method per endpoint, in its own JSON; `Client` makes more of it."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Self, Unpack, cast
from urllib.parse import quote
from uuid import uuid4

from bacalhau_nats import __version__
from bacalhau_nats.client import logs, own_keys, watch
from bacalhau_nats.client.download import Progress
from bacalhau_nats.client.located import order
from bacalhau_nats.client.logs import LogLine, LogQuery
from bacalhau_nats.client.results import Downloaded, Wanted, fetch
from bacalhau_nats.client.transport import BrokenOff, Transport
from bacalhau_nats.client.wire import (
    JOBS,
    Execution,
    HistoryItem,
    Job,
    JobDetails,
    Listing,
    Node,
    Page,
    PublishedResult,
    Submission,
    job_path,
    page_of,
    submission_of,
)
from bacalhau_nats.errors import BusTimeout, Conflict, UserError

_NODES = "/api/v1/orchestrator/nodes"
_AGENT = "/api/v1/agent"
_TRIES = 3


class Api:
    """The endpoints of one server. What they raise, and how to connect, is told by `Client`."""

    def __init__(
        self,
        base_url: str,
        *,
        token: str = "",
        basic: tuple[str, str] | None = None,
        timeout: float = 30.0,
        verify: bool | str = True,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        if not base_url.startswith(("http://", "https://")):
            said = f"{base_url!r} is not an address of a server"
            raise UserError(said, hint="write it as http://host:port")
        sent = {"User-Agent": f"bacalhau-nats/{__version__}", **(headers or {})}
        if token:
            sent["Authorization"] = f"Bearer {token}"
        elif basic:
            sent["Authorization"] = "Basic " + base64.b64encode(":".join(basic).encode()).decode()
        self._http = Transport(base_url, headers=sent, timeout=timeout, verify=verify)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    @property
    def base_url(self) -> str:
        """The server's address."""
        return self._http.base_url

    # --- jobs: writes -------------------------------------------------------------------------------

    async def put_job(self, job: Job, *, force: bool = False, token: str = "") -> Submission:
        """Submit a job, or the next version of the job of that name.

        ``force`` makes a new version even when nothing changed. ``token`` makes repeating harmless: an
        unnamed job submitted twice with one token is one job. A fresh one is drawn when none is given, and
        such a job is sent again by itself when the connection breaks off before the answer.
        """
        body = {"Job": job, "Force": force, "IdempotencyToken": token or str(uuid4())}
        tries = 1 if job.get("Name") else _TRIES
        for left in reversed(range(tries)):
            try:
                return submission_of(await self._http.json("PUT", JOBS, body=body))
            except BrokenOff:
                if not left:
                    raise
        raise AssertionError("unreachable")

    async def diff(self, job: Job) -> str:
        """Give the difference between ``job`` and the stored job of its name, as text; empty when equal."""
        found = await self._http.json("PUT", f"{JOBS}/diff", body={"Job": job})
        return str(found.get("Diff") or "")

    async def put_rerun(self, job: str, *, version: int = 0, namespace: str = "") -> Submission:
        """Run a version of a finished or running job again (0: the latest), as a new version."""
        body = {"JobVersion": version, "Namespace": namespace, "IdempotencyToken": str(uuid4())}
        return submission_of(await self._http.json("PUT", job_path(job, "/rerun"), body=body))

    async def stop(self, job: str, *, reason: str = "Stopped at user request", namespace: str = "") -> str:
        """Ask for a job to end; give the id of the evaluation that will see to it."""
        body: dict[str, str] = {"reason": reason, "IdempotencyToken": str(uuid4())}
        if namespace:
            body["Namespace"] = namespace
        found = await self._http.json("DELETE", job_path(job), body=body)
        return str(found.get("EvaluationID") or "")

    # --- jobs: reads --------------------------------------------------------------------------------

    async def get(
        self, job: str, *, version: int = 0, include: Sequence[str] = (), namespace: str = ""
    ) -> JobDetails:
        """Look at a job by name, id or unique beginning of its id.

        ``include`` may name ``history`` (its first 100 items) and ``executions``.
        """
        query = {"include": ",".join(include), "job_version": version, "namespace": namespace}
        return cast("JobDetails", await self._http.json("GET", job_path(job), query=query))

    async def list_jobs(
        self,
        *,
        labels: str = "",
        namespace: str = "",
        **listing: Unpack[Listing],
    ) -> Page[Job]:
        """List jobs, oldest first; ``labels`` is a selector such as ``env=prod,tier in (a,b)``."""
        query = {"labels": labels, "namespace": namespace, **listing}
        return page_of(await self._http.json("GET", JOBS, query=query))

    async def executions(
        self,
        job: str,
        *,
        version: int = 0,
        all_versions: bool = False,
        namespace: str = "",
        **listing: Unpack[Listing],
    ) -> Page[Execution]:
        """List the executions of a job's latest version, oldest first; ``limit`` 0 means all."""
        query = {"job_version": version, "all_job_versions": all_versions, "namespace": namespace, **listing}
        return page_of(await self._http.json("GET", job_path(job, "/executions"), query=query))

    async def history(
        self,
        job: str,
        *,
        event_type: str = "all",
        execution_id: str = "",
        version: int = 0,
        all_versions: bool = False,
        namespace: str = "",
        **listing: Unpack[Listing],
    ) -> Page[HistoryItem]:
        """Read part of a job's history; the token stays until the job is over and all was read."""
        query = {
            "event_type": event_type,
            "execution_id": execution_id,
            "job_version": version,
            "all_job_versions": all_versions,
            "namespace": namespace,
            **listing,
        }
        return page_of(await self._http.json("GET", job_path(job, "/history"), query=query))

    def follow(self, job: str, *, version: int = 0, namespace: str = "") -> AsyncIterator[HistoryItem]:
        """Give each event of a job as it happens; ends when the job is over.

        The server is asked quickly at first, then twice a second, and may be away for some seconds.
        """
        return watch.events(
            lambda token: self.history(
                job, version=version, namespace=namespace, next_token=token, limit=watch.PAGE
            )
        )

    async def wait(
        self,
        job: str,
        *,
        timeout: float | None = None,  # noqa: ASYNC109 - callers in a notebook want a number
        version: int = 0,
        namespace: str = "",
    ) -> Job:
        """Wait until a job is over and give it. Raises BusTimeout after ``timeout`` seconds."""

        async def look() -> Job:
            return (await self.get(job, version=version, namespace=namespace))["Job"]

        try:
            async with asyncio.timeout(timeout):
                return await watch.end(look)
        except TimeoutError:
            raise BusTimeout(f"job {job} is not over after {timeout:g} s", hint="it goes on") from None

    async def versions(self, job: str, *, namespace: str = "") -> Page[Job]:
        """List every version of a job, first to last."""
        query = {"namespace": namespace}
        return page_of(await self._http.json("GET", job_path(job, "/versions"), query=query))

    async def explain(self, job: str, *, version: int = 0, namespace: str = "") -> dict[str, Any]:
        """Ask of each node why it did or did not get the job; a public server does not know."""
        query = {"job_version": version, "namespace": namespace}
        return await self._http.json("GET", job_path(job, "/explain"), query=query)

    async def results(self, job: str, *, namespace: str = "") -> list[PublishedResult]:
        """Say where the results of a job's completed executions are."""
        found = await self._http.json("GET", job_path(job, "/results"), query={"namespace": namespace})
        return list(found.get("Items") or [])

    def logs(self, job: str, **asked: Unpack[LogQuery]) -> AsyncGenerator[LogLine, None]:
        """Read what an execution printed (the newest, unless one is named), piece by piece; see `LogQuery`."""
        return logs.read(self._http, job_path(job, "/logs"), asked)

    async def download(
        self,
        job: str,
        into: Path,
        *,
        path: str = "",
        raw: bool = False,
        replace: bool = False,
        namespace: str = "",
        ipfs: str = "",
        on_progress: Callable[[Progress], None] = lambda _: None,
        environ: Mapping[str, str] | None = None,
    ) -> Downloaded:
        """Fetch a job's results into the folder ``into``; see `results.fetch`.

        ``ipfs`` is the address of an IPFS node for results that are there, ``environ`` leads to AWS credentials
        for results in buckets that the server has not signed: the environment of this process unless it is given.
        """
        env = own_keys.given_or_own(environ)
        items = await own_keys.sign(await self.results(job, namespace=namespace), env)
        placed = (await self.executions(job, namespace=namespace))["Items"] if items else []
        wanted = Wanted(into=into, path=path, raw=raw, replace=replace, ipfs=ipfs, environ=env)
        return await fetch(self._http, order(items, placed), wanted, on_progress)

    # --- nodes and the server itself ------------------------------------------------------------------

    async def nodes(
        self, *, labels: str = "", approval: str = "", status: str = "", **listing: Unpack[Listing]
    ) -> list[Node]:
        """List the nodes the server knows."""
        query = {"labels": labels, "filter-approval": approval, "filter-status": status, **listing}
        return list((await self._http.json("GET", _NODES, query=query)).get("Nodes") or [])

    async def node(self, node: str) -> Node:
        """Look at one node by id or unique beginning of it."""
        found = await self._http.json("GET", f"{_NODES}/{quote(node, safe='')}")
        return cast("Node", found["Node"])

    async def decide(
        self, node: str, action: str, *, message: str = "", ignore_daemons: bool = False
    ) -> None:
        """``approve``, ``reject``, ``delete``, ``cordon``, ``uncordon`` or ``drain`` a node.

        Raises Conflict when that was decided before, or with the server's reason when it did not do it.
        """
        body: dict[str, Any] = {"Action": action, "Message": message, "NodeID": node}
        if ignore_daemons:
            body["IgnoreDaemons"] = True
        found = await self._http.json("PUT", f"{_NODES}/{quote(node, safe='')}", body=body)
        if not found.get("Success"):
            raise Conflict(str(found.get("Error") or f"the server did not {action} node {node}"))

    async def alive(self) -> dict[str, Any]:
        """Ask whether the server is there."""
        return await self._http.json("GET", f"{_AGENT}/alive")

    async def agent_version(self) -> dict[str, Any]:
        """Ask which version the server runs."""
        return await self._http.json("GET", f"{_AGENT}/version")

    async def agent_node(self) -> dict[str, Any]:
        """Ask what node the server is."""
        return await self._http.json("GET", f"{_AGENT}/node")

    async def agent_config(self) -> dict[str, Any]:
        """Read the server's settings, secrets masked."""
        return cast("dict[str, Any]", (await self._http.json("GET", f"{_AGENT}/config")).get("config") or {})
