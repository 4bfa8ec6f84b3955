"""What a caller can do: submit, look, wait, follow logs, fetch results.

::

    async with Client("http://127.0.0.1:1234") as bacalhau:
        sent = await bacalhau.submit(job)
        done = await bacalhau.wait(sent.job_id, timeout=60)

It speaks the public HTTP API and knows nothing of the bus. Importing it is cheap: the HTTP and websocket
libraries are loaded at the first call that needs them.
"""

from bacalhau_nats.client.api import Client
from bacalhau_nats.client.logs import LogLine
from bacalhau_nats.client.results import Downloaded, Progress
from bacalhau_nats.client.wire import (
    COMPUTE_STATES,
    DESIRED_STATES,
    TERMINAL_JOB_STATES,
    Execution,
    HistoryItem,
    Job,
    JobDetails,
    Page,
    SpecConfig,
    Submission,
)

__all__ = [
    "COMPUTE_STATES",
    "DESIRED_STATES",
    "TERMINAL_JOB_STATES",
    "Client",
    "Downloaded",
    "Execution",
    "HistoryItem",
    "Job",
    "JobDetails",
    "LogLine",
    "Page",
    "Progress",
    "SpecConfig",
    "Submission",
]
