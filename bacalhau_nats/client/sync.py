"""The client without ``await``: the same methods under the same names, for scripts, threads and notebooks.

::

    with SyncClient() as client:
        job = client.submit(docker("busybox:1.37", "echo", "hello"))
        for line in job.logs(follow=True):
            print(line.text, end="")

Each method is that of `Client` or `JobHandle`, run on an event loop of its own thread, so it may be called while
another loop runs (as in a notebook), and by several threads at once. Ctrl-C interrupts a call.
"""

from __future__ import annotations

import functools
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Concatenate, Generic, ParamSpec, Self, TypeVar

from bacalhau_nats.client.client import Client
from bacalhau_nats.client.handle import JobHandle
from bacalhau_nats.client.thread import LoopThread

if TYPE_CHECKING:
    from bacalhau_nats.client.wire import Job
    from bacalhau_nats.domain.spec import JobSpec

P = ParamSpec("P")
T = TypeVar("T")
A_co = TypeVar("A_co", covariant=True)


class _Face(Generic[A_co]):
    """What has the methods of ``A_co`` without ``await``."""

    def __init__(self, inner: A_co, loop: LoopThread) -> None:
        self._inner = inner
        self._loop = loop


def _call(
    method: Callable[Concatenate[A_co, P], Coroutine[Any, Any, T]],
) -> Callable[Concatenate[_Face[A_co], P], T]:
    @functools.wraps(method)
    def call(self: _Face[A_co], /, *args: P.args, **kwargs: P.kwargs) -> T:
        return self._loop.run(method(self._inner, *args, **kwargs))

    return call


def _each(
    method: Callable[Concatenate[A_co, P], AsyncIterator[T]],
) -> Callable[Concatenate[_Face[A_co], P], Iterator[T]]:
    @functools.wraps(method)
    def each(self: _Face[A_co], /, *args: P.args, **kwargs: P.kwargs) -> Iterator[T]:
        return self._loop.each(method(self._inner, *args, **kwargs))

    return each


class SyncJob(_Face[JobHandle]):
    """`JobHandle` without ``await``."""

    look = _call(JobHandle.look)
    spec = _call(JobHandle.spec)
    status = _call(JobHandle.status)
    wait = _call(JobHandle.wait)
    logs = _each(JobHandle.logs)
    events = _each(JobHandle.events)
    executions = _call(JobHandle.executions)
    results = _call(JobHandle.results)
    stop = _call(JobHandle.stop)

    @property
    def id(self) -> str:
        """The job's id, or the name it was asked for by."""
        return self._inner.id

    @property
    def version(self) -> int:
        """The version that was submitted; 0 stands for the latest."""
        return self._inner.version

    @property
    def warnings(self) -> tuple[str, ...]:
        """What the server said to the submission."""
        return self._inner.warnings

    @property
    def info(self) -> Job:
        """The job as the server last showed it, empty before the first look."""
        return self._inner.info

    def __repr__(self) -> str:
        return repr(self._inner)

    def __eq__(self, other: object) -> bool:
        return self._inner == other._inner if isinstance(other, SyncJob) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._inner)

    def rerun(self) -> SyncJob:
        """Run this version again, as a new version; gives the job under that version."""
        return SyncJob(self._loop.run(self._inner.rerun()), self._loop)


class SyncClient(_Face[Client]):
    """`Client` without ``await``, to be used as a context manager or closed with `close`."""

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
        inner = Client(base_url, token=token, basic=basic, timeout=timeout, verify=verify, headers=headers)
        super().__init__(inner, LoopThread())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<SyncClient {self.base_url}>"

    def close(self) -> None:
        """Close the connections and end the thread."""
        self._loop.run(self._inner.aclose())
        self._loop.close()

    @property
    def base_url(self) -> str:
        """The server's address."""
        return self._inner.base_url

    def submit(
        self,
        job: JobSpec | Mapping[str, Any] | Path | str | None = None,
        /,
        *,
        force: bool = False,
        token: str = "",
        **fields: Any,
    ) -> SyncJob:
        """Submit a job, or the next version of the job of that name; see `Client.submit`."""
        sent = self._inner.submit(job, force=force, token=token, **fields)
        return SyncJob(self._loop.run(sent), self._loop)

    def rerun(self, job: str, *, version: int = 0, namespace: str = "") -> SyncJob:
        """Run a version of a finished or running job again (0: the latest), as a new version."""
        sent = self._inner.rerun(job, version=version, namespace=namespace)
        return SyncJob(self._loop.run(sent), self._loop)

    def job(self, job: str, *, version: int = 0, namespace: str = "") -> SyncJob:
        """Give the job of this name, id or unique beginning of its id; the server is not asked yet."""
        return SyncJob(self._inner.job(job, version=version, namespace=namespace), self._loop)

    def jobs(
        self,
        *,
        labels: str | Mapping[str, str] = "",
        namespace: str = "",
        order_by: str = "",
        reverse: bool = False,
    ) -> Iterator[SyncJob]:
        """Give all jobs, oldest first, page by page as they are taken; see `Client.jobs`."""
        found = self._inner.jobs(labels=labels, namespace=namespace, order_by=order_by, reverse=reverse)
        return (SyncJob(job, self._loop) for job in self._loop.each(found))

    get = _call(Client.get)
    list_jobs = _call(Client.list_jobs)
    diff = _call(Client.diff)
    stop = _call(Client.stop)
    wait = _call(Client.wait)
    executions = _call(Client.executions)
    history = _call(Client.history)
    follow = _each(Client.follow)
    versions = _call(Client.versions)
    explain = _call(Client.explain)
    logs = _each(Client.logs)
    results = _call(Client.results)
    verify = _call(Client.verify)
    manifests = _call(Client.manifests)
    download = _call(Client.download)
    nodes = _call(Client.nodes)
    node = _call(Client.node)
    decide = _call(Client.decide)
    alive = _call(Client.alive)
    agent_version = _call(Client.agent_version)
    agent_node = _call(Client.agent_node)
    agent_config = _call(Client.agent_config)
