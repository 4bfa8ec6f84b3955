"""``bacalhau job``: the table of its commands."""

from __future__ import annotations

from bacalhau_cli.groups import Group

job = Group(
    "job",
    profile=True,
    help="Submit, look at and stop jobs, and fetch their results.",
    lazy={
        "describe": ("job_look:describe", "Show everything about a job."),
        "executions": ("job_look:executions", "List the executions of a job."),
        "explain": ("job_explain:explain", "Say why each node did or did not get a job."),
        "get": ("job_data:get", "Fetch the results of a job."),
        "history": ("job_look:history", "List what happened to a job."),
        "list": ("job_look:list_jobs", "List jobs."),
        "logs": ("job_data:logs", "Show what a job prints."),
        "rerun": ("job_run:rerun", "Run a job again, as a new version."),
        "run": ("job_run:run", "Submit a job from a file."),
        "stop": ("job_run:stop", "Stop a job."),
        "validate": ("job_run:validate", "Check a job file without submitting it."),
        "verify": ("job_verify:verify", "Run a job again on other nodes and compare."),
        "versions": ("job_look:versions", "List the versions of a job."),
        "watch": ("job_watch:watch", "Watch a job until it is over."),
    },
)
