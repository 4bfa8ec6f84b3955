"""Read the view: list and describe jobs, their versions, executions, history and results."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from bacalhau_nats.domain import constraints
from bacalhau_nats.domain.archive import Archived
from bacalhau_nats.domain.execution import ExecutionState
from bacalhau_nats.domain.ids import ExecutionID
from bacalhau_nats.domain.jobview import ExecutionView, JobView
from bacalhau_nats.domain.spec import Requirement, SpecConfig
from bacalhau_nats.domain.times import go_time
from bacalhau_nats.domain.view import Row
from bacalhau_nats.errors import InvalidSettings
from bacalhau_nats.gateway import refusals, render
from bacalhau_nats.gateway.core import Gateway
from bacalhau_nats.gateway.history import History, Step, tell
from bacalhau_nats.gateway.paging import Page, read_token

Json = dict[str, Any]

ALL = "*"
HISTORY_PAGE = 100
NATS_RESULT = "nats"
_AT_ONCE = 50  # jobs rendered before others get a turn
_LOOKED_AT_ONCE = 200  # and looked at: a selector may be long, and match none of 100,000
_SECOND = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Versions:
    """Which versions of a job are meant: one, all, or (neither) the latest."""

    one: int = 0
    all: bool = False

    def include(self, version: int, latest: int) -> bool:
        """Say whether ``version`` is meant."""
        return version == self.one if self.one else self.all or version == latest


@dataclass(frozen=True, slots=True)
class HistoryQuery:
    """What of a history is wanted; ``since`` is unix seconds, ``level`` is job, execution or all."""

    versions: Versions = Versions()
    level: str = "all"
    execution_id: str = ""
    since: int = 0
    limit: int = 0
    token: str = ""
    old_client: bool = False


class Listed(NamedTuple):
    """A page of a list and the token of the next page, empty on the last."""

    items: list[Json]
    next_token: str = ""


class Queries:
    """The use cases that read jobs. ``whole`` puts inline content back into a rendered job."""

    def __init__(self, gateway: Gateway, whole: Callable[[Json], Awaitable[Json]]) -> None:
        self._gateway = gateway
        self._whole = whole

    # --- jobs --------------------------------------------------------------------------------------

    async def jobs(
        self, *, namespace: str = "", labels: tuple[Requirement, ...] = (), page: Page, token: str = ""
    ) -> Listed:
        """List jobs, oldest first unless the page says otherwise. Raises Refusal."""
        await self._gateway.caught_up()
        if token:
            page = read_token(token)
        rows = await self._matching(page, namespace, labels)
        items = []
        for index, row in enumerate(rows[: page.limit or None]):
            if index % _AT_ONCE == _AT_ONCE - 1:
                await asyncio.sleep(0)
            job = row.unfold() if isinstance(row, Archived) else self._gateway.view.job(row.id)
            if job is not None:
                items.append(await self._whole(render.job(job, tell(job))))
        end = page.offset + page.limit
        following = replace(page, offset=end).token() if 0 < page.limit < len(rows) else ""
        return Listed(items, following)

    async def _matching(
        self, page: Page, namespace: str, labels: tuple[Requirement, ...]
    ) -> list[Row | Archived]:
        """Find the jobs of a page, and one more that says whether there is another page."""
        found: list[Row | Archived] = []
        left = page.offset
        for index, row in enumerate(self._rows(page), 1):
            if index % _LOOKED_AT_ONCE == 0:
                await asyncio.sleep(0)
            if namespace not in ("", ALL, row.namespace) or not constraints.match(labels, row.labels):
                continue
            if left:
                left -= 1
                continue
            found.append(row)
            if 0 < page.limit < len(found):
                break
        return found

    def _rows(self, page: Page) -> Iterator[Row | Archived]:
        match page.order_by:
            case "" | "created_at":
                return self._gateway.view.rows(newest_first=page.reverse)
            case "modified_at":
                rows = self._gateway.view.rows()
                return iter(sorted(rows, key=lambda row: row.modified, reverse=page.reverse))
            case _:
                raise refusals.unspecific()

    async def job(self, text: str, namespace: str, version: int = 0) -> tuple[JobView, Json]:
        """Describe one version of a job (0: the latest). Raises Refusal."""
        job = await self._gateway.find_job(text, namespace)
        if version and version not in job.versions:
            raise refusals.version_not_found(job.id, version)
        return job, await self._whole(render.job(job, tell(job), version))

    async def versions(self, text: str, namespace: str) -> list[Json]:
        """Describe all versions of a job, oldest first."""
        job = await self._gateway.find_job(text, namespace)
        history = tell(job)
        return [await self._whole(render.job(job, history, version)) for version in sorted(job.versions)]

    # --- executions ----------------------------------------------------------------------------------

    async def executions(
        self, text: str, namespace: str, versions: Versions, page: Page, *, only_namespace: bool = True
    ) -> list[Json]:
        """List the executions of a job, oldest first unless the page says otherwise."""
        job = await self._gateway.find_job(text, namespace)
        if only_namespace and namespace not in ("", job.spec.namespace):
            return []
        found = [one for one in job.executions.values() if versions.include(one.version, job.spec.version)]
        if page.order_by in ("", "created_at", "create_time"):
            found.sort(key=lambda one: one.created)
        elif page.order_by in ("modified_at", "modify_time"):
            found.sort(key=lambda one: one.modified)
        if page.reverse:
            found.reverse()
        return await self._render(job, found[: page.limit or None])

    async def _render(self, job: JobView, found: list[ExecutionView]) -> list[Json]:
        history = tell(job)
        items = [render.execution(job, one, history) for one in found]
        for item in items:
            await self._whole(item["Job"])
        return items

    async def results(self, text: str, namespace: str, link: Callable[[str], str]) -> list[Json]:
        """List where the results of the latest version are; ``link`` makes an address of a path of this gateway.

        What lies on the bus is offered as a download from this gateway, what lies in a bucket by a signed URL.
        Beside each place are the execution and the digest that it was published with. Raises Refusal, Unavailable.
        """
        job = await self._gateway.find_job(text, namespace)
        if job.spec.type.endless:
            raise refusals.unspecific()
        found = [
            one
            for one in sorted(job.of_version(job.spec.version), key=lambda one: one.created)
            if one.state is ExecutionState.COMPLETED and one.observed and one.observed.result.kind
        ]
        try:
            return [await self._result(job, one, link) | _proof(one) for one in found]
        except InvalidSettings as error:
            raise refusals.not_configured(error.message, error.hint) from error

    async def _result(self, job: JobView, one: ExecutionView, link: Callable[[str], str]) -> Json:
        result = one.observed.result if one.observed else SpecConfig()
        if result.kind == NATS_RESULT:
            url = link(f"/api/v1/orchestrator/jobs/{job.id}/results/{one.id}.tar.gz")
            return {"Type": "urlDownload", "Params": {"URL": url}}
        return render.spec_config(await self._gateway.signed(result))

    # --- history ---------------------------------------------------------------------------------------

    async def history(self, text: str, namespace: str, query: HistoryQuery) -> Listed:
        """Give a page of a job's history.

        There is always a next token until the job has ended and everything was read: that is how clients
        follow a job. Raises Refusal.
        """
        job = await self._gateway.find_job(text, namespace)
        page = _history_page(query.token)
        limit = query.limit or page.limit or HISTORY_PAGE
        wanted = [step for step in _matching(job, tell(job), query) if step.seq >= page.offset]
        shown = wanted[:limit]
        items = [_step(step, job, query) for step in shown]
        more = len(wanted) > limit
        if not more and query.execution_id and query.execution_id not in job.executions:
            raise refusals.execution_not_found(query.execution_id)
        if not more and _over(job, query.execution_id):
            return Listed(items)
        offset = shown[-1].seq + 1 if shown else page.offset
        return Listed(items, Page(limit=query.limit, offset=offset).token())

    async def history_of(self, job: JobView, version: int, *, old_client: bool) -> Listed:
        """Give the beginning of one version's history, as `describe` includes it."""
        query = HistoryQuery(Versions(one=version or job.spec.version), old_client=old_client)
        steps = _matching(job, tell(job), query)[:HISTORY_PAGE]
        return Listed([_step(step, job, query) for step in steps])


def _history_page(token: str) -> Page:
    try:
        return read_token(token) if token else Page()
    except refusals.Refusal as refusal:
        raise refusals.invalid_job(f"invalid next token: {refusal.message}") from None


def _matching(job: JobView, history: History, query: HistoryQuery) -> list[Step]:
    earliest = query.since * _SECOND
    return [
        step
        for step in history.steps
        if query.versions.include(step.version, job.spec.version)
        and step.time >= earliest
        and (query.level in ("", "all") or (query.level == "execution") == bool(step.execution_id))
        and (not query.execution_id or step.execution_id.startswith(query.execution_id))
    ]


def _step(step: Step, job: JobView, query: HistoryQuery) -> Json:
    return render.step(step, job.id, go_time(step.time), old_client=query.old_client)


def _over(job: JobView, execution_id: str) -> bool:
    if not job.over:
        return False
    one = job.executions.get(ExecutionID(execution_id))
    return one is None or one.terminal or not one.wanted


def _proof(one: ExecutionView) -> Json:
    digest = render.result_digest(one.observed)
    return {"ExecutionID": one.id, **digest} if digest else {}
