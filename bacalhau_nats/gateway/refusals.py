"""Refusals in the exact words of the public API: status, code, component and message.

They are errors like others, but carry what the error table of ``http/problems.py`` cannot derive: the
public server names the component that refused and has codes of its own.
"""

from __future__ import annotations

from bacalhau_nats.errors import UserError

JOB_STORE = "JobStore"
API_SERVER = "APIServer"
NODES_MANAGER = "NodesManager"
AUTHORIZER = "Authorizer"


class Refusal(UserError):
    """The request cannot be served, and the public API has a fixed answer for it."""

    def __init__(
        self, message: str, *, status: int, code: str, component: str, hint: str = "", **details: str
    ) -> None:
        super().__init__(message, hint=hint, **details)
        self.status = status
        self.code = code
        self.component = component


def bad_request(message: str, *, hint: str = "") -> Refusal:
    """Refuse what does not parse or validate; the public server calls that an internal error, with 400."""
    return Refusal(message, status=400, code="InternalError", component=API_SERVER, hint=hint)


def invalid_job(message: str) -> Refusal:
    """Refuse a job that is invalid once its defaults are filled in."""
    return Refusal(message, status=400, code="BadRequest", component=JOB_STORE)


def unspecific() -> Refusal:
    """Answer as the public server answers where it has no message."""
    return Refusal("Internal server error", status=500, code="InternalError", component="Unknown")


def unauthorized(reason: str) -> Refusal:
    """Refuse somebody who does not prove who they are."""
    return Refusal(
        "Request Unauthorized",
        status=401,
        code="Unauthorized",
        component=AUTHORIZER,
        hint="Unauthorized principal. Event has been recorded.",
        reason=reason,
    )


def forbidden(reason: str) -> Refusal:
    """Refuse somebody who may not do this."""
    return Refusal(
        "Request Forbidden",
        status=403,
        code="Forbidden",
        component=AUTHORIZER,
        hint="Check if user have access to this resource. Event has been recorded.",
        reason=reason,
    )


def no_provider_keys(why: str) -> Refusal:
    """Say that a token cannot be judged: the provider's keys are not known. The public server answers 401."""
    return Refusal(
        f"the token cannot be checked: {why}",
        status=503,
        code="ServiceUnavailable",
        component=AUTHORIZER,
        hint="try again; the node's log says more",
    )


def not_configured(message: str, hint: str) -> Refusal:
    """Say that the answer needs a setting that this server does not have."""
    return Refusal(message, status=500, code="ConfigurationError", component="Bacalhau", hint=hint)


def job_not_found(text: str) -> Refusal:
    """Say that no job has this name or id."""
    return Refusal(f"job not found: {text}", status=404, code="NotFound", component=JOB_STORE)


def job_name_not_found(name: str, namespace: str) -> Refusal:
    """Say that no job has this name, as the comparison of specs does."""
    return Refusal(
        f"job name index not found: {name}:{namespace}", status=404, code="NotFound", component=JOB_STORE
    )


def several_jobs(text: str) -> Refusal:
    """Say that more than one id starts so."""
    return Refusal(
        f"multiple jobs found for id {text}",
        status=500,
        code="MultipleJobsFound",
        component=JOB_STORE,
        hint="Use full job ID",
    )


def version_not_found(job: str, version: int, *, status: int = 404) -> Refusal:
    """Say that the job never had this version; reruns answer with 400."""
    code = "NotFound" if status == 404 else "BadRequest"  # noqa: PLR2004 - the HTTP status
    return Refusal(
        f"job version {version} not found for job {job}", status=status, code=code, component=JOB_STORE
    )


def execution_not_found(execution: str) -> Refusal:
    """Say that there is no such execution."""
    return Refusal(f"execution not found: {execution}", status=404, code="NotFound", component=JOB_STORE)


def job_exists(job: str) -> Refusal:
    """Say that the id is taken."""
    return Refusal(f"job already exists: {job}", status=409, code="ResourceInUse", component=JOB_STORE)


def unchanged(name: str, job: str) -> Refusal:
    """Say that an update would change nothing."""
    return Refusal(
        f"no changes detected for new job spec. Job Name: '{name}', Job Id: '{job}'",
        status=500,
        code="",
        component="Bacalhau",
        hint="Use the --force flag to override this warning",
    )


def cannot_stop(job: str, state: str) -> Refusal:
    """Say that the job has ended by itself."""
    if state == "Failed":
        return Refusal(
            f"job {job} is in terminal state Failed and cannot transition to Stopped",
            status=500,
            code="ConflictJobState",
            component=JOB_STORE,
        )
    return Refusal(f"cannot stop job in state {state}", status=500, code="", component="Bacalhau")


def cannot_rerun(state: str) -> Refusal:
    """Say that the job has not run yet."""
    return Refusal(
        f"cannot rerun job in state {state}",
        status=500,
        code="",
        component="Bacalhau",
        hint="try to use the job run command instead of the job rerun command",
    )


def node_not_found(text: str) -> Refusal:
    """Say that no node's id starts so."""
    return Refusal(f"node not found: {text}", status=404, code="NotFound", component=NODES_MANAGER)


def several_nodes(text: str) -> Refusal:
    """Say that more than one node's id starts so."""
    return Refusal(
        f"multiple nodes found for node id prefix: {text}",
        status=409,
        code="MultipleNodesFound",
        component=NODES_MANAGER,
        hint="Use full node ID",
    )


def node_has_daemons(node: str, count: int) -> Refusal:
    """Say that a node cannot be emptied, as daemons belong to it."""
    have = (
        "an execution of a daemon job, which belongs"
        if count == 1
        else f"{count} executions of daemon jobs, which belong"
    )
    return Refusal(
        f"node {node} runs {have} to it and cannot go elsewhere",
        status=409,
        code="ConflictNodeState",
        component=NODES_MANAGER,
        hint="ignore them and they stay (--ignore-daemons), or stop their jobs first",
    )


def node_already(node: str, approval: str) -> Refusal:
    """Say that this was decided before."""
    return Refusal(
        f"node {node} already {approval}", status=409, code="ConflictNodeState", component=NODES_MANAGER
    )
