"""A job that was submitted, or is there: everything that can be done with it."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from bacalhau_nats.client.download import Progress
from bacalhau_nats.client.results import Downloaded
from bacalhau_nats.client.wire import Execution, HistoryItem, Job, Submission, job_state, why_failed
from bacalhau_nats.errors import JobFailed

if TYPE_CHECKING:
    from bacalhau_nats.client.client import Client
    from bacalhau_nats.client.logs import LogLine
    from bacalhau_nats.domain.job import JobState
    from bacalhau_nats.domain.spec import JobSpec


class Status(NamedTuple):
    """Where a job is (`JobState`), and what the server says about it."""

    state: JobState
    message: str

    @property
    def over(self) -> bool:
        """Say whether the job has ended."""
        return self.state in ("Completed", "Failed", "Stopped")


class JobHandle:
    """One job of a server, by id or name; it holds no connection of its own.

    ``version`` is the version that was submitted, 0 stands for the latest. ``info`` is the job as the server
    last showed it, empty before the first look. What a method raises is told at `Client`.
    """

    def __init__(
        self, client: Client, sent: Submission, *, namespace: str = "", info: Job | None = None
    ) -> None:
        self.job_id = sent.job_id
        self.evaluation_id = sent.evaluation_id
        self.warnings = sent.warnings
        self.version = sent.version
        self.info: Job = info or {}
        self._client = client
        self._namespace = namespace

    @property
    def id(self) -> str:
        """The job's id, or the name it was asked for by."""
        return self.job_id

    def __repr__(self) -> str:
        state = f" {job_state(self.info)}" if self.info else ""
        return f"<Job {self.info.get('ID') or self.job_id}{state}>"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, JobHandle):
            return NotImplemented
        return (self.job_id, self.version) == (other.job_id, other.version)

    def __hash__(self) -> int:
        return hash((self.job_id, self.version))

    async def look(self) -> Job:
        """Look at the job now."""
        found = await self._client.get(self.job_id, version=self.version, namespace=self._namespace)
        self.info = found["Job"]
        return self.info

    async def spec(self) -> JobSpec:
        """Give what was wished for, the server's defaults filled in."""
        from bacalhau_nats.client import jobs  # noqa: PLC0415 - most commands need none

        return jobs.spec_of(await self.look())

    async def status(self) -> Status:
        """Say where the job is."""
        return _status(await self.look())

    async def wait(
        self,
        *,
        timeout: float | None = None,  # noqa: ASYNC109 - callers in a notebook want a number
        check: bool = True,
    ) -> Status:
        """Wait until the job is over.

        Raises JobFailed when it failed or was stopped, unless ``check`` is off, and BusTimeout when it is not
        over after ``timeout`` seconds; it goes on then. A program that ends with a code other than 0 does not
        fail its job: see `executions`.
        """
        self.info = await self._client.wait(
            self.job_id, timeout=timeout, version=self.version, namespace=self._namespace
        )
        status = _status(self.info)
        if check and status.state != "Completed":
            raise JobFailed(
                f"job {self.job_id} {'failed' if status.state == 'Failed' else 'was stopped'}: "
                f"{why_failed(self.info, await self.executions())}",
                hint="its events tell the whole story",
                JobID=self.job_id,
                State=str(status.state),
            )
        return status

    def logs(
        self,
        *,
        execution_id: str = "",
        follow: bool = False,
        tail: bool = False,
        every: bool = False,
        since: str = "",
        from_seq: int = 0,
    ) -> AsyncGenerator[LogLine, None]:
        """Read what an execution printed (the newest, unless one is named), piece by piece.

        ``follow`` waits for the execution and goes on until it ends, through a restart of the server, too;
        ``tail`` leaves out what was printed before. ``every`` reads all executions of the version; the lines
        tell whose they are. ``since`` is a time (``5m`` ago, unix seconds, RFC 3339), ``from_seq`` the ``seq``
        of a line. Raises UserError when the server knows none of the last three: a public one.
        """
        return self._client.logs(
            self.job_id,
            execution_id=execution_id,
            follow=follow,
            tail=tail,
            every=every,
            since=since,
            from_seq=from_seq,
            version=self.version,
            namespace=self._namespace,
        )

    def events(self) -> AsyncIterator[HistoryItem]:
        """Give each event from the first on, as it happens; ends when the job is over and all were given.

        A server that is restarted meanwhile is waited for, and no event is given twice.
        """
        return self._client.follow(self.job_id, version=self.version, namespace=self._namespace)

    async def executions(self) -> list[Execution]:
        """List its executions, oldest first."""
        page = await self._client.executions(self.job_id, version=self.version, namespace=self._namespace)
        return page["Items"]

    async def results(
        self,
        into: Path | str,
        *,
        path: str = "",
        raw: bool = False,
        replace: bool = False,
        ipfs: str = "",
        environ: Mapping[str, str] | None = None,
        on_progress: Callable[[Progress], None] = lambda _: None,
    ) -> Downloaded:
        """Fetch the results into the folder ``into``, which is made when it is missing.

        Those of several executions are put together: stdout, stderr and exitCode one after the other in the
        order of the partitions, a file that several have below a folder of each. ``path`` fetches one file or
        folder, ``raw`` keeps the archives packed. Doing it again is safe. ``ipfs`` is the address of an IPFS node for
        results that are there, ``environ`` leads to AWS credentials for those in buckets that the server has not
        signed: the environment of this process unless it is given. Raises NotFound when no result has ``path``,
        Conflict when a different file is in the way and ``replace`` is off.
        """
        return await self._client.download(
            self.job_id,
            Path(into),
            path=path,
            raw=raw,
            replace=replace,
            namespace=self._namespace,
            ipfs=ipfs,
            environ=environ,
            on_progress=on_progress,
        )

    async def stop(self, reason: str = "Stopped at user request") -> None:
        """Ask for the job to end; `wait` waits for it."""
        await self._client.stop(self.job_id, reason=reason, namespace=self._namespace)

    async def rerun(self) -> JobHandle:
        """Run this version again, as a new version; gives the job under that version."""
        return await self._client.rerun(self.job_id, version=self.version, namespace=self._namespace)


def _status(job: Job) -> Status:
    from bacalhau_nats.domain.job import JobState  # noqa: PLC0415 - the models take 60 ms to load

    return Status(JobState(job_state(job)), str(job.get("State", {}).get("Message") or ""))
