"""``job describe`` for people: the job, its history, its executions and the beginning of their output."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from bacalhau_cli import render
from bacalhau_cli.columns import EVENTS, RESULTS
from bacalhau_cli.render import Column, Output
from bacalhau_nats.client.wire import COMPUTE_STATES, compute_state, desired_state, job_state
from bacalhau_nats.domain.ids import short

if TYPE_CHECKING:
    from bacalhau_nats.client import Execution, HistoryItem, Job, JobDetails

_TABLE = Output()


def describe(details: JobDetails) -> None:
    """Print everything about a job."""
    job = details["Job"]
    history = details.get("History", {}).get("Items") or []
    executions = details.get("Executions", {}).get("Items") or []
    _facts(job)
    _summary(executions)
    _events("Job History", [item for item in history if not item.get("ExecutionID")])
    _executions(executions)
    _results(executions)
    for execution in executions:
        own = [item for item in history if item.get("ExecutionID") == execution.get("ID")]
        _events(f"Execution {short(execution.get('ID', ''))} History", own)
    _output(executions)


def _facts(job: Job) -> None:
    counted = job.get("Type") in ("batch", "service")
    facts = {
        "ID": job.get("ID", ""),
        "Name": job.get("Name", ""),
        "Namespace": job.get("Namespace", ""),
        "Type": job.get("Type", ""),
        "State": job_state(job),
        "Message": job.get("State", {}).get("Message", ""),
        "Count": str(job.get("Count", "")) if counted else "",
        "Created Time": render.date_time(render.from_ns(job.get("CreateTime", 0))),
        "Modified Time": render.date_time(render.from_ns(job.get("ModifyTime", 0))),
        "Version": str(job.get("Version", "")),
    }
    width = max(map(len, facts))
    for name, value in facts.items():
        if value:
            render.line(f"{name:<{width}} = {render.printable(value)}")


def _summary(executions: Sequence[Execution]) -> None:
    if not executions:
        return
    count = Counter(compute_state(execution) for execution in executions)
    states = [state for state in COMPUTE_STATES if count[state]]
    _title("Summary")
    width = max(map(len, states))
    for state in states:
        render.line(f"{state:<{width}} = {count[state]}")


def _events(title: str, items: Sequence[HistoryItem]) -> None:
    if items:
        _title(title)
        render.table(items, EVENTS, _TABLE)


def _executions(executions: Sequence[Execution]) -> None:
    if not executions:
        return
    now = datetime.now(UTC)

    def ago(key: str) -> Column:
        return Column(
            key.removesuffix("Time").replace("Modify", "Modified").replace("Create", "Created"),
            lambda e: render.elapsed(render.from_ns(e.get(key, 0)), now),
        )

    columns = [
        render.id_column("ID", "ID"),
        render.id_column("Node ID", "NodeID"),
        Column("State", compute_state),
        Column("Desired", desired_state),
        Column("Rev.", lambda e: str(e.get("Revision", ""))),
        ago("CreateTime"),
        ago("ModifyTime"),
        Column("Comment", _comment, width=40),
    ]
    _title("Executions")
    render.table(sorted(executions, key=lambda e: -e.get("CreateTime", 0)), columns, _TABLE)


def _results(executions: Sequence[Execution]) -> None:
    published = [execution for execution in executions if execution.get("ResultDigest")]
    if published:
        _title("Results")
        published.sort(key=lambda e: -e.get("CreateTime", 0))
        render.table(published, [render.id_column("Execution", "ID"), *RESULTS[:-1]], _TABLE)


def _comment(execution: Execution) -> str:
    """Say why an execution failed or was stopped, or with what code its program ended.

    Servers leave "Running" as the message of one that has completed: nothing that its state does not say better.
    """
    if compute_state(execution) == "Completed":
        code = (execution.get("RunOutput") or {}).get("ExitCode", 0)
        return f"exit code {code}" if code else ""
    return execution.get("ComputeState", {}).get("Message", "")


def _output(executions: Sequence[Execution]) -> None:
    speaking = [
        e
        for e in executions
        if (e.get("RunOutput") or {}).get("Stdout") or (e.get("RunOutput") or {}).get("stderr")
    ]
    if not speaking:
        return
    _title("Standard Output")
    for execution in speaking:
        if len(executions) > 1:
            render.line(f"Execution {short(execution.get('ID', ''))}:")
        output = execution.get("RunOutput") or {}
        for stream, flag in (("Stdout", "StdoutTruncated"), ("stderr", "StderrTruncated")):
            text = str(output.get(stream) or "")
            if text:
                render.line(text.removesuffix("\n"))
            if output.get(flag):
                render.line("...\nOutput truncated")


def _title(text: str) -> None:
    render.line()
    render.heading(text)
