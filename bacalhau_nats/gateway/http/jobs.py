"""``/api/v1/orchestrator/jobs``: submit, compare, stop, rerun, list and describe jobs."""

from __future__ import annotations

from collections.abc import Callable

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from bacalhau_nats.domain.draft import boolean, decode_job, text, unsigned
from bacalhau_nats.gateway import refusals
from bacalhau_nats.gateway.explain import Explanations
from bacalhau_nats.gateway.http import docs
from bacalhau_nats.gateway.http.reading import (
    history_query,
    job_query,
    list_query,
    page_of,
    selector,
    versioned_query,
    versions_of,
)
from bacalhau_nats.gateway.http.routing import routes_under
from bacalhau_nats.gateway.http.versions import before_1_5
from bacalhau_nats.gateway.http.wire import ENVELOPE, Json, Query, answer, body_of, page
from bacalhau_nats.gateway.paging import Page
from bacalhau_nats.gateway.queries import HistoryQuery, Queries, Versions
from bacalhau_nats.gateway.submission import Submission
from bacalhau_nats.gateway.submit import Submissions

PREFIX = "/api/v1/orchestrator/jobs"
_put_job = body_of("PutJobRequest", {"Job": decode_job, "Force": boolean, **ENVELOPE})
_diff_job = body_of("DiffJobRequest", {"Job": decode_job, **ENVELOPE})
_rerun_job = body_of("RerunJobRequest", {"JobVersion": unsigned, "Reason": text, **ENVELOPE})
_stop_job = body_of("StopJobRequest", {"reason": text, **ENVELOPE})
_LEVELS = frozenset({"", "all", "job", "execution"})
_CLIENT = (
    ("client.installation.id", "x-bacalhau-installationid"),
    ("client.instance.id", "x-bacalhau-instanceid"),
)


class JobRoutes:
    """The routes about jobs; ``sign`` makes a download's path good without a credential."""

    def __init__(
        self,
        submissions: Submissions,
        queries: Queries,
        explanations: Explanations,
        sign: Callable[[str], str] | None = None,
    ) -> None:
        self._submissions = submissions
        self._queries = queries
        self._explanations = explanations
        self._sign = sign

    def router(self) -> APIRouter:
        """Give the routes with their documentation; fixed paths before those with an id."""
        routes = routes_under(PREFIX, "jobs")
        put = docs.takes("The job; `Force` updates it even when nothing changed", docs.AN_ECHO)
        stop = docs.takes("Why, for the history", {"reason": "no longer needed"})
        rerun = docs.takes("Which version to copy; 0 is the latest", {"JobVersion": 0})
        lists = docs.query("namespace", "limit", "next_token", "order_by", "reverse", "labels")
        one = docs.query("namespace", "include", "job_version")
        which = docs.query("namespace", "job_version")
        many = docs.query("namespace", "limit", "order_by", "reverse", "job_version", "all_job_versions")
        told = docs.query(
            "namespace", "since", "event_type", "execution_id", "job_version", "all_job_versions", "limit",
            "next_token",
        )  # fmt: skip
        name = docs.query("namespace")
        submit = "Submit a job, or update the job of that name"
        for path, endpoint, methods, summary, extra in (
            ("", self.submit, ["PUT"], submit, put),
            ("", self.submit, ["POST"], submit, put),
            ("/diff", self.diff, ["PUT"], "Compare a job with the stored one of its name", put),
            ("", self.list_jobs, ["GET"], "List jobs, oldest first", lists),
            ("/{job_id}", self.describe, ["GET"], "Describe a job", one),
            ("/{job_id}", self.stop, ["DELETE"], "Stop a job", stop),
            ("/{job_id}/rerun", self.rerun, ["PUT"], "Run a job again", rerun),
            ("/{job_id}/executions", self.executions, ["GET"], "List a job's executions", many),
            ("/{job_id}/history", self.history, ["GET"], "Read or follow a job's history", told),
            (
                "/{job_id}/explain",
                self.explain,
                ["GET"],
                "Say of each node why it did or did not get the job",
                which,
            ),
            ("/{job_id}/versions", self.versions, ["GET"], "List a job's versions", name),
            ("/{job_id}/results", self.results, ["GET"], "Say where a job's results are", name),
        ):
            routes.add_api_route(path, endpoint, methods=methods, summary=summary, openapi_extra=extra)
        return routes

    # --- writes ------------------------------------------------------------------------------------

    async def submit(self, request: Request) -> Response:
        """Store a job and answer with its id and the warnings about what was ignored."""
        body: Json = await _put_job(request)
        accepted = await self._submissions.submit(await _submission(body, request))
        return answer(
            request,
            {
                "JobID": accepted.job_id,
                "EvaluationID": accepted.evaluation_id,
                "Warnings": accepted.warnings or None,
            },
        )

    async def diff(self, request: Request) -> Response:
        """Answer with a text whose lines start with + or - where the specs differ."""
        body: Json = await _diff_job(request)
        difference, warnings = await self._submissions.diff(await _submission(body, request))
        return answer(request, {"Diff": difference, "Warnings": warnings or None})

    async def stop(self, request: Request, job_id: str) -> Response:
        """Ask for a job to end."""
        body: Json = await _stop_job(request)
        namespace = body.get("Namespace", Query(request).text("namespace"))
        evaluation = await self._submissions.stop(job_id, namespace, body.get("reason", ""))
        return answer(request, {"EvaluationID": evaluation})

    async def rerun(self, request: Request, job_id: str) -> Response:
        """Store the next version of a job as a copy of an earlier one."""
        body: Json = await _rerun_job(request)
        accepted = await self._submissions.rerun(
            job_id, body.get("Namespace", ""), body.get("JobVersion", 0), body.get("IdempotencyToken", "")
        )
        return answer(
            request,
            {
                "EvaluationID": accepted.evaluation_id,
                "JobID": accepted.job_id,
                "JobVersion": accepted.version,
                "Warnings": None,
            },
        )

    # --- reads ---------------------------------------------------------------------------------------

    async def list_jobs(self, request: Request) -> Response:
        """List jobs by namespace and labels, a page at a time."""
        query = await list_query(request)
        listed = await self._queries.jobs(
            namespace=query.text("namespace"),
            page=page_of(query),
            token=query.text("next_token"),
            labels=selector(query),
        )
        return answer(request, page(listed.items, listed.next_token))

    async def describe(self, request: Request, job_id: str) -> Response:
        """Describe a job, with its history and executions when they are asked for."""
        query = await job_query(request)
        namespace, version = query.text("namespace"), query.uint64("job_version")
        query.uint32("limit")
        wanted = {word.strip() for word in query.text("include").split(",")}
        job, found = await self._queries.job(job_id, namespace, version)
        described: Json = {"Job": found}
        if "history" in wanted:
            told = await self._queries.history_of(job, version, old_client=_old(request))
            described["History"] = page(told.items)
        if "executions" in wanted:
            executions = await self._queries.executions(
                job.id, namespace, Versions(one=version), Page(), only_namespace=False
            )
            described["Executions"] = page(executions)
        return answer(request, described)

    async def executions(self, request: Request, job_id: str) -> Response:
        """List the executions of a job's latest, one or all versions."""
        query = await versioned_query(request)
        found = await self._queries.executions(
            job_id, query.text("namespace"), versions_of(query), page_of(query)
        )
        return answer(request, page(found))

    async def history(self, request: Request, job_id: str) -> Response:
        """Give a page of a job's history, and a token to go on while the job goes on."""
        query = await history_query(request)
        level, since = query.text("event_type"), query.int64("since")
        wrong = [_not_valid("Since", "min")] if since < 0 else []
        wrong += [_not_valid("EventType", "oneof")] if level not in _LEVELS else []
        if wrong:
            raise refusals.bad_request("\n".join(wrong))
        wanted = HistoryQuery(
            versions=versions_of(query),
            level=level,
            execution_id=query.text("execution_id"),
            since=since,
            limit=page_of(query).limit,
            token=query.text("next_token"),
            old_client=_old(request),
        )
        told = await self._queries.history(job_id, query.text("namespace"), wanted)
        return answer(request, page(told.items, told.next_token))

    async def versions(self, request: Request, job_id: str) -> Response:
        """List all versions of a job, oldest first."""
        query = await list_query(request)
        page_of(query)
        return answer(request, page(await self._queries.versions(job_id, query.text("namespace"))))

    async def explain(self, request: Request, job_id: str) -> Response:
        """Say of each node why it did or did not get a job; this is ours."""
        query = await versioned_query(request)
        found = await self._explanations.job(job_id, query.text("namespace"), query.uint64("job_version"))
        return answer(request, found)

    async def results(self, request: Request, job_id: str) -> Response:
        """List the published results of a job's latest version."""
        query = await list_query(request)
        page_of(query)
        base = f"{request.url.scheme}://{request.headers.get('host', 'localhost')}"

        def link(path: str) -> str:
            return f"{base}{path}{self._sign(path) if self._sign else ''}"

        found = await self._queries.results(job_id, query.text("namespace"), link)
        return answer(request, page(found), escape=False)


async def _submission(body: Json, request: Request) -> Submission:
    headers = request.headers
    client = tuple((key, value) for key, header in _CLIENT if (value := headers.get(header, "")))
    return Submission(
        job=body.get("Job"),
        force=body.get("Force", False),
        token=body.get("IdempotencyToken", ""),
        size=len(await request.body()),
        client=client,
    )


def _old(request: Request) -> bool:
    return before_1_5(request.headers.get("x-bacalhau-git-version", ""))


def _not_valid(field: str, rule: str) -> str:
    return f"Key: 'ListJobHistoryRequest.{field}' Error:Field validation for '{field}' failed on the '{rule}' tag"
